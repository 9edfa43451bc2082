"""ADD and its like, SCALE, CLAMP, FILL, UNARY and its like, the norms, GLU: each element, or each row, of the result
from the same place of the operands.

Rows are packed in the result and in the first operand, but for NORM and L2_NORM, whose elements may have gaps. The
second operand of ADD, SUB, MUL and DIV is repeated to the shape of the first, in all dimensions, and may have any
strides. Bounds and values may be any float.
"""

import numpy as np

from refimpl.graph.refusal import in_all
from refimpl.graph.rules.group import OpGroup
from spec.names import Glu, Unary

__all__ = ["alike", "binary", "glu", "norm", "rms_norm", "scale", "unary"]

GLU_KIND = UNARY_KIND = 0
EPS = 0


def binary(group: OpGroup) -> None:
    """src0 and the result have one shape; each extent of src0 is a multiple of that of src1."""
    first, second, dst = group.src(0), group.src(1), group.dst
    group.require(first.same_shape(dst), "result and src[0] differ in shape")
    group.require(in_all(first.ne % second.ne == 0), "src[1] cannot be repeated to the shape of src[0]")
    group.require(first.rows_packed() & dst.rows_packed(), "rows of src[0] and the result are not packed")


def _by_rows(group: OpGroup) -> None:
    src, dst = group.src(0), group.dst
    group.require(src.same_shape(dst), "result and src[0] differ in shape")
    group.require(src.type == dst.type, "result and src[0] differ in type")
    group.require(src.rows_packed() & dst.rows_packed(), "rows of src[0] or the result are not packed")


def scale(group: OpGroup) -> None:
    """src0 and the result have one shape and type. Factor and bias may be any float: graphs clear with 0 and -inf."""
    _by_rows(group)


def alike(group: OpGroup) -> None:
    """SQR, CLAMP, FILL and others whose parameters cannot be wrong: src0 and the result have one shape and type."""
    _by_rows(group)


def unary(group: OpGroup) -> None:
    """src0 and the result have one shape and type."""
    kind = group.params[:, UNARY_KIND]
    group.support((kind >= 0) & (kind < len(Unary)), "this kind of UNARY is unknown")
    _by_rows(group)


def norm(group: OpGroup) -> None:
    """NORM, L2_NORM: src0 and the result have one shape and type and any strides; epsilon as for RMS_NORM."""
    src, dst = group.src(0), group.dst
    group.require(src.same_shape(dst) & (src.type == dst.type), "result and src[0] differ in shape or type")
    _epsilon(group)


def rms_norm(group: OpGroup) -> None:
    """src0 and the result have one shape and type; epsilon is finite and not negative."""
    _by_rows(group)
    _epsilon(group)


def _epsilon(group: OpGroup) -> None:
    eps = group.floats(EPS)[:, 0]
    group.require(np.isfinite(eps) & (eps >= 0), "epsilon is negative or not finite")


def glu(group: OpGroup) -> None:
    """With src1, gate and up are src0 and src1 in the shape of the result; without, the halves of each row of src0."""
    kind = group.params[:, GLU_KIND]
    group.support((kind >= 0) & (kind < len(Glu)), "this kind of GLU is unknown")
    gate, dst = group.src(0), group.dst
    group.require(gate.type == dst.type, "result and src[0] differ in type")
    group.require(gate.same_shape(dst, slice(1, 4)), "result and src[0] differ in rows")
    group.require(gate.rows_packed() & dst.rows_packed(), "rows of src[0] or the result are not packed")
    pairs, halves = group.having(1), group.lacking(1)
    halves.require(
        halves.src(0).ne[:, 0] // 2 == halves.dst.ne[:, 0], "a row of the result is not half a row of src[0]"
    )
    up = pairs.src(1)
    pairs.require(pairs.src(0).same_shape(pairs.dst) & up.same_shape(pairs.dst), "result, gate and up differ in shape")
    pairs.require(up.type == pairs.dst.type, "gate and up differ in type")
    pairs.require(up.rows_packed(), "rows of src[1] are not packed")
