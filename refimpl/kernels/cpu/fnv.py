"""FNV-1a, 64 bit: the hash that names a tensor in the cache (clause CACHE-1). Every byte hangs on the one before, so
this is one multiplication per byte at best; compiled, because the interpreter would take a thousand times as long.
"""

import numpy as np
from numba import types
from numpy.typing import NDArray

from refimpl.kernels.cpu.compiled import function

__all__ = ["FNV_OFFSET", "fnv1a64"]

FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3


BYTES = types.Array(types.uint8, 1, "C", readonly=True)


@function(types.uint64(BYTES, types.uint64))
def _fnv1a64(data: NDArray[np.uint8], state: np.uint64) -> np.uint64:
    prime = np.uint64(FNV_PRIME)
    for i in range(data.shape[0]):
        state = (state ^ np.uint64(data[i])) * prime
    return state


def fnv1a64(data: bytes | memoryview, state: int = FNV_OFFSET) -> int:
    """Hash of `data` (contiguous bytes), going on from `state`:

    The hash of two pieces is the second's from the first's.
    """
    if len(data) == 0:
        return state
    return int(_fnv1a64(np.frombuffer(data, np.uint8), np.uint64(state)))
