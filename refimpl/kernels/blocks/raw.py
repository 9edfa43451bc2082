"""What every block format shares: the shapes of its arrays and the reading of little-endian halves out of packed bytes.

Raw is (n, BYTES) packed blocks, Reals is (n, BLOCK) values. A format's file holds BLOCK, BYTES and plain functions
between the two; every load from packed bytes is cast at once, because uint8 arithmetic wraps.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Raw",
    "Reals",
    "fifth_bits",
    "halves",
    "nibbles",
    "pack_fifth_bits",
    "pack_half",
    "pack_nibbles",
    "quants_of_largest",
    "quants_of_range",
]

Raw = NDArray[np.uint8]
Reals = NDArray[np.float32]


def halves(raw: Raw, at: int) -> Reals:
    """The F16 at byte `at` of each block: raw (n, BYTES) -> (n, 1), widened to float32 (exact)."""
    return np.ascontiguousarray(raw[:, at : at + 2]).view("<f2").astype(np.float32)


def pack_half(values: Reals) -> Raw:
    """values (n, 1) -> (n, 2).

    The bytes of each value rounded to the nearest F16, ties to even; too large is infinite.
    """
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values.astype("<f2")).view(np.uint8)


def nibbles(packed: Raw) -> NDArray[np.int32]:
    """packed (n, b) -> (n, 2 b): all low nibbles of a block first, then all high ones."""
    wide: NDArray[Any] = packed.astype(np.int32)
    return np.concatenate([wide & 15, wide >> 4], axis=1)


def fifth_bits(raw: Raw, at: int) -> NDArray[np.int32]:
    """The 32 bits at byte `at` of each block, lowest first: raw (n, BYTES) -> (n, 32) of 0 and 1."""
    return np.unpackbits(np.ascontiguousarray(raw[:, at : at + 4]), axis=1, bitorder="little").astype(np.int32)


def pack_nibbles(quants: NDArray[np.int32]) -> Raw:
    """The way back of `nibbles`: (n, 2 b), of which the lowest four bits count -> (n, b)."""
    low, high = np.split(quants & 15, 2, axis=1)
    packed: Raw = (low | high << 4).astype(np.uint8)
    return packed


def pack_fifth_bits(quants: NDArray[np.int32]) -> Raw:
    """The way back of `fifth_bits`: (n, 32), of which bit 4 counts -> (n, 4)."""
    return np.packbits(quants >> 4 & 1, axis=1, bitorder="little")


def _whole(steps: Reals, levels: int) -> NDArray[np.int32]:
    """Rounded towards 0, at most levels - 1; 0 for what is no number or infinite."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(steps), np.minimum(steps, levels - 1), 0).astype(np.int32)


def _inverse(d: Reals) -> Reals:
    """1 / d, or 0 where d is 0."""
    with np.errstate(over="ignore"):
        return np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)


def quants_of_largest(values: Reals, levels: int) -> tuple[Reals, NDArray[np.int32]]:
    """For value = d * (q - levels / 2): values (n, k) -> d (n, 1) not yet rounded to F16, q (n, k) in 0..levels - 1.

    The value farthest from 0, the first of several, becomes q = 0: d is that value / -(levels / 2). Each step in
    float32; q is x * (1 / d) + (levels / 2 + 1/2), rounded towards 0. A block of zeros has d = -0. NaNs are passed over
    in the search, and have q = 0.
    """
    zero = np.float32(levels // 2)
    size = np.nan_to_num(np.abs(values), nan=0, posinf=np.inf)
    first = size.argmax(axis=1)[:, None]
    found = np.take_along_axis(values, first, axis=1)
    largest: Reals = np.where(size.max(axis=1, keepdims=True) > 0, found, np.float32(0))
    d: Reals = largest / -zero
    with np.errstate(invalid="ignore", over="ignore"):
        return d, _whole(values * _inverse(d) + (zero + np.float32(0.5)), levels)


def quants_of_range(values: Reals, levels: int) -> tuple[Reals, Reals, NDArray[np.int32]]:
    """For value = d * q + m: values (n, k) -> d, m (n, 1) not yet rounded to F16, q (n, k) in 0..levels - 1.

    m is the lowest value, the first of several (0 has two signs), and d the range / (levels - 1). Each step in float32;
    q is (x - m) * (1 / d) + 1/2, rounded towards 0. NaNs are passed over in the search, and have q = 0.
    """
    most = np.finfo(np.float32).max
    known = np.where(np.isnan(values), most, values)
    first = (known == known.min(axis=1, keepdims=True)).argmax(axis=1)[:, None]  # argmin may prefer -0 to an earlier 0
    low = np.minimum(np.take_along_axis(known, first, axis=1), most)
    high = np.where(np.isnan(values), -most, values).max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        d = (np.maximum(high, -most) - low) / np.float32(levels - 1) + np.float32(0)  # never -0
        return d, low, _whole((values - low) * _inverse(d) + np.float32(0.5), levels)
