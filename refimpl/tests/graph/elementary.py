"""Nodes of the elementary ops, of sums, sorts and joins, and of products by expert: some that fit, and what may not."""

from refimpl.graph.params import float_bits
from refimpl.tests.graph.node import Node
from refimpl.tests.graph.samples import T
from spec.names import Glu, Op, Type, Unary

__all__ = ["FITS", "REFUSED", "UNKNOWN_KINDS"]

NAN, INF = float("nan"), float("inf")
F32, F16, Q8_0, I32, I64 = Type.F32, Type.F16, Type.Q8_0, Type.I32, Type.I64

X, HALF, GAPS = T(F32, (8, 3, 2)), T(F16, (8, 3, 2)), T(F32, (8, 3, 2), (8, 64, 192, 384))
TURNED = T(F32, (8, 3, 2), (12, 4, 96, 192))
REPEATED = T(F32, (8, 3, 2), (4, 0, 0, 0))
TABLE, IDS = T(F32, (8, 6)), T(I32, (3, 2))
WIDE_IDS = T(I32, (3, 2), (4, 24, 48, 48))
EXPERTS, SENT, MIXED = T(Q8_0, (32, 5, 6)), T(F32, (32, 3, 2)), T(F32, (5, 3, 2))


def arange(start: float, stop: float, step: float) -> list[int]:
    return [float_bits(start), float_bits(stop), float_bits(step)]


FITS: dict[str, Node] = {
    **{op.name.lower(): Node(op, X, (X,)) for op in (Op.SQR, Op.SQRT, Op.LOG, Op.SIN, Op.COS)},
    **{f"unary {kind.name}": Node(Op.UNARY, HALF, (HALF,), (kind,)) for kind in Unary},
    **{f"glu {kind.name}": Node(Op.GLU, HALF, (HALF, HALF), (kind,)) for kind in Glu},
    "sub": Node(Op.SUB, X, (X, T(F32, (8,)))),
    "div": Node(Op.DIV, X, (X, T(F32, (4, 1, 2)))),
    "add of halves": Node(Op.ADD, HALF, (HALF, X)),
    "clamp": Node(Op.CLAMP, X, (X,), (float_bits(-INF), float_bits(1.0))),
    "fill": Node(Op.FILL, HALF, (HALF,), (float_bits(-INF),)),
    "norm": Node(Op.NORM, X, (TURNED,), (float_bits(1e-5),)),
    "l2_norm": Node(Op.L2_NORM, X, (GAPS,), (float_bits(0.0),)),
    "sum": Node(Op.SUM, T(F32, (1,)), (TURNED,)),
    "sum_rows": Node(Op.SUM_ROWS, T(F32, (1, 3, 2)), (GAPS,)),
    "mean": Node(Op.MEAN, T(F32, (1, 3, 2)), (REPEATED,)),
    "argsort": Node(Op.ARGSORT, T(I32, (8, 3, 2)), (X,), (1,)),
    "top_k": Node(Op.TOP_K, T(I32, (8, 3, 2)), (X,)),
    "concat": Node(Op.CONCAT, T(F32, (8, 5, 2)), (TURNED, T(F32, (8, 2, 2))), (1,)),
    "concat of blocks": Node(Op.CONCAT, T(Q8_0, (96, 2)), (T(Q8_0, (32, 2)), T(Q8_0, (64, 2))), (0,)),
    "repeat": Node(Op.REPEAT, T(I32, (8, 6, 2, 3)), (T(I32, (4, 3, 1)),)),
    "pad": Node(Op.PAD, T(F32, (11, 3, 4)), (TURNED,), (1, 2, 0, 0, 2, 0, 0, 0, 1)),
    "arange": Node(Op.ARANGE, T(F32, (4,)), (), arange(0.5, 2.3, 0.5)),
    "arange downwards": Node(Op.ARANGE, T(F32, (2,)), (), arange(3.0, 1.0, -1.0)),
    "add_id": Node(Op.ADD_ID, T(F32, (8, 3, 2)), (X, TABLE, WIDE_IDS)),
    "mul_mat_id": Node(Op.MUL_MAT_ID, MIXED, (EXPERTS, SENT, IDS)),
    "mul_mat_id of one row for all": Node(Op.MUL_MAT_ID, MIXED, (EXPERTS, T(F32, (32, 1, 2)), WIDE_IDS)),
}

F = FITS
REFUSED: dict[str, Node] = {
    "sub: no repetition": F["sub"].but(src1=T(F32, (3,))),
    "div: result shape": F["div"].but(dst=T(F32, (8, 3))),
    "sqr: type": F["sqr"].but(src0=HALF),
    "unary: shape": F["unary EXP"].but(dst=T(F16, (48,))),
    "unary: type": F["unary EXP"].but(dst=X),
    "unary: gaps": F["unary EXP"].but(src0=T(F16, (8, 3, 2), (4, 32, 96, 192))),
    "clamp: shape": F["clamp"].but(src0=T(F32, (8, 3))),
    "fill: type": F["fill"].but(src0=X),
    "norm: shape": F["norm"].but(src0=T(F32, (8, 3, 1))),
    "norm: type": F["norm"].but(src0=HALF),
    "norm: negative epsilon": F["norm"].but(params=(float_bits(-1.0),)),
    "l2_norm: epsilon not a number": F["l2_norm"].but(params=(float_bits(NAN),)),
    "sum: more than one element": F["sum"].but(dst=T(F32, (1, 3))),
    "sum: type": F["sum"].but(dst=T(F16, (1,))),
    "sum: elements that no memory bounds": F["sum"].but(src0=REPEATED),
    "sum_rows: row of results": F["sum_rows"].but(dst=X),
    "sum_rows: rows": F["sum_rows"].but(dst=T(F32, (1, 3))),
    "sum_rows: type": F["sum_rows"].but(src0=HALF),
    "mean: one element for a row": F["mean"].but(src0=T(F32, (8, 3, 2), (0, 32, 96, 192))),
    "argsort: result type": F["argsort"].but(dst=X),
    "argsort: source type": F["argsort"].but(src0=HALF),
    "argsort: shape": F["argsort"].but(dst=T(I32, (7, 3, 2))),
    "argsort: gaps": F["argsort"].but(src0=GAPS),
    "top_k: more than there are": F["top_k"].but(dst=T(I32, (9, 3, 2))),
    "top_k: rows": F["top_k"].but(dst=T(I32, (2, 3, 1))),
    "concat: dimension": F["concat"].but(params=(4,)),
    "concat: negative dimension": F["concat"].but(params=(-1,)),
    "concat: type": F["concat"].but(src1=T(F16, (8, 2, 2))),
    "concat: another dimension": F["concat"].but(src1=T(F32, (8, 2, 1))),
    "concat: length": F["concat"].but(dst=T(F32, (8, 6, 2))),
    "concat: gaps in the result": F["concat"].but(dst=T(F32, (8, 5, 2), (8, 64, 320, 640))),
    "repeat: no multiple": F["repeat"].but(src0=T(I32, (3, 3, 1))),
    "repeat: smaller result": F["repeat"].but(src0=T(I32, (16, 3, 1))),
    "repeat: type": F["repeat"].but(src0=T(F32, (4, 3, 1))),
    "repeat: gaps": F["repeat"].but(src0=T(I32, (4, 3, 1), (8, 32, 96, 96))),
    "pad: negative": F["pad"].but(params=(1, 2, -1, 1, 2, 0, 0, 0)),
    "pad: size": F["pad"].but(params=(1, 1, 0, 0, 2, 0, 0, 0)),
    "pad: type": F["pad"].but(src0=HALF),
    "pad: gaps in the result": F["pad"].but(dst=T(F32, (11, 3, 4), (8, 88, 264, 1056))),
    "arange: count": F["arange"].but(dst=T(F32, (5,))),
    "arange: no step": F["arange"].but(params=arange(0.0, 4.0, 0.0)),
    "arange: not a number": F["arange"].but(params=arange(NAN, 4.0, 1.0)),
    "arange: no end": F["arange"].but(params=arange(-3e38, 3e38, 1e-38)),
    "arange: type": F["arange"].but(dst=T(I32, (4,))),
    "add_id: table rows": F["add_id"].but(src1=T(F32, (7, 6))),
    "add_id: table in batches": F["add_id"].but(src1=T(F32, (8, 6, 2))),
    "add_id: index type": F["add_id"].but(src2=T(I64, (3, 2))),
    "add_id: index count": F["add_id"].but(src2=T(I32, (3, 1))),
    "add_id: type": F["add_id"].but(src1=T(F16, (8, 6))),
    "add_id: gaps": F["add_id"].but(src0=GAPS),
    "mul_mat_id: row length": F["mul_mat_id"].but(src1=T(F32, (64, 3, 2))),
    "mul_mat_id: result rows": F["mul_mat_id"].but(dst=T(F32, (6, 3, 2))),
    "mul_mat_id: result type": F["mul_mat_id"].but(dst=T(F16, (5, 3, 2))),
    "mul_mat_id: index type": F["mul_mat_id"].but(src2=T(F32, (3, 2))),
    "mul_mat_id: slots": F["mul_mat_id"].but(src2=T(I32, (2, 2))),
    "mul_mat_id: tokens": F["mul_mat_id"].but(src1=T(F32, (32, 3, 3))),
    "mul_mat_id: rows for slots": F["mul_mat_id"].but(src1=T(F32, (32, 2, 2))),
    "mul_mat_id: experts in batches": F["mul_mat_id"].but(src0=T(Q8_0, (32, 5, 6, 2))),
    "mul_mat_id: experts on each other": F["mul_mat_id"].but(src0=T(Q8_0, (32, 5, 6), (34, 34, 0, 0))),
    "mul_mat_id: indices in three dimensions": F["mul_mat_id"].but(src2=T(I32, (3, 2, 2))),
    "mul_mat_id: gaps": F["mul_mat_id"].but(src1=T(F32, (32, 3, 2), (8, 256, 768, 1536))),
}

UNKNOWN_KINDS = [
    F["unary EXP"].but(params=(len(Unary),)),
    F["unary EXP"].but(params=(-1,)),
    F["argsort"].but(params=(2,)),
    Node(Op.REPEAT, T(Q8_0, (64, 2)), (T(Q8_0, (32, 2)),)),
]
