"""Cases of CONCAT, REPEAT, PAD and ARANGE: every dimension, types that are only moved, views."""

from collections.abc import Iterator

import numpy as np

from refimpl.kernels.cases.build import Extents, Layout, case, dim, empty, full, normal, permuted, whole
from refimpl.kernels.operand import Case, Operand
from spec.names import Op, Type

__all__ = ["joining"]

F32 = Type.F32


def joining(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    for type_ in (F32, Type.F16, Type.I32):
        yield from _concats(rng, type_)
        yield from _repeats(rng, type_)
    yield from _blocks(rng)
    yield from _pads(rng)
    for start, step, count in ((0.0, 1.0, 10), (-3.5, 0.25, 2500), (7.0, -2.0, 5)):
        words = {0: start, 1: start + step * count, 2: step}
        yield full(Op.ARANGE, f"{count} from {start} by {step}", (), empty(F32, dim(count)), words)


def _any(rng: np.random.Generator, type_: Type, ne: Extents, layout: Layout | None = None) -> Operand:
    if type_ == Type.I32:
        return whole(rng, type_, ne, 1 << 30)
    return normal(rng, type_, ne, layout or Layout())


def _along(ne: Extents, axis: int, extent: int) -> Extents:
    changed = [extent if d == axis else ne[d] for d in range(4)]
    return changed[0], changed[1], changed[2], changed[3]


def _concats(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    ne = dim(11, 5, 3, 2)
    for axis in range(4):
        a, b = _any(rng, type_, ne), _any(rng, type_, _along(ne, axis, 4))
        dst = _along(ne, axis, ne[axis] + 4)
        yield full(Op.CONCAT, f"{type_.name} along {axis}", (a, b), empty(type_, dst), {0: axis})
        label = f"{type_.name} views along {axis}"
        turned = permuted(_any(rng, type_, dim(5, 11, 3, 2)), (1, 0, 2, 3))
        gaps = _any(rng, type_, _along(ne, axis, 4), Layout(slack=2, lead=1))
        yield full(Op.CONCAT, label, (turned, gaps), empty(type_, dst, Layout(slack=3, lead=1)), {0: axis})


def _repeats(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    for small, large in (
        (dim(5, 3, 2), dim(15, 6, 2, 2)),
        (dim(1, 4), dim(33, 4)),
        (dim(33, 1), dim(33, 7)),
        (dim(1), dim(3, 2, 2, 2)),
        (dim(16, 3), dim(16, 3)),
    ):
        x = _any(rng, type_, small)
        yield case(Op.REPEAT, f"{type_.name} {small} to {large}", (x,), empty(type_, large))
    gaps = _any(rng, type_, dim(5, 3), Layout(slack=2, lead=1))
    yield case(Op.REPEAT, f"{type_.name} rows with gaps", (gaps,), empty(type_, dim(10, 6), Layout(slack=1)))
    heads = permuted(_any(rng, type_, dim(8, 3, 4)), (0, 2, 1, 3))
    yield case(Op.REPEAT, f"{type_.name} permuted", (heads,), empty(type_, dim(8, 4, 6)))


def _blocks(rng: np.random.Generator) -> Iterator[Case]:
    for type_ in (Type.Q4_0, Type.Q8_0):
        for axis, extents in ((0, (64, 32)), (1, (3, 2))):
            ne = dim(64, 3)
            a, b = normal(rng, type_, ne), normal(rng, type_, _along(ne, axis, extents[1]))
            dst = empty(type_, _along(ne, axis, sum(extents)))
            yield full(Op.CONCAT, f"{type_.name} along {axis}", (a, b), dst, {0: axis})


def _pads(rng: np.random.Generator) -> Iterator[Case]:
    ne = dim(9, 5, 3, 2)
    for circular in (0, 1):
        for pads in ((0, 3, 0, 0, 0, 0, 0, 0), (2, 1, 1, 2, 0, 1, 1, 0), (4, 4, 0, 3, 2, 2, 0, 1)):
            words = {**dict(enumerate(pads)), 8: circular}
            sides = [ne[d] + pads[2 * d] + pads[2 * d + 1] for d in range(4)]
            dst = sides[0], sides[1], sides[2], sides[3]
            label = f"by {pads}{', circular' if circular else ''}"
            yield full(Op.PAD, label, (normal(rng, F32, ne),), empty(F32, dst), words)
            turned = permuted(normal(rng, F32, dim(5, 9, 3, 2), Layout(slack=2, lead=1)), (1, 0, 2, 3))
            yield full(Op.PAD, f"{label}, transposed", (turned,), empty(F32, dst, Layout(slack=1)), words)
