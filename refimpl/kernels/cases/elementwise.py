"""Cases of ADD, SUB, MUL, DIV and SCALE in F32: broadcasts, views, results that lie on a source."""

from collections.abc import Iterator

import attrs
import numpy as np

from refimpl.kernels.cases.build import Layout, case, dim, empty, full, normal, permuted
from refimpl.kernels.operand import Case
from spec.names import Op, Type

__all__ = ["elementwise"]

F32 = Type.F32


def elementwise(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    for op in (Op.ADD, Op.SUB, Op.MUL, Op.DIV):
        yield from _broadcasts(rng, op)
        yield from _layouts(rng, op)
    yield from _scales(rng)


def _broadcasts(rng: np.random.Generator, op: Op) -> Iterator[Case]:
    large = dim(33, 5, 4, 3)
    for small in (
        large,
        dim(33),
        dim(1),
        dim(1, 5),
        dim(11, 5),
        dim(33, 1, 2),
        dim(33, 5, 1, 3),
        dim(3, 1, 4),
        dim(1, 1, 1, 3),
    ):
        srcs = normal(rng, F32, large), normal(rng, F32, small)
        yield case(op, f"{large} with {small}", srcs, empty(F32, large))
    for ne in (dim(1), dim(576), dim(576, 2), dim(576, 33), dim(1536, 7)):
        srcs = normal(rng, F32, ne), normal(rng, F32, dim(ne[0]))
        yield case(op, f"rows {ne} with one row", srcs, empty(F32, ne))
    srcs = normal(rng, F32, dim(8, 0)), normal(rng, F32, dim(8))
    yield case(op, "empty", srcs, empty(F32, dim(8, 0)))


def _layouts(rng: np.random.Generator, op: Op) -> Iterator[Case]:
    ne = dim(20, 6, 3, 2)
    gaps = Layout(slack=5, lead=1)
    srcs = normal(rng, F32, ne, gaps), normal(rng, F32, ne, Layout(slack=2))
    yield case(op, "rows with gaps", srcs, empty(F32, ne, Layout(slack=3, lead=3)))
    moved = permuted(normal(rng, F32, dim(20, 3, 6, 2)), (0, 2, 1, 3))
    yield case(op, "src0 permuted", (moved, normal(rng, F32, dim(20, 6))), empty(F32, ne))
    turned = permuted(normal(rng, F32, dim(6, 20, 3, 2)), (1, 0, 2, 3))
    yield case(op, "src1 transposed", (normal(rng, F32, ne), turned), empty(F32, ne))
    first, second = normal(rng, F32, ne), normal(rng, F32, dim(20, 1, 3))
    yield case(op, "dst on src0, broadcast", (first, second), attrs.evolve(first))
    first, second = normal(rng, F32, ne), normal(rng, F32, ne)
    yield case(op, "dst on src1", (first, second), attrs.evolve(second))
    both = normal(rng, F32, ne)
    yield case(op, "a tensor with itself, in place", (both, attrs.evolve(both)), attrs.evolve(both))


def _scales(rng: np.random.Generator) -> Iterator[Case]:
    for label, factor, bias in (
        ("factor", 0.125, 0.0),
        ("factor and bias", -1.7, 0.3),
        ("fill", 0.0, -np.inf),
        ("clear", 0.0, 0.0),
    ):
        for ne in (dim(1), dim(33, 7), dim(64, 3, 2, 2)):
            yield full(
                Op.SCALE, f"{label} {ne}", (normal(rng, F32, ne),), empty(F32, ne), {0: float(factor), 1: float(bias)}
            )
        place = normal(rng, F32, dim(70, 5))
        yield full(Op.SCALE, f"{label} in place", (place,), attrs.evolve(place), {0: float(factor), 1: float(bias)})
    gaps = normal(rng, F32, dim(10, 6, 2), Layout(slack=3, lead=2))
    yield full(Op.SCALE, "rows with gaps", (gaps,), empty(F32, dim(10, 6, 2), Layout(slack=1)), {0: 2.5})
    yield full(Op.SCALE, "empty", (normal(rng, F32, dim(0, 6)),), empty(F32, dim(0, 6)), {0: 2.5})
