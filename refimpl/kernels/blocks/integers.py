"""I32 and I64: little-endian two's complement, one element to a block; index tensors and ids."""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.raw import Raw

__all__ = ["BLOCK", "I32_BYTES", "I64_BYTES", "read_i32", "read_i64"]

BLOCK = 1
I32_BYTES = 4
I64_BYTES = 8


def read_i32(raw: Raw) -> NDArray[np.int32]:
    """raw (n, 4) -> (n, 1)."""
    return np.ascontiguousarray(raw).view("<i4").astype(np.int32, copy=False)


def read_i64(raw: Raw) -> NDArray[np.int64]:
    """raw (n, 8) -> (n, 1)."""
    return np.ascontiguousarray(raw).view("<i8").astype(np.int64, copy=False)
