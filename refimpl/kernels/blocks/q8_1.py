"""Q8_1: 32 elements in 36 bytes: F16 scale d, F16 s = d * sum(q), then 32 signed bytes; value = d * q.

Only activations that meet Q4_1 weights take this form: s times the weight's minimum is that minimum's whole share of
the dot product. s is made from d before d is rounded to F16.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks import q8_0
from refimpl.kernels.blocks.raw import Raw, Reals, halves, pack_half

__all__ = ["BLOCK", "BYTES", "dequantise", "quantise", "unpack"]

BLOCK = 32
BYTES = 36


def unpack(raw: Raw) -> tuple[Reals, Reals, NDArray[np.int32]]:
    """raw (n, 36) -> d (n, 1), s (n, 1), q (n, 32) in -128..127."""
    return halves(raw, 0), halves(raw, 2), np.ascontiguousarray(raw[:, 4:]).view(np.int8).astype(np.int32)


def dequantise(raw: Raw) -> Reals:
    """raw (n, 36) -> (n, 32)."""
    d, _, q = unpack(raw)
    return d * q.astype(np.float32)


def quantise(values: Reals) -> Raw:
    """values (n, 32) -> (n, 36)."""
    d, q = q8_0.quants(values)
    total = q.astype(np.int32).sum(axis=1, keepdims=True).astype(np.float32)
    return np.concatenate([pack_half(d), pack_half(d * total), q.view(np.uint8)], axis=1)
