"""Cases of DUP, CPY and CONT: type changes, views of every shape, and the edges of F16."""

from collections.abc import Iterator

import attrs
import numpy as np

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import Layout, case, dim, empty, normal, permuted, store, whole
from refimpl.kernels.operand import Case, Operand
from spec.names import Op, Type

__all__ = ["copying"]

EDGES = (
    *(0.0, -0.0, 1.0, 65504.0, 65519.0, 65520.0, -65520.0, 1e30, np.inf, -np.inf, np.nan),
    *(6.1035156e-05, 6.0e-05, 5.9604645e-08, 2.9802322e-08, 2.9802326e-08, 1e-10, -5.9604645e-08),
    *(1.00048828125, 1.00146484375, 1.0004883, 2049.0, 2051.0, 4098.0, -2049.0),
)
"""what tells rounding to the nearest F16, ties to even, from its imitations: overflow, subnormals, ties up and down"""


def _cpy(label: str, src: Operand, dst: Operand) -> Case:
    """CPY names its destination twice: as src1 and as dst, which is a view of it."""
    return case(Op.CPY, label, (src, dst), dst)


def copying(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    yield from _conversions(rng)
    yield from _views(rng)
    yield from _blocks(rng)
    yield from _into_caches(rng)


def _conversions(rng: np.random.Generator) -> Iterator[Case]:
    for source in (Type.F32, Type.F16):
        for target in (Type.F32, Type.F16):
            names = f"{source.name} to {target.name}"
            for ne in (dim(1), dim(7, 5), dim(64, 3, 2), dim(33, 2, 3, 2)):
                yield _cpy(f"{names} packed {ne}", normal(rng, source, ne), empty(target, ne))
            edges = store(empty(source, dim(len(EDGES))), np.array(EDGES))
            yield _cpy(f"{names} edges of F16", edges, empty(target, dim(len(EDGES))))
            yield _cpy(f"{names} empty", normal(rng, source, dim(5, 0, 3)), empty(target, dim(5, 0, 3)))
            yield case(Op.DUP, f"dup {names}", (normal(rng, source, dim(19, 3)),), empty(target, dim(19, 3)))
    for ne in (dim(1), dim(33, 2, 3, 2), dim(5, 0, 3)):
        yield _cpy(f"BF16 to F32 packed {ne}", normal(rng, Type.BF16, ne), empty(Type.F32, ne))
        yield _cpy(f"BF16 to BF16 packed {ne}", normal(rng, Type.BF16, ne), empty(Type.BF16, ne))
    every = store(empty(Type.BF16, dim(len(EDGES))), np.array(EDGES))
    yield case(Op.DUP, "dup BF16 to F32", (every,), empty(Type.F32, dim(len(EDGES))))
    turned = permuted(normal(rng, Type.BF16, dim(19, 3)), (1, 0, 2, 3))
    yield case(Op.CONT, "BF16 transposed", (turned,), empty(Type.BF16, dim(3, 19)))
    ids = whole(rng, Type.I32, dim(9, 4), 1 << 30)
    yield case(Op.CONT, "I32 transposed", (permuted(ids, (1, 0, 2, 3)),), empty(Type.I32, dim(4, 9)))


def _views(rng: np.random.Generator) -> Iterator[Case]:
    for type_ in (Type.F32, Type.F16):
        name = type_.name
        matrix = normal(rng, type_, dim(13, 17, 2))
        yield case(Op.CONT, f"{name} transposed", (permuted(matrix, (1, 0, 2, 3)),), empty(type_, dim(17, 13, 2)))
        heads = normal(rng, type_, dim(16, 5, 3, 2))
        yield case(
            Op.CONT, f"{name} heads after tokens", (permuted(heads, (0, 2, 1, 3)),), empty(type_, dim(16, 3, 5, 2))
        )
        rolled = permuted(heads, (3, 0, 1, 2))
        yield case(Op.CONT, f"{name} all dimensions moved", (rolled,), empty(type_, rolled.ne))
        merged = permuted(heads, (0, 2, 1, 3))
        yield case(Op.CONT, f"{name} heads merged into rows", (merged,), empty(type_, dim(48, 5, 2)))
        gaps = normal(rng, type_, dim(10, 6), Layout(slack=3, lead=1))
        yield _cpy(f"{name} rows with gaps to rows with gaps", gaps, empty(type_, dim(10, 6), Layout(slack=5, lead=2)))
        yield _cpy(f"{name} into a column", normal(rng, type_, dim(11)), empty(type_, dim(1, 11), Layout(slack=4)))
        for op in (Op.DUP, Op.CONT):
            gaps = normal(rng, type_, dim(21, 4, 3), Layout(slack=3, lead=5))
            yield case(op, f"{name} rows with gaps", (gaps,), empty(type_, dim(21, 4, 3)))
        flat = normal(rng, type_, dim(6, 4, 5))
        yield _cpy(f"{name} another shape", flat, empty(type_, dim(10, 3, 2, 2), Layout(slack=1)))
        swapped = empty(type_, dim(7, 9), Layout(order=(1, 0, 2, 3)))
        yield _cpy(f"{name} into a transposed place", normal(rng, type_, dim(7, 9)), swapped)
        yield from _within_one_array(rng, type_)


def _within_one_array(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    """Source and destination are different rows of the same memory."""
    pool = normal(rng, type_, dim(12, 10))
    upper = attrs.evolve(pool, ne=dim(12, 5))
    lower = attrs.evolve(upper, offset=5 * pool.nb[1])
    yield _cpy(f"{type_.name} within one array", upper, lower)


def _blocks(rng: np.random.Generator) -> Iterator[Case]:
    for type_ in (*(Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0), *(Type.Q4_K, Type.Q5_K, Type.Q6_K)):
        ne = dim(3 * FORMATS[type_].block, 5, 2)
        yield _cpy(f"{type_.name} to F32", normal(rng, type_, ne), empty(Type.F32, ne))
        yield _cpy(f"{type_.name} as it is", normal(rng, type_, ne), empty(type_, ne))
        otherwise = empty(type_, dim(ne[0], 2, 1, 5))
        yield _cpy(f"{type_.name} rows counted otherwise", normal(rng, type_, ne, Layout(slack=1)), otherwise)
        yield case(Op.DUP, f"{type_.name} rows with gaps", (normal(rng, type_, ne, Layout(slack=1)),), empty(type_, ne))


def _into_caches(rng: np.random.Generator) -> Iterator[Case]:
    """From plain types to BF16 and to blocks, whose rows are packed."""
    for source in (Type.F32, Type.F16):
        for target in (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0):
            name, ne = f"{source.name} to {target.name}", dim(96, 5, 2)
            yield _cpy(name, normal(rng, source, ne), empty(target, ne))
            gaps = normal(rng, source, ne, Layout(slack=3, lead=1))
            yield _cpy(f"{name} rows with gaps", gaps, empty(target, ne, Layout(slack=1, lead=2)))
            turned = permuted(normal(rng, source, dim(32, 3, 4)), (0, 2, 1, 3))
            yield case(Op.DUP, f"{name} heads after tokens", (turned,), empty(target, dim(32, 4, 3)))
    for source, target in ((Type.F32, Type.BF16), (Type.F16, Type.BF16), (Type.BF16, Type.F16)):
        name = f"{source.name} to {target.name}"
        for ne in (dim(1), dim(33, 2, 3, 2)):
            yield _cpy(f"{name} packed {ne}", normal(rng, source, ne), empty(target, ne))
        edges = store(empty(source, dim(len(EDGES))), np.array(EDGES))
        yield _cpy(f"{name} edges of F16", edges, empty(target, dim(len(EDGES))))
        turned = permuted(normal(rng, source, dim(19, 35)), (1, 0, 2, 3))
        yield case(Op.CONT, f"{name} transposed", (turned,), empty(target, dim(35, 19)))
