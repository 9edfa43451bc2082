"""Q4_K: 256 elements in 144 bytes, eight groups of 32: value = (d * scale) * q - (dmin * minimum), q in 0..15.

    F16 d | F16 dmin | 12 bytes: eight 6-bit scales and eight 6-bit minima | 128 bytes of nibbles

Groups 0 .. 3 have their scale in the low six bits of bytes 0 .. 3, their minimum in those of bytes 4 .. 7. Groups
4 .. 7 have the low four bits of both in the nibbles of bytes 8 .. 11 (scale low, minimum high), and the upper two in
what bytes 0 .. 3 and 4 .. 7 have left. Each 32 bytes of nibbles hold one group low and the next one high.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.raw import Raw, Reals, halves

__all__ = ["BLOCK", "BYTES", "GROUPS", "dequantise", "grouped_nibbles", "grouped_values", "scales_and_minima", "unpack"]

BLOCK = 256
BYTES = 144
GROUPS = 8
SCALES, NIBBLES = 4, 16


def scales_and_minima(packed: Raw) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """packed (n, 12) -> scales (n, 8), minima (n, 8), each in 0..63."""
    first, second, rest = (packed[:, at : at + 4].astype(np.int32) for at in (0, 4, 8))
    scales = np.concatenate([first & 63, (rest & 15) | (first >> 6 << 4)], axis=1)
    return scales, np.concatenate([second & 63, (rest >> 4) | (second >> 6 << 4)], axis=1)


def grouped_nibbles(packed: Raw) -> NDArray[np.int32]:
    """packed (n, 128) -> (n, 8, 32): of each 32 bytes the low nibbles, then the high ones."""
    wide = packed.astype(np.int32).reshape(-1, GROUPS // 2, 1, 32)
    return np.concatenate([wide & 15, wide >> 4], axis=2).reshape(-1, GROUPS, 32)


def unpack(raw: Raw) -> tuple[Reals, Reals, NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """raw (n, 144) -> d (n, 1), dmin (n, 1), scales (n, 8), minima (n, 8), q (n, 8, 32) in 0..15."""
    scales, minima = scales_and_minima(raw[:, SCALES:NIBBLES])
    return halves(raw, 0), halves(raw, 2), scales, minima, grouped_nibbles(raw[:, NIBBLES:])


def grouped_values(
    d: Reals, dmin: Reals, scales: NDArray[np.int32], minima: NDArray[np.int32], q: NDArray[np.int32]
) -> Reals:
    """What `unpack` gives -> (n, 256); each product and the difference are rounded to float32."""
    scale, minimum = d * scales.astype(np.float32), dmin * minima.astype(np.float32)
    values: Reals = scale[:, :, None] * q.astype(np.float32) - minimum[:, :, None]
    return values.reshape(-1, BLOCK)


def dequantise(raw: Raw) -> Reals:
    """raw (n, 144) -> (n, 256)."""
    return grouped_values(*unpack(raw))
