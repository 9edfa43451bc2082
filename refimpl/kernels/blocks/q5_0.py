"""Q5_0: 32 elements in 22 bytes: F16 scale d, 32 fifth bits, then 16 bytes of nibbles; value = d * (q - 16).

q is in 0..31: its low four bits lie as in Q4_0, and bit i of the little-endian fifth bits belongs to element i.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.raw import (
    Raw,
    Reals,
    fifth_bits,
    halves,
    nibbles,
    pack_fifth_bits,
    pack_half,
    pack_nibbles,
    quants_of_largest,
)

__all__ = ["BLOCK", "BYTES", "dequantise", "quantise", "unpack"]

BLOCK = 32
BYTES = 22
_LEVELS = 32  # of a quant
_ZERO = 16  # the quant that stands for 0


def unpack(raw: Raw) -> tuple[Reals, NDArray[np.int32]]:
    """raw (n, 22) -> d (n, 1), q (n, 32) in -16..15."""
    return halves(raw, 0), nibbles(raw[:, 6:]) + 16 * fifth_bits(raw, 2) - _ZERO


def dequantise(raw: Raw) -> Reals:
    """raw (n, 22) -> (n, 32)."""
    d, q = unpack(raw)
    return d * q.astype(np.float32)


def quantise(values: Reals) -> Raw:
    """values (n, 32) -> (n, 22)."""
    d, q = quants_of_largest(values, _LEVELS)
    return np.concatenate([pack_half(d), pack_fifth_bits(q), pack_nibbles(q)], axis=1)
