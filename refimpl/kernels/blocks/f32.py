"""F32: IEEE single precision, little-endian, one element to a block."""

import numpy as np

from refimpl.kernels.blocks.raw import Raw, Reals

__all__ = ["BLOCK", "BYTES", "dequantise", "quantise"]

BLOCK = 1
BYTES = 4


def dequantise(raw: Raw) -> Reals:
    """raw (n, 4) -> (n, 1)."""
    return np.ascontiguousarray(raw).view("<f4").astype(np.float32, copy=False)


def quantise(values: Reals) -> Raw:
    """values (n, 1) -> (n, 4)."""
    return np.ascontiguousarray(values.astype("<f4")).view(np.uint8)
