"""MUL_MAT: dst[m, n] = row m of the weights . row n of the activations, which come in the weights' partner format.

The partner decides what a product loses, so it belongs to the definition: F32 weights meet the activations as they
are, F16 weights meet them rounded to F16, Q4_0 and Q8_0 weights meet Q8_0 blocks, Q4_1 weights meet Q8_1 blocks. Sums
are exact to float64.

W is the packed rows (m, blocks, BYTES) of one matrix, x (k,) one row of activations, and their product (m,).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks import f16, f32, q4_0, q4_1, q8_0, q8_1
from refimpl.kernels.blocks.raw import Raw, Reals
from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.views import Values, block_bytes, present, reals, shape
from spec.names import Type

__all__ = ["multiplied"]


def _flat(packed: Raw) -> Raw:
    """(m, blocks, BYTES) -> (m * blocks, BYTES)."""
    return packed.reshape(-1, packed.shape[-1])


def _with_f32(packed: Raw, x: Reals) -> Values:
    weights = f32.dequantise(_flat(packed)).reshape(packed.shape[:2])
    return np.asarray(weights.astype(np.float64) @ x.astype(np.float64))


def _with_f16(packed: Raw, x: Reals) -> Values:
    weights = f16.dequantise(_flat(packed)).reshape(packed.shape[:2])
    partner = f16.dequantise(f16.quantise(x.reshape(-1, 1))).reshape(-1)
    return np.asarray(weights.astype(np.float64) @ partner.astype(np.float64))


def _with_q8_0(packed: Raw, x: Reals, unpack: Callable[[Raw], tuple[Reals, NDArray[np.int32]]]) -> Values:
    """Sum over blocks of d * d' * (q . q'); `unpack` reads the weights' d and q."""
    d, q = unpack(_flat(packed))
    their_d, their_q = q8_0.unpack(q8_0.quantise(x.reshape(-1, q8_0.BLOCK)))
    products = (q.reshape(*packed.shape[:2], -1) * their_q).sum(axis=2)
    scales = d.reshape(packed.shape[:2]).astype(np.float64) * their_d[:, 0]
    return np.asarray((scales * products).sum(axis=1))


def _with_q8_1(packed: Raw, x: Reals) -> Values:
    """Sum over blocks of d * d' * (q . q') + m * s'."""
    d, low, q = q4_1.unpack(_flat(packed))
    their_d, their_s, their_q = q8_1.unpack(q8_1.quantise(x.reshape(-1, q8_1.BLOCK)))
    products = (q.reshape(*packed.shape[:2], -1) * their_q).sum(axis=2)
    scales = d.reshape(packed.shape[:2]).astype(np.float64) * their_d[:, 0]
    minima = low.reshape(packed.shape[:2]).astype(np.float64) * their_s[:, 0]
    return np.asarray((scales * products + minima).sum(axis=1))


MATVEC: dict[Type, Callable[[Raw, Reals], Values]] = {
    Type.F32: _with_f32,
    Type.F16: _with_f16,
    Type.Q4_0: lambda packed, x: _with_q8_0(packed, x, q4_0.unpack),
    Type.Q4_1: _with_q8_1,
    Type.Q8_0: lambda packed, x: _with_q8_0(packed, x, q8_0.unpack),
}


def multiplied(case: Case) -> Values:
    """src0 W (k, m, b2, b3), src1 X (k, n, B2, B3) -> (m, n, B2, B3).

    Batch (i2, i3) meets weights (i2 / (B2/b2), i3 / (B3/b3)).
    """
    weights, x = present(case, 0), present(case, 1)
    matvec = MATVEC.get(weights.type)
    if matvec is None:
        raise NotImplementedError(f"MUL_MAT with {weights.type.name} weights")
    packed, rows = block_bytes(weights), reals(x).astype(np.float32)
    out = np.zeros(shape(case.dst))
    if out.size == 0:
        return out
    group2, group3 = x.ne[2] // weights.ne[2], x.ne[3] // weights.ne[3]
    for i3, i2, n in np.ndindex(*out.shape[:3]):
        out[i3, i2, n] = matvec(packed[i3 // group3, i2 // group2], rows[i3, i2, n])
    return out
