"""What every block format shares: the shapes of its arrays and the reading of little-endian halves out of packed bytes.

Raw is (n, BYTES) packed blocks, Reals is (n, BLOCK) values. A format's file holds BLOCK, BYTES and plain functions
between the two; every load from packed bytes is cast at once, because uint8 arithmetic wraps.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Raw", "Reals", "halves", "nibbles", "pack_half"]

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
