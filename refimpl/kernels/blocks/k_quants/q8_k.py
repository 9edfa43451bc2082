"""Q8_K: 256 elements in 292 bytes: F32 scale d, 256 signed bytes, and the 16-bit sums of each 16; value = d * q.

Only activations that meet weights in a K format take this form: a sum times a weight group's minimum is that
minimum's whole share of the dot product.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.raw import Raw, Reals

__all__ = ["BLOCK", "BYTES", "SUMS", "dequantise", "quantise", "unpack"]

BLOCK = 256
BYTES = 292
SUMS = 16
QUANTS, TOTALS = 4, 260
_LARGEST = np.float32(-127)
_SMALLEST = -_LARGEST / np.finfo(np.float32).max


def unpack(raw: Raw) -> tuple[Reals, NDArray[np.int32], NDArray[np.int32]]:
    """raw (n, 292) -> d (n, 1), q (n, 256) in -127..127, sums (n, 16)."""
    d = np.ascontiguousarray(raw[:, :QUANTS]).view("<f4").astype(np.float32)
    q = np.ascontiguousarray(raw[:, QUANTS:TOTALS]).view(np.int8).astype(np.int32)
    return d, q, np.ascontiguousarray(raw[:, TOTALS:]).view("<i2").astype(np.int32)


def dequantise(raw: Raw) -> Reals:
    """raw (n, 292) -> (n, 256)."""
    d, q, _ = unpack(raw)
    return d * q.astype(np.float32)


def quantise(values: Reals) -> Raw:
    """values (n, 256) -> (n, 292): x * (-127 / largest), rounded half to even, d = 1 / (-127 / largest).

    The largest is the first of the largest magnitude, with its sign, and becomes -127. A block of zeros is all zeros;
    so is one whose -127 / largest overflows. With an infinity among the values d is one as well, and q means nothing.
    """
    at = np.abs(values).argmax(axis=1)
    largest = np.take_along_axis(values, at[:, None], axis=1).astype(np.float32)
    inverse = np.divide(_LARGEST, largest, out=np.zeros_like(largest), where=np.abs(largest) > _SMALLEST)
    with np.errstate(invalid="ignore", divide="ignore"):
        d = np.where(np.abs(largest) > _SMALLEST, np.float32(1) / inverse, np.float32(0)).astype("<f4")
        q = np.minimum(np.rint(values * inverse), np.float32(127)).astype(np.int8)
    sums = q.reshape(-1, SUMS, BLOCK // SUMS).sum(axis=2, dtype=np.int16).astype("<i2")
    return np.concatenate([d.view(np.uint8), q.view(np.uint8), sums.view(np.uint8)], axis=1)
