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
HADAMARD = 1
"""op_params word 1: a hint that the weights are a Hadamard matrix"""


def matrices(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    for type_ in (F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0):
        yield from _sizes(rng, type_)
        yield from _batches(rng, type_)
        yield from _views(rng, type_)
        yield from _values(rng, type_)
    for type_ in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        yield from _large_block_sizes(rng, type_)
        yield from _batches(rng, type_)
        yield from _views(rng, type_)
        yield from _values(rng, type_)
    for type_ in (F32, Type.F16):
        yield from _attention_shapes(rng, type_)
    yield from _hadamard(rng)


def _unit(type_: Type) -> int:
    """Elements that share a scale in the activations."""
    return max(32, FORMATS[type_].block)


def _activations(rng: np.random.Generator, type_: Type, ne: Extents, layout: Layout = AS_IS) -> Operand:
    """Values of unit size, none of them near a rounding tie of the quants that meet weights of a type."""
    return store(empty(F32, ne, layout), off_ties(rng.standard_normal(ne[::-1]), _unit(type_)))


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
        yield _product(f"k {k} m {m} n {n}", normal(rng, type_, dim(k, m)), _activations(rng, type_, dim(k, n)))


def _large_block_sizes(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    sizes = [(256, 17, n) for n in (1, 2, 7, 8, 32, 33)]
    sizes += [(k, 35, n) for k in (512, 768, 1536) for n in (1, 7)]
    sizes += [(512, m, n) for m in (1, 3, 16, 64) for n in (1, 9)]
    sizes += [(k, m, 33) for k, m in ((768, 1), (768, 15), (256, 16), (1280, 33), (1536, 50), (768, 192))]
    sizes += [(4096, 32, 2), (256, 17, 0), (256, 0, 3)]
    for k, m, n in sizes:
        yield _product(f"k {k} m {m} n {n}", normal(rng, type_, dim(k, m)), _activations(rng, type_, dim(k, n)))


def _batches(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    k = 2 * _unit(type_)
    for b2, b3, x2, x3 in ((3, 1, 3, 1), (1, 1, 3, 1), (3, 1, 9, 1), (2, 2, 4, 2), (1, 2, 2, 6)):
        for n in (1, 5):
            weights, x = normal(rng, type_, dim(k, 17, b2, b3)), _activations(rng, type_, dim(k, n, x2, x3))
            yield _product(f"batch {b2}x{b3} with {x2}x{x3}, n {n}", weights, x)


def _views(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    gaps, odd, even = Layout(slack=2, lead=1), 3 * _unit(type_), 2 * _unit(type_)
    for n in (1, 6):
        x = _activations(rng, type_, dim(odd, n))
        yield _product(f"weights with gaps, n {n}", normal(rng, type_, dim(odd, 19), gaps), x)
        yield _product(f"dst with gaps, n {n}", normal(rng, type_, dim(odd, 19)), x, Layout(slack=3, lead=1))
        x = _activations(rng, type_, dim(odd, n), Layout(slack=12, lead=3))
        yield _product(f"activations with gaps, n {n}", normal(rng, type_, dim(odd, 19)), x)
        heads = permuted(normal(rng, type_, dim(even, 3, 18)), (0, 2, 1, 3))
        queries = permuted(_activations(rng, type_, dim(even, 9, n)), (0, 2, 1, 3))
        yield _product(f"both permuted, grouped heads, n {n}", heads, queries)
    tall = normal(rng, type_, dim(even, 60))
    yield _product(
        "rows 20 to 37 of a matrix",
        attrs.evolve(tall, ne=dim(even, 18), offset=20 * tall.nb[1]),
        _activations(rng, type_, dim(even, 4)),
    )


def _values(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    """Blocks of zeros, and blocks ruled by one outlier."""
    unit = _unit(type_)
    for n in (1, 5):
        values = rng.standard_normal((1, 1, n, 4 * unit))
        values[..., unit : 2 * unit] = 0
        values[..., 2 * unit + 6] = 300
        values[0, 0, 0, :unit] = 0
        x = store(empty(F32, dim(4 * unit, n)), off_ties(values, unit))
        yield _product(f"zeros and outliers, n {n}", normal(rng, type_, dim(4 * unit, 21)), x)
    nothing = store(empty(F32, dim(2 * unit, 2)), np.zeros((1, 1, 2, 2 * unit)))
    yield _product("only zeros", normal(rng, type_, dim(2 * unit, 9)), nothing)


def _attention_shapes(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    """What attention without the fused op multiplies.

    Keys in their cache, and values in one that is kept transposed.
    """
    for length in (1, 5, 32, 256, 300):
        for n in (1, 8):
            cache = normal(rng, type_, dim(64, 3, 320))
            keys = attrs.evolve(permuted(cache, (0, 2, 1, 3)), ne=dim(64, length, 3))
            queries = permuted(_activations(rng, type_, dim(64, 9, n)), (0, 2, 1, 3))
            yield _product(f"scores over {length} keys, n {n}", keys, queries, prec=Prec.F32)
            values = normal(rng, type_, dim(320, 64, 3))
            weights = _activations(rng, type_, dim(length, n, 9))
            yield _product(f"values of {length} keys, n {n}", attrs.evolve(values, ne=dim(length, 64, 3)), weights)


def _hadamard(rng: np.random.Generator) -> Iterator[Case]:
    """The hint that the weights are a Hadamard matrix: by which they need not be read, where the shape allows it."""
    for n in (1, 2, 8, 16, 64, 256):
        signs = np.ones((1, 1))
        while len(signs) < n:
            signs = np.block([[signs, signs], [signs, -signs]])
        matrix = store(empty(F32, dim(n, n)), (signs / np.sqrt(n))[None, None])
        x = permuted(normal(rng, F32, dim(n, 3, 5), Layout(slack=3, lead=1)), (0, 2, 1, 3))
        dst = empty(F32, dim(n, 5, 3), Layout(slack=2, lead=1))
        yield full(Op.MUL_MAT, f"hint, Hadamard matrix of {n}", (matrix, x), dst, {1: HADAMARD})
    for k, m in ((64, 32), (48, 48)):
        srcs = normal(rng, F32, dim(k, m)), normal(rng, F32, dim(k, 3))
        yield full(Op.MUL_MAT, f"hint that cannot be true, {k}x{m}", srcs, empty(F32, dim(m, 3)), {1: HADAMARD})
