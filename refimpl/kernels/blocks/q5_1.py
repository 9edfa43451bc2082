"""Q5_1: 32 elements in 24 bytes: F16 scale d, F16 minimum m, 32 fifth bits, 16 bytes of nibbles; value = d * q + m.

q is in 0..31: its low four bits lie as in Q4_1, and bit i of the little-endian fifth bits belongs to element i.
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
    quants_of_range,
)

__all__ = ["BLOCK", "BYTES", "dequantise", "quantise", "unpack"]

BLOCK = 32
BYTES = 24
_LEVELS = 32  # of a quant


def unpack(raw: Raw) -> tuple[Reals, Reals, NDArray[np.int32]]:
    """raw (n, 24) -> d (n, 1), m (n, 1), q (n, 32) in 0..31."""
    return halves(raw, 0), halves(raw, 2), nibbles(raw[:, 8:]) + 16 * fifth_bits(raw, 4)


def dequantise(raw: Raw) -> Reals:
    """raw (n, 24) -> (n, 32)."""
    d, m, q = unpack(raw)
    return d * q.astype(np.float32) + m


def quantise(values: Reals) -> Raw:
    """values (n, 32) -> (n, 24)."""
    d, m, q = quants_of_range(values, _LEVELS)
    return np.concatenate([pack_half(d), pack_half(m), pack_fifth_bits(q), pack_nibbles(q)], axis=1)
