"""MUL_MAT: dst[m, n] = row m of the weights . row n of the activations, which come in the weights' partner format.
MUL_MAT_ID: the same with one of several matrices for each row of activations.

The partner decides what a product loses, so it belongs to the definition: F32 weights meet the activations as they
are, F16 and BF16 weights meet them rounded to their own type, Q4_0, Q5_0 and Q8_0 weights meet Q8_0 blocks, Q4_1 and
Q5_1 weights meet Q8_1 blocks, weights in a K format meet Q8_K blocks. Sums are exact to float64.

W is the packed rows (m, blocks, BYTES) of one matrix, x (k,) one row of activations, and their product (m,).
"""

from collections.abc import Callable
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks import bf16, f16, f32, q4_0, q4_1, q5_0, q5_1, q8_0, q8_1
from refimpl.kernels.blocks.k_quants import q4_k, q5_k, q6_k, q8_k
from refimpl.kernels.blocks.raw import Raw, Reals
from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.copies import checked
from refimpl.kernels.oracle.views import Values, block_bytes, integers, present, reals, shape
from spec.names import Type

__all__ = ["MATVEC", "multiplied", "multiplied_by_id"]

MinimaK = tuple[Reals, Reals, NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
"""d (n, 1), dmin (n, 1), scales (n, g), minima (n, g), q (n, g, 256 / g) of n blocks"""


def _flat(packed: Raw) -> Raw:
    """(m, blocks, BYTES) -> (m * blocks, BYTES)."""
    return packed.reshape(-1, packed.shape[-1])


def _with_f32(packed: Raw, x: Reals) -> Values:
    weights = f32.dequantise(_flat(packed)).reshape(packed.shape[:2])
    return np.asarray(weights.astype(np.float64) @ x.astype(np.float64))


def _with_halves(packed: Raw, x: Reals, form: ModuleType) -> Values:
    """`form` is the 16-bit format of the weights, into which the activations are rounded."""
    weights = form.dequantise(_flat(packed)).reshape(packed.shape[:2])
    partner = form.dequantise(form.quantise(x.reshape(-1, 1))).reshape(-1)
    return np.asarray(weights.astype(np.float64) @ partner.astype(np.float64))


def _with_q8_0(packed: Raw, x: Reals, unpack: Callable[[Raw], tuple[Reals, NDArray[np.int32]]]) -> Values:
    """Sum over blocks of d * d' * (q . q'); `unpack` reads the weights' d and q."""
    d, q = unpack(_flat(packed))
    their_d, their_q = q8_0.unpack(q8_0.quantise(x.reshape(-1, q8_0.BLOCK)))
    products = (q.reshape(*packed.shape[:2], -1) * their_q).sum(axis=2)
    scales = d.reshape(packed.shape[:2]).astype(np.float64) * their_d[:, 0]
    return np.asarray((scales * products).sum(axis=1))


def _with_q8_1(packed: Raw, x: Reals, unpack: Callable[[Raw], tuple[Reals, Reals, NDArray[np.int32]]]) -> Values:
    """Sum over blocks of d * d' * (q . q') + m * s'; `unpack` reads the weights' d, m and q."""
    d, low, q = unpack(_flat(packed))
    their_d, their_s, their_q = q8_1.unpack(q8_1.quantise(x.reshape(-1, q8_1.BLOCK)))
    products = (q.reshape(*packed.shape[:2], -1) * their_q).sum(axis=2)
    scales = d.reshape(packed.shape[:2]).astype(np.float64) * their_d[:, 0]
    minima = low.reshape(packed.shape[:2]).astype(np.float64) * their_s[:, 0]
    return np.asarray((scales * products + minima).sum(axis=1))


def _with_minima_k(packed: Raw, x: Reals, unpack: Callable[[Raw], MinimaK]) -> Values:
    """Sum over blocks of d' * (d * (scale . (q . q')) - dmin * (minimum . sum')), the inner products over groups."""
    d, dmin, scales, minima, q = unpack(_flat(packed))
    their_d, their_q, sums = q8_k.unpack(q8_k.quantise(x.reshape(-1, q8_k.BLOCK)))
    rows, blocks = packed.shape[:2]
    groups = scales.shape[-1]
    products = (q.reshape(rows, blocks, groups, -1) * their_q.reshape(blocks, groups, -1)).sum(axis=3)
    scaled = (products * scales.reshape(rows, blocks, groups)).sum(axis=2)
    lowered = (minima.reshape(rows, blocks, groups) * sums.reshape(blocks, groups, -1).sum(axis=2)).sum(axis=2)
    both = d.reshape(rows, blocks).astype(np.float64) * scaled - dmin.reshape(rows, blocks).astype(np.float64) * lowered
    return np.asarray((both * their_d[:, 0]).sum(axis=1))


def _with_scales_k(packed: Raw, x: Reals) -> Values:
    """Q6_K. Sum over blocks of d' * d * (scale . (q . q')), the products over groups of 16."""
    d, scales, q = q6_k.unpack(_flat(packed))
    their_d, their_q, _ = q8_k.unpack(q8_k.quantise(x.reshape(-1, q8_k.BLOCK)))
    rows, blocks = packed.shape[:2]
    products = (q.reshape(rows, blocks, q6_k.GROUPS, -1) * their_q.reshape(blocks, q6_k.GROUPS, -1)).sum(axis=3)
    scaled = (products * scales.reshape(rows, blocks, -1)).sum(axis=2)
    return np.asarray((d.reshape(rows, blocks).astype(np.float64) * scaled * their_d[:, 0]).sum(axis=1))


MATVEC: dict[Type, Callable[[Raw, Reals], Values]] = {
    Type.F32: _with_f32,
    Type.F16: lambda packed, x: _with_halves(packed, x, f16),
    Type.BF16: lambda packed, x: _with_halves(packed, x, bf16),
    Type.Q4_0: lambda packed, x: _with_q8_0(packed, x, q4_0.unpack),
    Type.Q4_1: lambda packed, x: _with_q8_1(packed, x, q4_1.unpack),
    Type.Q5_0: lambda packed, x: _with_q8_0(packed, x, q5_0.unpack),
    Type.Q5_1: lambda packed, x: _with_q8_1(packed, x, q5_1.unpack),
    Type.Q8_0: lambda packed, x: _with_q8_0(packed, x, q8_0.unpack),
    Type.Q4_K: lambda packed, x: _with_minima_k(packed, x, q4_k.unpack),
    Type.Q5_K: lambda packed, x: _with_minima_k(packed, x, q5_k.unpack),
    Type.Q6_K: _with_scales_k,
}


def _matvec(type_: Type) -> Callable[[Raw, Reals], Values]:
    found = MATVEC.get(type_)
    if found is None:
        raise NotImplementedError(f"a product with {type_.name} weights")
    return found


def multiplied(case: Case) -> Values:
    """src0 W (k, m, b2, b3), src1 X (k, n, B2, B3) -> (m, n, B2, B3).

    Batch (i2, i3) meets weights (i2 / (B2/b2), i3 / (B3/b3)).
    """
    weights, x = present(case, 0), present(case, 1)
    matvec = _matvec(weights.type)
    packed, rows = block_bytes(weights), reals(x).astype(np.float32)
    out = np.zeros(shape(case.dst))
    if out.size == 0:
        return out
    group2, group3 = x.ne[2] // weights.ne[2], x.ne[3] // weights.ne[3]
    for i3, i2, n in np.ndindex(*out.shape[:3]):
        out[i3, i2, n] = matvec(packed[i3 // group3, i2 // group2], rows[i3, i2, n])
    return out


def multiplied_by_id(case: Case) -> Values:
    """src0 W (k, m, experts), src1 X (k, r, t), src2 I32 ids (u, t) -> (m, u, t).

    Slot (e, j) meets the matrix of expert ids[e, j] with row (e mod r, j) of X.
    """
    weights, x = present(case, 0), present(case, 1)
    matvec, chosen = _matvec(weights.type), checked(integers(present(case, 2)), weights.ne[2])
    packed, rows = block_bytes(weights), reals(x).astype(np.float32)
    out = np.zeros(shape(case.dst))
    for j, e in np.ndindex(*out.shape[1:3]):
        out[0, j, e] = matvec(packed[0, chosen[0, 0, j, e]], rows[0, j, e % x.ne[1]])
    return out
