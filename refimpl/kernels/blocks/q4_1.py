"""Q4_1: 32 elements in 20 bytes: F16 scale d, F16 minimum m, then 16 bytes of nibbles; value = d * q + m, q in 0..15.

Byte j of the 16 holds element j in its low nibble and element j + 16 in its high one.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.raw import Raw, Reals, halves, nibbles, pack_half, pack_nibbles, quants_of_range

__all__ = ["BLOCK", "BYTES", "dequantise", "quantise", "unpack"]

BLOCK = 32
BYTES = 20
_LEVELS = 16  # of a quant


def unpack(raw: Raw) -> tuple[Reals, Reals, NDArray[np.int32]]:
    """raw (n, 20) -> d (n, 1), m (n, 1), q (n, 32) in 0..15."""
    return halves(raw, 0), halves(raw, 2), nibbles(raw[:, 4:])


def dequantise(raw: Raw) -> Reals:
    """raw (n, 20) -> (n, 32)."""
    d, m, q = unpack(raw)
    return d * q.astype(np.float32) + m


def quantise(values: Reals) -> Raw:
    """values (n, 32) -> (n, 20)."""
    d, m, q = quants_of_range(values, _LEVELS)
    return np.concatenate([pack_half(d), pack_half(m), pack_nibbles(q)], axis=1)
