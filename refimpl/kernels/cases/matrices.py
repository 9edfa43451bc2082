"""Cases of MUL_MAT: every weight type, odd sizes in each direction, grouped batches, and views on either side."""

from collections.abc import Iterator

import attrs
import numpy as np

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import AS_IS, Extents, Layout, dim, empty, full, normal, off_ties, permuted, store
from refimpl.kernels.operand import Case, Operand
from spec.names import Op, Prec, Type

__all__ = ["matrices"]

F32 = Type.F32


def matrices(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    for type_ in (F32, Type.F16, Type.Q4_0, Type.Q4_1, Type.Q8_0):
        yield from _sizes(rng, type_)
        yield from _batches(rng, type_)
        yield from _views(rng, type_)
        yield from _values(rng, type_)
    for type_ in (F32, Type.F16):
        yield from _attention_shapes(rng, type_)


def _activations(rng: np.random.Generator, ne: Extents, layout: Layout = AS_IS) -> Operand:
    """Values of unit size, none of them near a rounding tie of a Q8 quant."""
    return store(empty(F32, ne, layout), off_ties(rng.standard_normal(ne[::-1])))


def _product(label: str, weights: Operand, x: Operand, layout: Layout = AS_IS, prec: Prec = Prec.DEFAULT) -> Case:
    """The case, its dst fresh."""
    dst = empty(F32, (weights.ne[1], x.ne[1], x.ne[2], x.ne[3]), layout)
    return full(Op.MUL_MAT, f"{weights.type.name} {label}", (weights, x), dst, {0: int(prec)})


def _sizes(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    sizes = [(64, 17, n) for n in (1, 2, 7, 8, 32, 33)]
    sizes += [(k, 35, n) for k in (32, 96, 576, 1536) for n in (1, 7)]
    sizes += [(96, m, n) for m in (1, 3, 16, 64) for n in (1, 9)]
    sizes += [(k, m, 33) for k, m in ((96, 1), (96, 15), (32, 16), (160, 33), (1536, 50), (576, 192))]
    sizes += [(576, 192, 1), (64, 17, 0), (64, 0, 3)]
    if FORMATS[type_].block == 1:
        sizes += [(k, 5, n) for k in (1, 5, 33) for n in (1, 3)]
    for k, m, n in sizes:
        yield _product(f"k {k} m {m} n {n}", normal(rng, type_, dim(k, m)), _activations(rng, dim(k, n)))


def _batches(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    for b2, b3, x2, x3 in ((3, 1, 3, 1), (1, 1, 3, 1), (3, 1, 9, 1), (2, 2, 4, 2), (1, 2, 2, 6)):
        for n in (1, 5):
            weights, x = normal(rng, type_, dim(64, 17, b2, b3)), _activations(rng, dim(64, n, x2, x3))
            yield _product(f"batch {b2}x{b3} with {x2}x{x3}, n {n}", weights, x)


def _views(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    gaps = Layout(slack=2, lead=1)
    for n in (1, 6):
        yield _product(
            f"weights with gaps, n {n}", normal(rng, type_, dim(96, 19), gaps), _activations(rng, dim(96, n))
        )
        x = _activations(rng, dim(96, n), Layout(slack=12, lead=3))
        yield _product(f"activations with gaps, n {n}", normal(rng, type_, dim(96, 19)), x)
        dst = Layout(slack=3, lead=1)
        yield _product(f"dst with gaps, n {n}", normal(rng, type_, dim(96, 19)), _activations(rng, dim(96, n)), dst)
        heads = permuted(normal(rng, type_, dim(64, 3, 18)), (0, 2, 1, 3))
        queries = permuted(_activations(rng, dim(64, 9, n)), (0, 2, 1, 3))
        yield _product(f"both permuted, grouped heads, n {n}", heads, queries)
    tall = normal(rng, type_, dim(64, 60))
    yield _product(
        "rows 20 to 37 of a matrix",
        attrs.evolve(tall, ne=dim(64, 18), offset=20 * tall.nb[1]),
        _activations(rng, dim(64, 4)),
    )


def _values(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    """Blocks of zeros, and blocks ruled by one outlier."""
    for n in (1, 5):
        values = rng.standard_normal((1, 1, n, 128))
        values[..., 32:64] = 0
        values[..., 70] = 300
        values[0, 0, 0, :32] = 0
        x = store(empty(F32, dim(128, n)), off_ties(values))
        yield _product(f"zeros and outliers, n {n}", normal(rng, type_, dim(128, 21)), x)
    nothing = store(empty(F32, dim(64, 2)), np.zeros((1, 1, 2, 64)))
    yield _product("only zeros", normal(rng, type_, dim(64, 9)), nothing)


def _attention_shapes(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    """What attention without the fused op multiplies.

    Keys in their cache, and values in one that is kept transposed.
    """
    for length in (1, 5, 32, 256, 300):
        for n in (1, 8):
            cache = normal(rng, type_, dim(64, 3, 320))
            keys = attrs.evolve(permuted(cache, (0, 2, 1, 3)), ne=dim(64, length, 3))
            queries = permuted(_activations(rng, dim(64, 9, n)), (0, 2, 1, 3))
            yield _product(f"scores over {length} keys, n {n}", keys, queries, prec=Prec.F32)
            values = normal(rng, type_, dim(320, 64, 3))
            weights = _activations(rng, dim(length, n, 9))
            yield _product(f"values of {length} keys, n {n}", attrs.evolve(values, ne=dim(length, 64, 3)), weights)
