"""Arithmetic, functions, gates and norms, of any shape, with gaps and repetitions, sometimes in place."""

from collections.abc import Callable, Mapping, Sequence

from refimpl.graph.params import float_bits
from refimpl.tests.canaries.draw import Draw
from refimpl.tests.graph.node import Node
from refimpl.tests.graph.samples import T
from spec.names import Glu, Op, Type, Unary

__all__ = ["POINTWISE"]

F32, F16, BF16 = Type.F32, Type.F16, Type.BF16
MIXED = (
    (F32, F32, F32),
    *((half, second, half) for half in (F16, BF16) for second in (half, F32)),
    *((half, F32, F32) for half in (F16, BF16)),
)
GLU_SWAPPED, GLU_ALPHA, GLU_LIMIT = 1, 2, 3
GLU_WORDS = 4


def _in_place(draw: Draw, op: Op, src: T, others: Sequence[T], params: Sequence[int] = ()) -> Node:
    """The result like src0: over it, or somewhere else with a layout of its own."""
    if draw.chance(25):
        return Node(op, src, (src, *others), params, alias=0)
    return Node(op, draw.rows(src.type, src.ne), (src, *others), params)


def _binary(op: Op) -> Callable[[Draw], Node]:
    def node(draw: Draw) -> Node:
        first, second, result = draw.one(*MIXED)
        ne = draw.shape()
        smaller = [draw.one(extent, extent, 1, _divisor(draw, extent)) for extent in ne]
        src, other = draw.rows(first, ne), draw.repeated(second, smaller)
        if first == result:
            return _in_place(draw, op, src, (other,))
        return Node(op, draw.rows(result, ne), (src, other))

    return node


def _divisor(draw: Draw, extent: int) -> int:
    return draw.one(*(part for part in range(1, extent + 1) if extent % part == 0))


def _alike(op: Op, types: Sequence[Type], params: Callable[[Draw], Sequence[int]] = lambda _: ()) -> Callable:
    def node(draw: Draw) -> Node:
        src = draw.rows(draw.one(*types), draw.shape())
        return _in_place(draw, op, src, (), params(draw))

    return node


def _eps(draw: Draw) -> Sequence[int]:
    return (float_bits(draw.one(0.0, 1e-5, 1e-3)),)


def _strided_norm(op: Op) -> Callable[[Draw], Node]:
    def node(draw: Draw) -> Node:
        ne = draw.shape()
        return Node(op, draw.strided(F32, ne), (draw.strided(F32, ne),), _eps(draw))

    return node


def _glu(draw: Draw) -> Node:
    kind = draw.one(*Glu)
    type_ = F32 if kind == Glu.SWIGLU_OAI else draw.one(F32, F16, BF16)
    params = [0] * GLU_WORDS
    params[0], params[GLU_SWAPPED] = kind, draw.whole(0, 1)
    params[GLU_ALPHA], params[GLU_LIMIT] = float_bits(1.702), float_bits(2.0)
    ne = draw.shape()
    dst = draw.rows(type_, ne)
    if draw.chance(50):
        params[GLU_SWAPPED] = 0
        return Node(Op.GLU, dst, (draw.rows(type_, ne), draw.rows(type_, ne)), params)
    return Node(Op.GLU, dst, (draw.rows(type_, (2 * ne[0] + draw.whole(0, 1), *ne[1:])),), params)


def _unary(draw: Draw) -> Node:
    src = draw.rows(draw.one(F32, F16, BF16), draw.shape())
    params = (draw.one(*Unary), *(float_bits(value) for value in (0.8, 0.8, 0.5, 1e-6)))
    return _in_place(draw, Op.UNARY, src, (), params)


POINTWISE: Mapping[Op, Callable[[Draw], Node]] = {
    **{op: _binary(op) for op in (Op.ADD, Op.SUB, Op.MUL, Op.DIV)},
    **{op: _alike(op, (F32, F16, BF16)) for op in (Op.SQR, Op.SQRT, Op.LOG, Op.SIN, Op.COS)},
    Op.SCALE: _alike(Op.SCALE, (F32,), lambda draw: (float_bits(draw.one(0.0, -1.5, 2.0)), float_bits(0.25))),
    Op.CLAMP: _alike(Op.CLAMP, (F32, F16), lambda _: (float_bits(-0.5), float_bits(0.75))),
    Op.FILL: _alike(Op.FILL, (F32, F16), lambda draw: (float_bits(draw.one(0.0, -1.5)),)),
    Op.RMS_NORM: _alike(Op.RMS_NORM, (F32,), _eps),
    Op.NORM: _strided_norm(Op.NORM),
    Op.L2_NORM: _strided_norm(Op.L2_NORM),
    Op.UNARY: _unary,
    Op.GLU: _glu,
}
