"""Q5_K: 256 elements in 176 bytes, eight groups of 32: value = (d * scale) * q - (dmin * minimum), q in 0..31.

    F16 d | F16 dmin | 12 bytes of scales and minima | 32 bytes of fifth bits | 128 bytes of nibbles

Scales, minima and the low four bits lie as in Q4_K. Bit g of byte i of the fifth bits belongs to element i of group g.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.k_quants.q4_k import GROUPS, grouped_nibbles, grouped_values, scales_and_minima
from refimpl.kernels.blocks.raw import Raw, Reals, halves

__all__ = ["BLOCK", "BYTES", "dequantise", "unpack"]

BLOCK = 256
BYTES = 176
SCALES, FIFTH, NIBBLES = 4, 16, 48


def unpack(raw: Raw) -> tuple[Reals, Reals, NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """raw (n, 176) -> d (n, 1), dmin (n, 1), scales (n, 8), minima (n, 8), q (n, 8, 32) in 0..31."""
    scales, minima = scales_and_minima(raw[:, SCALES:FIFTH])
    fifth = raw[:, None, FIFTH:NIBBLES].astype(np.int32) >> np.arange(GROUPS)[:, None] & 1
    return halves(raw, 0), halves(raw, 2), scales, minima, grouped_nibbles(raw[:, NIBBLES:]) + 16 * fifth


def dequantise(raw: Raw) -> Reals:
    """raw (n, 176) -> (n, 256)."""
    return grouped_values(*unpack(raw))
