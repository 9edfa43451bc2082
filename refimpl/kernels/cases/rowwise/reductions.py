"""Cases of SUM, SUM_ROWS, MEAN, NORM, L2_NORM, ARGSORT and TOP_K. No two elements of a row that is sorted are equal."""

from collections.abc import Iterator

import attrs
import numpy as np

from refimpl.kernels.cases.build import AS_IS, Extents, Layout, case, dim, empty, full, normal, permuted, store
from refimpl.kernels.operand import Case, Operand
from spec.names import Op, Type

__all__ = ["reductions"]

F32 = Type.F32
EPSILON = 1e-5


def reductions(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    yield from _sums(rng)
    for op in (Op.NORM, Op.L2_NORM):
        yield from _norms(rng, op)
    yield from _sorts(rng)


def _sums(rng: np.random.Generator) -> Iterator[Case]:
    shapes = (dim(1), dim(7, 3), dim(33, 5, 2, 3), dim(576, 4), dim(1537, 2))
    for ne in shapes:
        x = _around_one(rng, F32, ne)
        yield case(Op.SUM, f"{ne}", (x,), empty(F32, dim(1)))
        for op in (Op.SUM_ROWS, Op.MEAN):
            yield case(op, f"{ne}", (x,), empty(F32, (1, *ne[1:])))
    gaps = _around_one(rng, F32, dim(20, 6, 3), Layout(slack=5, lead=1))
    turned = permuted(_around_one(rng, F32, dim(6, 20, 3)), (1, 0, 2, 3))
    for label, x in (("rows with gaps", gaps), ("transposed", turned)):
        yield case(Op.SUM, label, (x,), empty(F32, dim(1)))
        for op in (Op.SUM_ROWS, Op.MEAN):
            yield case(op, label, (x,), empty(F32, (1, *x.ne[1:])))
            yield case(op, f"{label}, results with gaps", (x,), empty(F32, (1, *x.ne[1:]), Layout(slack=2, lead=1)))
    for ne in (dim(1), dim(33, 5, 2)):
        yield case(Op.SUM, f"F16 {ne}", (_around_one(rng, Type.F16, ne),), empty(Type.F16, dim(1)))
    turned = permuted(_around_one(rng, Type.F16, dim(6, 20, 3)), (1, 0, 2, 3))
    yield case(Op.SUM, "F16 transposed", (turned,), empty(Type.F16, dim(1)))


def _around_one(rng: np.random.Generator, type_: Type, ne: Extents, layout: Layout = AS_IS) -> Operand:
    """Sums do not vanish."""
    return store(empty(type_, ne, layout), 1 + 0.5 * rng.standard_normal(ne[::-1]))


def _norms(rng: np.random.Generator, op: Op) -> Iterator[Case]:
    words = {0: EPSILON}
    for ne in (dim(7, 3), dim(32), dim(576, 7), dim(1537, 5), dim(64, 3, 5, 2), dim(64, 0)):
        yield full(op, f"rows {ne}", (normal(rng, F32, ne),), empty(F32, ne), words)
    yield full(op, "large epsilon", (normal(rng, F32, dim(96, 4)),), empty(F32, dim(96, 4)), {0: 20.0})
    zeros = store(empty(F32, dim(40, 2)), np.zeros((1, 1, 2, 40)))
    yield full(op, "zeros", (zeros,), empty(F32, dim(40, 2)), words)
    gaps = normal(rng, F32, dim(50, 6), Layout(slack=14, lead=1))
    yield full(op, "rows with gaps", (gaps,), empty(F32, dim(50, 6), Layout(slack=2)), words)
    heads = permuted(normal(rng, F32, dim(16, 3, 5)), (0, 2, 1, 3))
    yield full(op, "permuted", (heads,), empty(F32, heads.ne), words)
    turned = permuted(normal(rng, F32, dim(6, 20, 3)), (1, 0, 2, 3))
    yield full(op, "transposed", (turned,), empty(F32, turned.ne), words)
    place = normal(rng, F32, dim(576, 5))
    yield full(op, "in place", (place,), attrs.evolve(place), words)
    yield full(op, "transposed, in place", (turned,), attrs.evolve(turned), words)


def _sorts(rng: np.random.Generator) -> Iterator[Case]:
    for ne in (dim(1), dim(2, 3), dim(7, 3), dim(64, 5), dim(257, 3, 2, 2), dim(1000, 2), dim(5, 0)):
        x = normal(rng, F32, ne)
        for order in (0, 1):
            yield full(Op.ARGSORT, f"order {order} {ne}", (x,), empty(Type.I32, ne), {0: order})
        for k in {1, min(3, ne[0]), ne[0]}:
            yield case(Op.TOP_K, f"{k} of {ne}", (x,), empty(Type.I32, (k, *ne[1:])))
    gaps = normal(rng, F32, dim(20, 6, 3), Layout(slack=5, lead=1))
    yield full(Op.ARGSORT, "rows with gaps", (gaps,), empty(Type.I32, gaps.ne, Layout(slack=1)), {0: 1})
    yield case(Op.TOP_K, "rows with gaps", (gaps,), empty(Type.I32, dim(4, 6, 3), Layout(slack=1)))
    edges = store(empty(F32, dim(6)), np.array([-np.inf, 3e38, -1e-45, 1e-45, np.inf, -3e38]))
    for order in (0, 1):
        yield full(Op.ARGSORT, f"order {order} of extremes", (edges,), empty(Type.I32, dim(6)), {0: order})
