"""Q8_0: 32 elements in 34 bytes: F16 scale d, then 32 signed bytes; value = d * q.

A weight format, and the format into which activations go before they meet Q4_0 and Q8_0 weights.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.raw import Raw, Reals, halves, pack_half

__all__ = ["BLOCK", "BYTES", "dequantise", "quantise", "quants", "unpack"]

BLOCK = 32
BYTES = 34
_LARGEST = np.float32(127)
_SMALLEST = _LARGEST / np.finfo(np.float32).max


def unpack(raw: Raw) -> tuple[Reals, NDArray[np.int32]]:
    """raw (n, 34) -> d (n, 1), q (n, 32) in -128..127."""
    return halves(raw, 0), np.ascontiguousarray(raw[:, 2:]).view(np.int8).astype(np.int32)


def dequantise(raw: Raw) -> Reals:
    """raw (n, 34) -> (n, 32)."""
    d, q = unpack(raw)
    return d * q.astype(np.float32)


def quants(values: Reals) -> tuple[Reals, NDArray[np.int8]]:
    """values (n, 32) -> d (n, 1) not yet rounded to F16, q (n, 32): x * (127 / amax) in float32, rounded half to even.

    A block of zeros has d = 0 and q = 0; so has one whose 127 / amax overflows, for its d is 0 as an F16. With an
    infinity or a NaN among the values d is one as well, and q means nothing.
    """
    amax = np.abs(values).max(axis=1, keepdims=True).astype(np.float32)
    inverse = np.divide(_LARGEST, amax, out=np.zeros_like(amax), where=amax > _SMALLEST)
    with np.errstate(invalid="ignore"):
        return amax / _LARGEST, np.rint(values * inverse).astype(np.int8)


def quantise(values: Reals) -> Raw:
    """values (n, 32) -> (n, 34)."""
    d, q = quants(values)
    return np.concatenate([pack_half(d), q.view(np.uint8)], axis=1)
