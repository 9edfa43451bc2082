"""Cases of GET_ROWS and SET_ROWS.

Tables of every type, index tensors of both widths, batches, and indices that are out of range.
"""

from collections.abc import Iterator

import numpy as np

from refimpl.kernels.cases.build import AS_IS, Extents, Layout, case, dim, empty, normal, permuted, store, whole
from refimpl.kernels.cases.copying import EDGES
from refimpl.kernels.operand import Case, Operand
from spec.names import Op, Type

__all__ = ["row_faults", "rows"]

BLOCKS_OF_32 = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
BLOCKS_OF_256 = (Type.Q4_K, Type.Q5_K, Type.Q6_K)

BLOCK_EDGES = (
    (0.0,) * 32,
    (0.0, -0.0) * 16,
    (-2.0, 2.0) * 16,
    (2.0, -2.0) * 16,
    (5.0,) * 32,
    (-5.0,) * 31 + (5.0,),
    (1e-7,) * 31 + (-3e-7,),
    (3e4, -6e4) * 16,
    tuple(i - 15.5 for i in range(32)),
    tuple(i / 2 - 8 for i in range(32)),
    (1000.0,) + (0.01,) * 31,
)
"""blocks in which signs, two largest values, ties between quants and tiny scales tell one quantiser from another"""


def rows(rng: np.random.Generator) -> Iterator[Case]:
    """All of them that a backend must compute."""
    for type_ in (Type.F32, Type.F16, Type.BF16, Type.I32, *BLOCKS_OF_32, *BLOCKS_OF_256):
        yield from _reads(rng, type_)
    for type_ in (Type.F32, Type.F16):
        for index in (Type.I64, Type.I32):
            yield from _writes(rng, type_, index)
        yield from _edges(type_)
    for type_ in (Type.BF16, *BLOCKS_OF_32):
        yield from _quantised(rng, type_)


def _quantised(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    """Rows that a cache takes: several blocks long, from both sources, over both widths of indices."""
    for source, index in ((Type.F32, Type.I64), (Type.F32, Type.I32), (Type.F16, Type.I64)):
        name = f"{source.name} to {type_.name} {index.name}"
        for ne0, count in ((32, 1), (192, 33)):
            src, places = normal(rng, source, dim(ne0, count)), _places(rng, index, dim(count), 64)
            yield _set_rows(f"{name} {count} rows of {ne0}", src, places, normal(rng, type_, dim(ne0, 64)))
        heads = permuted(normal(rng, source, dim(64, 3, 4)), (0, 2, 1, 3))
        target = normal(rng, type_, dim(64, 6, 3), Layout(slack=2, lead=1))
        yield _set_rows(f"{name} permuted, into gaps", heads, _places(rng, index, dim(4), 6), target)
    src = store(empty(Type.F32, dim(32, len(BLOCK_EDGES))), np.array(BLOCK_EDGES)[None, None])
    places = store(empty(Type.I64, dim(len(BLOCK_EDGES))), np.arange(len(BLOCK_EDGES))[None, None, None])
    yield _set_rows(f"{type_.name} edges", src, places, normal(rng, type_, dim(32, len(BLOCK_EDGES))))


def _table(rng: np.random.Generator, type_: Type, ne: Extents, layout: Layout = AS_IS) -> Operand:
    if type_ == Type.I32:
        return store(empty(type_, ne, layout), rng.integers(-(1 << 30), 1 << 30, ne[::-1]))
    return normal(rng, type_, ne, layout)


def _reads(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    target = Type.I32 if type_ == Type.I32 else Type.F32
    unit = 256 if type_ in BLOCKS_OF_256 else 32
    for ne0, count in ((unit, 1), (2 * unit, 7), (576 if unit == 32 else 768, 33)):
        srcs = _table(rng, type_, dim(ne0, 50)), whole(rng, Type.I32, dim(count), 50)
        yield case(Op.GET_ROWS, f"{type_.name} {count} rows of {ne0}", srcs, empty(target, dim(ne0, count)))
    batched = _table(rng, type_, dim(3 * unit, 11, 3, 2)), whole(rng, Type.I32, dim(5, 3, 2), 11)
    yield case(Op.GET_ROWS, f"{type_.name} batched", batched, empty(target, dim(3 * unit, 5, 3, 2)))
    gaps = _table(rng, type_, dim(2 * unit, 9), Layout(slack=2, lead=1)), whole(rng, Type.I32, dim(6), 9)
    yield case(Op.GET_ROWS, f"{type_.name} rows with gaps", gaps, empty(target, dim(2 * unit, 6)))
    wide = store(empty(Type.I32, dim(4, 2), Layout(slack=3)), rng.integers(0, 9, (1, 1, 2, 4)))
    yield case(
        Op.GET_ROWS,
        f"{type_.name} strided index",
        (_table(rng, type_, dim(unit, 9, 2)), wide),
        empty(target, dim(unit, 4, 2)),
    )
    nothing = _table(rng, type_, dim(2 * unit, 9)), whole(rng, Type.I32, dim(0), 9)
    yield case(Op.GET_ROWS, f"{type_.name} no rows", nothing, empty(target, dim(2 * unit, 0)))


def _set_rows(label: str, src: Operand, index: Operand, dst: Operand) -> Case:
    """SET_ROWS names its destination twice: as src2 and as dst, which is a view of it."""
    return case(Op.SET_ROWS, label, (src, index, dst), dst)


def _places(rng: np.random.Generator, type_: Type, ne: Extents, limit: int) -> Operand:
    """Indices that differ within each row of dimension 0: two rows for one place would have no defined winner."""
    chosen = [rng.permutation(limit)[: ne[0]] for _ in range(ne[1] * ne[2])]
    return store(empty(type_, ne), np.array(chosen, np.int64).reshape(ne[::-1]))


def _writes(rng: np.random.Generator, type_: Type, index: Type) -> Iterator[Case]:
    name = f"{type_.name} {index.name}"
    for ne0, count in ((64, 1), (80, 7), (192, 33), (1, 40)):
        src = normal(rng, Type.F32, dim(ne0, count))
        yield _set_rows(
            f"{name} {count} rows of {ne0}", src, _places(rng, index, dim(count), 64), normal(rng, type_, dim(ne0, 64))
        )
    src = normal(rng, Type.F32, dim(24, 5, 4, 3))
    shared = _places(rng, index, dim(5, 2, 1), 8)
    yield _set_rows(f"{name} index shared in the batch", src, shared, normal(rng, type_, dim(24, 8, 4, 3)))
    gaps = normal(rng, Type.F32, dim(16, 5), Layout(slack=4, lead=1))
    yield _set_rows(
        f"{name} rows with gaps", gaps, _places(rng, index, dim(5), 9), normal(rng, type_, dim(16, 9), Layout(slack=2))
    )
    heads = permuted(normal(rng, Type.F32, dim(16, 3, 4)), (0, 2, 1, 3))
    yield _set_rows(f"{name} permuted source", heads, _places(rng, index, dim(4), 6), normal(rng, type_, dim(16, 6, 3)))
    yield _set_rows(
        f"{name} no rows",
        normal(rng, Type.F32, dim(16, 0)),
        whole(rng, index, dim(0), 6),
        normal(rng, type_, dim(16, 6)),
    )


def _edges(type_: Type) -> Iterator[Case]:
    """The source's values need rounding to F16 with care."""
    src = store(empty(Type.F32, dim(len(EDGES))), np.array(EDGES))
    dst = store(empty(type_, dim(len(EDGES), 2)), np.ones((1, 1, 2, len(EDGES))))
    yield _set_rows(f"{type_.name} edges of F16", src, store(empty(Type.I64, dim(1)), np.ones(1, np.int64)), dst)


def row_faults(rng: np.random.Generator) -> Iterator[Case]:
    """An index one past the end, far past it, and negative; alone and among good ones."""
    for bad in (-1, 9, 1 << 30, -(1 << 31)):
        for place, count in ((0, 1), (6, 7), (20, 33)):
            good = rng.permutation(33)[:count] % 9
            good[place] = bad
            index = store(empty(Type.I32, dim(count)), good)
            label = f"index {bad} at {place} of {count}"
            for type_ in (Type.F32, Type.Q8_0):
                yield case(Op.GET_ROWS, label, (normal(rng, type_, dim(64, 9)), index), empty(Type.F32, dim(64, count)))
            wide = store(empty(Type.I64, dim(count)), good.astype(np.int64) * (1 << 32 if bad > 9 else 1))
            src = normal(rng, Type.F32, dim(64, count))
            yield _set_rows(label, src, index, normal(rng, Type.F16, dim(64, 9)))
            yield _set_rows(f"{label}, I64", src, wide, normal(rng, Type.F32, dim(64, 9)))
