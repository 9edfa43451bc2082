"""Cases of UNARY in all kinds, SQR, SQRT, LOG, SIN, COS in F32, F16 and BF16; CLAMP and FILL in F32 and F16."""

from collections.abc import Iterator

import attrs
import numpy as np

from refimpl.kernels.cases.build import Layout, case, dim, empty, full, normal, permuted, store
from refimpl.kernels.operand import Case, Operand
from spec.names import Op, Type, Unary

__all__ = ["functions"]

REALS = (Type.F32, Type.F16)
SIZE = 4.0
"""of the arguments: most functions bend within it"""
XIELU = {1: 0.8, 2: 0.6, 3: 0.5, 4: -1e-6}
EDGES = (0.0, -0.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.0, -3.0, 0.25, 0.75, -0.75, 9.5, -9.5, 12.0, -12.0, 25.0, -25.0)
"""what tells one rounding, one bound or one branch from another"""
POSITIVE = (Op.SQRT, Op.LOG)


def functions(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    for type_ in (*REALS, Type.BF16):
        for kind in Unary:
            yield from _named(rng, type_, kind)
        for op in (Op.SQR, Op.SQRT, Op.LOG, Op.SIN, Op.COS):
            yield from _single(rng, type_, op)
    for type_ in REALS:
        yield from _clamps(rng, type_)
        yield from _fills(rng, type_)


def _arguments(rng: np.random.Generator, type_: Type, *ne: int) -> Operand:
    made = normal(rng, type_, dim(*ne))
    return store(made, SIZE * rng.standard_normal(dim(*ne)[::-1]))


def _named(rng: np.random.Generator, type_: Type, kind: Unary) -> Iterator[Case]:
    name = f"{type_.name} {kind.name}"
    words: dict[int, int | float] = {0: int(kind)}
    if kind == Unary.XIELU:
        words |= XIELU
    for ne in (dim(1), dim(37, 5), dim(64, 2, 3, 2), dim(8, 0)):
        yield full(Op.UNARY, f"{name} {ne}", (_arguments(rng, type_, *ne),), empty(type_, ne), words)
    edges = store(empty(type_, dim(len(EDGES))), np.array(EDGES))
    yield full(Op.UNARY, f"{name} edges", (edges,), empty(type_, edges.ne), words)
    gaps = normal(rng, type_, dim(20, 6), Layout(slack=3, lead=1))
    yield full(Op.UNARY, f"{name} rows with gaps", (gaps,), empty(type_, gaps.ne, Layout(slack=2)), words)
    place = normal(rng, type_, dim(40, 3))
    yield full(Op.UNARY, f"{name} in place", (place,), attrs.evolve(place), words)


def _single(rng: np.random.Generator, type_: Type, op: Op) -> Iterator[Case]:
    name = type_.name
    for ne in (dim(1), dim(37, 5), dim(64, 2, 3, 2), dim(8, 0)):
        values = SIZE * rng.standard_normal(ne[::-1])
        src = store(empty(type_, ne), np.abs(values) + 0.01 if op in POSITIVE else values)
        yield case(op, f"{name} {ne}", (src,), empty(type_, ne))
    values = np.abs(rng.standard_normal((1, 1, 6, 20))) + 0.5
    gaps = store(empty(type_, dim(20, 6), Layout(slack=3, lead=1)), values)
    yield case(op, f"{name} rows with gaps", (gaps,), empty(type_, gaps.ne, Layout(slack=2)))
    heads = permuted(store(empty(type_, dim(16, 3, 5)), np.abs(rng.standard_normal((1, 5, 3, 16))) + 0.5), (0, 2, 1, 3))
    yield case(op, f"{name} permuted", (heads,), empty(type_, heads.ne))


def _clamps(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    for least, most in ((-0.5, 0.7), (0.25, np.inf), (-np.inf, 0.0)):
        words = {0: float(least), 1: float(most)}
        for ne in (dim(1), dim(33, 5), dim(64, 3, 2)):
            src = normal(rng, type_, ne)
            yield full(Op.CLAMP, f"{type_.name} {least} to {most}, {ne}", (src,), empty(type_, ne), words)
    gaps = normal(rng, type_, dim(20, 6), Layout(slack=3, lead=1))
    bounds = {0: -0.5, 1: 0.5}
    yield full(Op.CLAMP, f"{type_.name} rows with gaps", (gaps,), empty(type_, gaps.ne, Layout(slack=2)), bounds)
    place = normal(rng, type_, dim(40, 3))
    yield full(Op.CLAMP, f"{type_.name} in place", (place,), attrs.evolve(place), bounds)


def _fills(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    for value in (0.0, -1.7, np.inf):
        for ne in (dim(1), dim(33, 5), dim(16, 3, 2), dim(8, 0)):
            src = normal(rng, type_, ne)
            yield full(Op.FILL, f"{type_.name} {value}, {ne}", (src,), empty(type_, ne), {0: float(value)})
    place = normal(rng, type_, dim(40, 3), Layout(slack=2, lead=1))
    yield full(Op.FILL, f"{type_.name} in place", (place,), attrs.evolve(place), {0: 2.5})
