"""Q4_0: 32 elements in 18 bytes: F16 scale d, then 16 bytes of nibbles; value = d * (q - 8), q in 0..15.

Byte j of the 16 holds element j in its low nibble and element j + 16 in its high one.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.raw import Raw, Reals, halves, nibbles, pack_half, pack_nibbles, quants_of_largest

__all__ = ["BLOCK", "BYTES", "dequantise", "quantise", "unpack"]

BLOCK = 32
BYTES = 18
_LEVELS = 16  # of a quant
_ZERO = 8  # the quant that stands for 0


def unpack(raw: Raw) -> tuple[Reals, NDArray[np.int32]]:
    """raw (n, 18) -> d (n, 1), q (n, 32) in -8..7."""
    return halves(raw, 0), nibbles(raw[:, 2:]) - _ZERO


def dequantise(raw: Raw) -> Reals:
    """raw (n, 18) -> (n, 32)."""
    d, q = unpack(raw)
    return d * q.astype(np.float32)


def quantise(values: Reals) -> Raw:
    """values (n, 32) -> (n, 18)."""
    d, q = quants_of_largest(values, _LEVELS)
    return np.concatenate([pack_half(d), pack_nibbles(q)], axis=1)
