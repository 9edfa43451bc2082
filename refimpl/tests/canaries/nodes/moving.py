"""Copies, rows by index, what is put together from parts, sums and sorts."""

from collections.abc import Callable, Mapping

from refimpl.graph.params import float_bits
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.tests.canaries.draw import FEW, Draw
from refimpl.tests.graph.node import Node
from refimpl.tests.graph.samples import T
from spec.names import Op, Type

__all__ = ["MOVING"]

F32, F16, BF16, I32, I64 = Type.F32, Type.F16, Type.BF16, Type.I32, Type.I64
SMALL_BLOCKS = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
BLOCKS = (*SMALL_BLOCKS, Type.Q4_K, Type.Q5_K, Type.Q6_K)
COPIED = (
    *((source, target) for source in (F32, F16) for target in (F32, F16, BF16, *SMALL_BLOCKS)),
    *((BF16, target) for target in (F32, F16, BF16)),
    (I32, I32),
    *((block, target) for block in BLOCKS for target in (F32, block)),
)
PLAIN = tuple(
    types for types in COPIED if FORMATS[types[0]].block == FORMATS[types[1]].block == 1 and BF16 not in types
)
"""what CONT has a tolerance for: the others are DUP's kernels under another name"""
STORED = (
    *((F32, target) for target in (F32, F16, BF16, *SMALL_BLOCKS)),
    *((F16, t) for t in (F32, F16, *SMALL_BLOCKS)),
)
MOST_ROWS = 40


def _unit(*types: Type) -> int:
    return max(FORMATS[type_].block for type_ in types)


def _copied(op: Op) -> Callable[[Draw], Node]:
    def node(draw: Draw) -> Node:
        source, target = draw.one(*(PLAIN if op == Op.CONT else COPIED))
        unit = _unit(source, target)
        ne = draw.shape(unit)
        src, dst = draw.strided(source, ne), draw.strided(target, _reshaped(draw, ne) if unit == 1 else ne)
        return Node(op, dst, (src, dst), alias=1) if op == Op.CPY else Node(op, dst, (src,))

    return node


def _reshaped(draw: Draw, ne: tuple[int, ...]) -> tuple[int, ...]:
    """As many elements in another shape, sometimes."""
    if draw.chance(70):
        return ne
    return (ne[0] * ne[1], ne[2], ne[3], 1) if draw.chance(50) else (ne[1], ne[0], ne[3], ne[2])


def _get_rows(draw: Draw) -> Node:
    type_ = draw.one(F32, F16, BF16, I32, *BLOCKS)
    unit = _unit(type_)
    columns, rows, b2, b3 = (
        draw.extent(max(FEW // 8, unit), unit),
        draw.extent(MOST_ROWS),
        draw.whole(1, 3),
        draw.whole(1, 2),
    )
    count = draw.extent(MOST_ROWS)
    table, ids = draw.rows(type_, (columns, rows, b2, b3)), draw.strided(I32, (count, b2, b3))
    return Node(Op.GET_ROWS, draw.rows(I32 if type_ == I32 else F32, (columns, count, b2, b3)), (table, ids))


def _set_rows(draw: Draw) -> Node:
    source, target = draw.one(*STORED)
    columns, b2, b3 = draw.extent(max(FEW // 8, _unit(target)), _unit(target)), draw.whole(1, 3), draw.whole(1, 2)
    rows = draw.extent(MOST_ROWS)
    count = draw.whole(1, rows)
    ids = draw.strided(draw.one(I32, I64), (count, draw.one(1, b2), draw.one(1, b3)))
    dst = draw.rows(target, (columns, rows, b2, b3))
    return Node(Op.SET_ROWS, dst, (draw.rows(source, (columns, count, b2, b3)), ids, dst), alias=2)


def _concat(draw: Draw) -> Node:
    type_, dim = draw.one(F32, F16, I32, Type.Q4_0, Type.Q8_0), draw.whole(0, 3)
    unit = _unit(type_)
    first = draw.shape(unit, FEW // 2)
    second, whole = list(first), list(first)
    second[dim] = draw.extent(4 * unit, unit) if dim == 0 else draw.whole(1, 5)
    whole[dim] += second[dim]
    return Node(Op.CONCAT, draw.rows(type_, whole), (draw.strided(type_, first), draw.strided(type_, second)), (dim,))


def _repeat(draw: Draw) -> Node:
    ne, type_ = draw.shape(few=FEW // 8), draw.one(F32, F16, I32)
    return Node(Op.REPEAT, draw.rows(type_, [extent * draw.one(1, 1, 2, 3) for extent in ne]), (draw.rows(type_, ne),))


def _pad(draw: Draw) -> Node:
    ne, around = draw.shape(few=FEW // 4), [draw.one(0, 0, 1, 3) for _ in range(8)]
    padded = [extent + around[2 * dim] + around[2 * dim + 1] for dim, extent in enumerate(ne)]
    return Node(Op.PAD, draw.natural(F32, padded), (draw.strided(F32, ne),), (*around, draw.whole(0, 1)))


def _arange(draw: Draw) -> Node:
    count, step = draw.extent(FEW), draw.one(0.5, 1.0, -0.25)
    return Node(Op.ARANGE, T(F32, (count,)), (), [float_bits(value) for value in (2.0, 2.0 + count * step, step)])


def _sum(draw: Draw) -> Node:
    type_ = draw.one(F32, F16)
    return Node(Op.SUM, T(type_, (1,)), (draw.strided(type_, draw.shape()),))


def _row_sums(op: Op) -> Callable[[Draw], Node]:
    def node(draw: Draw) -> Node:
        ne = draw.shape()
        return Node(op, draw.rows(F32, (1, *ne[1:])), (draw.strided(F32, ne),))

    return node


def _argsort(draw: Draw) -> Node:
    ne = draw.shape()
    return Node(Op.ARGSORT, draw.rows(I32, ne), (draw.rows(F32, ne),), (draw.whole(0, 1),))


def _top_k(draw: Draw) -> Node:
    ne = draw.shape()
    return Node(Op.TOP_K, draw.rows(I32, (draw.whole(1, ne[0]), *ne[1:])), (draw.rows(F32, ne),))


MOVING: Mapping[Op, Callable[[Draw], Node]] = {
    **{op: _copied(op) for op in (Op.DUP, Op.CONT, Op.CPY)},
    Op.GET_ROWS: _get_rows,
    Op.SET_ROWS: _set_rows,
    Op.CONCAT: _concat,
    Op.REPEAT: _repeat,
    Op.PAD: _pad,
    Op.ARANGE: _arange,
    Op.SUM: _sum,
    Op.SUM_ROWS: _row_sums(Op.SUM_ROWS),
    Op.MEAN: _row_sums(Op.MEAN),
    Op.ARGSORT: _argsort,
    Op.TOP_K: _top_k,
}
