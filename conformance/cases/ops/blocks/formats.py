"""What the bytes of a block mean, format by format: blocks of spec/data/types.toml > elements in float64.

Rules
- A decoder is a function of the parts that types.toml lists, each an array (blocks, count), and returns (blocks,
  elements). It is written from the layouts there; nothing here rounds.
- A format without a decoder here is decoded by gguf's (grid.py), which has the grids of the formats that need them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DECODERS",
    "Array",
    "Parts",
    "mxfp4",
    "nvfp4",
    "q1_0",
    "q2_0",
    "q2_k",
    "q3_k",
    "q4_0",
    "q4_1",
    "q4_k",
    "q5_0",
    "q5_1",
    "q5_k",
    "q6_k",
    "q8_0",
    "tq2_0",
]

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Parts = Mapping[str, NDArray[np.generic]]


def _floats(part: NDArray[np.generic]) -> Array:
    return part.astype(np.float64)


def _codes(part: NDArray[np.generic]) -> Codes:
    return part.astype(np.int64)


def _nibbles(qs: NDArray[np.generic]) -> Codes:
    """Low halves first, then high halves."""
    codes = _codes(qs)
    return np.concatenate([codes & 15, codes >> 4], axis=1)


def _fifth_bits(qh: NDArray[np.generic]) -> Codes:
    """Bit i of a word of 32 bits is that of element i, worth 16."""
    return (_codes(qh) >> np.arange(32) & 1) << 4


def _planes(qs: NDArray[np.generic], run: int, bits: int) -> Codes:
    """Codes of `bits` bits: each run of bytes holds first its lowest bits, a code a byte, then the next ones."""
    runs = _codes(qs).reshape(len(qs), -1, 1, run)
    shifts = np.arange(0, 8, bits).reshape(-1, 1)
    return (runs >> shifts & (1 << bits) - 1).reshape(len(qs), -1)


def _per_element(groups: NDArray[Any], elements: int) -> NDArray[Any]:
    return np.repeat(groups, elements // groups.shape[1], axis=1)


def q4_0(parts: Parts) -> Array:
    return _floats(parts["d"]) * (_nibbles(parts["qs"]) - 8)


def q4_1(parts: Parts) -> Array:
    return _floats(parts["d"]) * _nibbles(parts["qs"]) + _floats(parts["m"])


def q5_0(parts: Parts) -> Array:
    return _floats(parts["d"]) * ((_nibbles(parts["qs"]) | _fifth_bits(parts["qh"])) - 16)


def q5_1(parts: Parts) -> Array:
    return _floats(parts["d"]) * (_nibbles(parts["qs"]) | _fifth_bits(parts["qh"])) + _floats(parts["m"])


def q8_0(parts: Parts) -> Array:
    return _floats(parts["d"]) * _codes(parts["qs"])


def q1_0(parts: Parts) -> Array:
    bits = _codes(parts["qs"])[:, :, None] >> np.arange(8) & 1
    return _floats(parts["d"]) * (2 * bits.reshape(len(bits), -1) - 1)


def q2_0(parts: Parts) -> Array:
    codes = _codes(parts["qs"])[:, :, None] >> np.arange(0, 8, 2) & 3
    return _floats(parts["d"]) * (codes.reshape(len(codes), -1) - 1)


def q2_k(parts: Parts) -> Array:
    pairs = _codes(parts["scales"])
    scale, low = (_per_element(half, 256) for half in (pairs & 15, pairs >> 4))
    return np.asarray(_floats(parts["d"]) * scale * _planes(parts["qs"], 32, 2) - _floats(parts["dmin"]) * low)


def q3_k(parts: Parts) -> Array:
    packed = _codes(parts["scales"])
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=1)
    high = _planes(packed[:, 8:], 4, 2)
    scale = _per_element((low | high << 4) - 32, 256)
    third = _planes(parts["hmask"], 32, 1)
    return np.asarray(_floats(parts["d"]) * scale * (_planes(parts["qs"], 32, 2) - 4 * (1 - third)))


def _six_bits(packed: NDArray[np.generic]) -> tuple[Codes, Codes]:
    """Eight scales and eight minimums in 12 bytes: four of each plain, the others' upper bits above them."""
    first, second, third = np.split(_codes(packed), 3, axis=1)
    scale = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
    low = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)
    return scale, low


def _with_minimum(parts: Parts, codes: Codes) -> Array:
    scale, low = (_per_element(groups, 256) for groups in _six_bits(parts["scales"]))
    return np.asarray(_floats(parts["d"]) * scale * codes - _floats(parts["dmin"]) * low)


def q4_k(parts: Parts) -> Array:
    return _with_minimum(parts, _planes(parts["qs"], 32, 4))


def q5_k(parts: Parts) -> Array:
    return _with_minimum(parts, _planes(parts["qs"], 32, 4) | _planes(parts["qh"], 32, 1) << 4)


def q6_k(parts: Parts) -> Array:
    low = _planes(parts["ql"], 64, 4)
    codes = low | _planes(parts["qh"], 32, 2) << 4
    return np.asarray(_floats(parts["d"]) * _per_element(_codes(parts["scales"]), 256) * (codes - 32))


def tq2_0(parts: Parts) -> Array:
    return _floats(parts["d"]) * (_planes(parts["qs"], 32, 2) - 1)


E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def _e2m1(codes: Codes) -> Array:
    """Sign in the fourth bit, then two bits of exponent and one of mantissa."""
    return np.asarray(np.where(codes & 8, -1.0, 1.0) * E2M1[codes & 7])


def mxfp4(parts: Parts) -> Array:
    return np.exp2(_floats(parts["e"]) - 127) * _e2m1(_nibbles(parts["qs"]))


def _ue4m3(codes: Codes) -> Array:
    """Four bits of exponent with bias 7, three of mantissa, no sign; 0 is 0."""
    exponent, mantissa = codes >> 3, codes & 7
    return np.asarray(
        np.where(exponent > 0, np.exp2(exponent - 7.0) * (1 + mantissa / 8), np.exp2(-6.0) * mantissa / 8)
    )


def nvfp4(parts: Parts) -> Array:
    qs = _codes(parts["qs"]).reshape(-1, 8)
    values = _e2m1(_nibbles(qs)).reshape(len(parts["qs"]), -1)
    return _per_element(_ue4m3(_codes(parts["d"])), 64) * values


DECODERS: Mapping[str, Callable[[Parts], Array]] = {
    "Q4_0": q4_0,
    "Q4_1": q4_1,
    "Q5_0": q5_0,
    "Q5_1": q5_1,
    "Q8_0": q8_0,
    "Q8_1": q8_0,
    "Q1_0": q1_0,
    "Q2_0": q2_0,
    "Q2_K": q2_k,
    "Q3_K": q3_k,
    "Q4_K": q4_k,
    "Q5_K": q5_k,
    "Q6_K": q6_k,
    "Q8_K": q8_0,
    "TQ2_0": tq2_0,
    "MXFP4": mxfp4,
    "NVFP4": nvfp4,
}
"""format > what its parts mean"""
