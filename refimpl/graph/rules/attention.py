"""MUL_MAT, SOFT_MAX and FLASH_ATTN_EXT: matrices in batches, and heads that share keys and values in groups.

Shapes are fastest dimension first. Rows are packed in all operands and results. A mask is repeated along heads and
batches, and may have more rows than there are queries (older clients pad it).
"""

import numpy as np

from refimpl.graph.refusal import Bools, in_all
from refimpl.graph.rules.group import OpGroup, Tensors
from spec.names import Type

__all__ = ["flash_attention", "matrix_product", "soft_max"]

MASK, SINKS = 1, 2
FLASH_MASK, FLASH_SINKS = 3, 4
SOFT_MAX_SCALE, SOFT_MAX_BIAS = 0, 1
FLASH_FLOATS = (0, 1, 2)
"""scale, max_bias, logit softcap"""


def _divides(small: Tensors, large: Tensors) -> Bools:
    """(m,) whether the batches (dimensions 2 and 3) of `small` divide those of `large`."""
    return in_all(large.ne[:, 2:] % small.ne[:, 2:] == 0)


def matrix_product(group: OpGroup) -> None:
    """`W (k, m, b2, b3), X (k, n, B2, B3) -> (m, n, B2, B3)` F32; B is a multiple of b."""
    w, x, dst = group.src(0), group.src(1), group.dst
    group.require(dst.is_type(Type.F32), "the result is not F32")
    group.require(w.ne[:, 0] == x.ne[:, 0], "rows of src[0] and src[1] differ in length")
    group.require((dst.ne[:, 0] == w.ne[:, 1]) & (dst.ne[:, 1] == x.ne[:, 1]), "the result is not (m, n)")
    group.require(x.same_shape(dst, slice(2, 4)), "result and src[1] differ in batches")
    group.require(_divides(w, x), "batches of src[1] are no multiple of those of src[0]")
    group.require(w.rows_packed() & x.rows_packed() & dst.rows_packed(), "rows are not packed")


def _sinks(group: OpGroup, slot: int, heads: Tensors) -> None:
    sinks = group.src(slot)
    group.require(sinks.is_type(Type.F32), "sinks are not F32")
    group.require(sinks.is_vector() & (sinks.ne[:, 0] == heads.ne[:, 2]), "there is not one sink for each head")


def soft_max(group: OpGroup) -> None:
    """`x (k, n, h, b) -> (k, n, h, b)` F32; mask F32 or F16 (k, >= n, m2, m3) in src1, sinks F32 (h) in src2."""
    x, dst = group.src(0), group.dst
    group.require(x.is_type(Type.F32) & dst.is_type(Type.F32), "src[0] or the result is not F32")
    group.require(x.same_shape(dst), "result and src[0] differ in shape")
    group.require(x.rows_packed() & dst.rows_packed(), "rows of src[0] or the result are not packed")
    numbers = group.floats(SOFT_MAX_SCALE, SOFT_MAX_BIAS)
    group.require(in_all(np.isfinite(numbers)), "scale or max_bias is not finite")
    bare, masked = group.lacking(MASK), group.having(MASK)
    bare.require(bare.floats(SOFT_MAX_BIAS)[:, 0] <= 0, "max_bias without a mask")
    x, mask = masked.src(0), masked.src(MASK)
    masked.require(mask.is_type(Type.F32, Type.F16), "the mask is neither F32 nor F16")
    masked.require(
        (mask.ne[:, 0] == x.ne[:, 0]) & (mask.ne[:, 1] >= x.ne[:, 1]) & _divides(mask, x),
        "the mask does not fit src[0]",
    )
    masked.require(mask.rows_packed(), "rows of the mask are not packed")
    sunk = group.having(SINKS)
    _sinks(sunk, SINKS, sunk.src(0))


def flash_attention(group: OpGroup) -> None:
    """`q (d, n, h, s), k (d, kv, hk, sk), v (dv, kv, hk, sk) -> (dv, h, n, s)` F32, packed.

    h is a multiple of hk, s of sk; mask F16 (kv, >= n, m2, m3) in src3, sinks F32 (h) in src4, if any.
    """
    q, k, v, dst = group.src(0), group.src(1), group.src(2), group.dst
    group.require(q.is_type(Type.F32) & dst.is_type(Type.F32), "q or the result is not F32")
    group.require(q.ne[:, 0] == k.ne[:, 0], "q and k differ in the length of a row")
    group.require(k.same_shape(v, slice(1, 4)), "k and v differ in rows or batches")
    group.require(_divides(k, q), "heads of q are no multiple of those of k")
    transposed = (dst.ne[:, 1] == q.ne[:, 2]) & (dst.ne[:, 2] == q.ne[:, 1]) & (dst.ne[:, 3] == q.ne[:, 3])
    group.require(transposed & (dst.ne[:, 0] == v.ne[:, 0]), "the result is not (dv, heads, n, batches)")
    group.require(dst.packed(), "the result is not packed")
    group.require(q.rows_packed() & k.rows_packed() & v.rows_packed(), "rows of q, k or v are not packed")
    group.require(k.rows_apart() & v.rows_apart(), "rows of k or v overlap, so that no memory bounds their number")
    group.require(in_all(np.isfinite(group.floats(*FLASH_FLOATS))), "scale, max_bias or softcap is not finite")
    masked = group.having(FLASH_MASK)
    q, k, mask = masked.src(0), masked.src(1), masked.src(FLASH_MASK)
    masked.require(mask.is_type(Type.F16), "the mask is not F16")
    masked.require(
        (mask.ne[:, 0] == k.ne[:, 1]) & (mask.ne[:, 1] >= q.ne[:, 1]) & _divides(mask, q),
        "the mask does not fit q and k",
    )
    masked.require(mask.rows_packed(), "rows of the mask are not packed")
    sunk = group.having(FLASH_SINKS)
    _sinks(sunk, FLASH_SINKS, sunk.src(0))
