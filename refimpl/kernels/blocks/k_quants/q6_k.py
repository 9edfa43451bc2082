"""Q6_K: 256 elements in 210 bytes, sixteen groups of 16: value = (d * scale) * (q - 32), q in 0..63.

    128 bytes of nibbles | 64 bytes of upper bit pairs | sixteen signed 8-bit scales | F16 d

Of each half block, 128 elements in four runs of 32: 64 bytes of nibbles hold runs 0 and 1 low, 2 and 3 high; 32 bytes
hold the upper two bits, run r in bits 2r and 2r + 1.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.raw import Raw, Reals, halves

__all__ = ["BLOCK", "BYTES", "GROUPS", "dequantise", "unpack"]

BLOCK = 256
BYTES = 210
GROUPS = 16
UPPER, SCALES, SCALE = 128, 192, 208
_ZERO = 32  # the quant that stands for 0


def unpack(raw: Raw) -> tuple[Reals, NDArray[np.int32], NDArray[np.int32]]:
    """raw (n, 210) -> d (n, 1), scales (n, 16) in -128..127, q (n, 16, 16) in -32..31."""
    low = raw[:, :UPPER].astype(np.int32).reshape(-1, 2, 1, 64)
    nibbles = np.concatenate([low & 15, low >> 4], axis=2).reshape(-1, 2, 4, 32)
    upper = raw[:, UPPER:SCALES].astype(np.int32).reshape(-1, 2, 1, 32) >> (2 * np.arange(4)[:, None]) & 3
    scales = np.ascontiguousarray(raw[:, SCALES:SCALE]).view(np.int8).astype(np.int32)
    return halves(raw, SCALE), scales, (nibbles + 16 * upper - _ZERO).reshape(-1, GROUPS, BLOCK // GROUPS)


def dequantise(raw: Raw) -> Reals:
    """raw (n, 210) -> (n, 256)."""
    d, scales, q = unpack(raw)
    scale = d * scales.astype(np.float32)
    return (scale[:, :, None] * q.astype(np.float32)).reshape(-1, BLOCK)
