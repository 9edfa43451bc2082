"""BF16: the upper half of an IEEE single, little-endian, one element to a block.

A weight format, and the format into which activations go before they meet BF16 weights.
"""

import numpy as np

from refimpl.kernels.blocks.raw import Raw, Reals

__all__ = ["BLOCK", "BYTES", "dequantise", "quantise"]

BLOCK = 1
BYTES = 2
_QUIET = np.uint32(0x40)
"""the bit that makes a NaN quiet, in the upper half"""


def dequantise(raw: Raw) -> Reals:
    """raw (n, 2) -> (n, 1), exact."""
    return (np.ascontiguousarray(raw).view("<u2").astype(np.uint32) << 16).view(np.float32)


def quantise(values: Reals) -> Raw:
    """values (n, 1) -> (n, 2): nearest, ties to even; a NaN stays one, and becomes quiet."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> 16) & 1))) >> 16
    upper = np.where(np.isnan(values), (bits >> 16) | _QUIET, rounded)
    return np.ascontiguousarray(upper.astype("<u2")).view(np.uint8)
