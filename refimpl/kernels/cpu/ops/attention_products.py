"""Products of blocks: queries with keys, weights with values.

Rules of this file:
- `C (rows, columns) = A (rows, depth) @ B (depth, columns)`, all float32 in scratch. Each vector of B is multiplied
  with four rows of A, whose sums stay in registers.
- Scratch may hold junk in rows and columns that nobody reads, and products run over it: up to three rows of A and C
  behind the last, and up to three keys.

Unsatisfying: with few queries, products straight from F16 would save a store and a load of each vector; that is one
tenth of the time for three queries and nearly half for one.
"""

from typing import Any, NamedTuple

import llvmlite.binding as llvm

from refimpl.kernels.cpu.compiled import inline, plain
from refimpl.kernels.cpu.lanes import (
    add_f32x8,
    add_f32x16,
    fma_f32x16,
    load_f32x16,
    splat_f32x16,
    store_f32x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.ops.attention_blocks import F32, KEYS_ROW, LANES, VECTOR, padded
from refimpl.kernels.cpu.simd import F32X8, F32X16, Vector, binary, shuffle, store
from refimpl.kernels.cpu.words import f32_at

__all__ = ["Shape", "few_scores", "product"]

IN_REGISTERS = bool(llvm.get_host_cpu_features().get("avx512f"))
"""whether sums of 4 rows by 64 columns stay in registers"""

F32X4 = Vector("f32", 4)
QUARTERS = range(0, LANES, 4)
even = shuffle(F32X16, [lane for at in QUARTERS for lane in (at, at + 16, at + 2, at + 18)])
odd = shuffle(F32X16, [lane for at in QUARTERS for lane in (at + 1, at + 17, at + 3, at + 19)])
first = shuffle(F32X16, [lane for at in QUARTERS for lane in (at, at + 1, at + 16, at + 17)])
second = shuffle(F32X16, [lane for at in QUARTERS for lane in (at + 2, at + 3, at + 18, at + 19)])
low_half, high_half = shuffle(F32X16, range(8)), shuffle(F32X16, range(8, 16))
low_quarter, high_quarter = shuffle(F32X8, range(4)), shuffle(F32X8, range(4, 8))
add_f32x4, store_f32x4 = binary("fadd", F32X4), store(F32X4)


class Shape(NamedTuple):
    """Of `C (rows, columns) = A (rows, depth) @ B (depth, columns)`."""

    rows: int
    depth: int
    columns: int
    a_row: int
    """bytes of a row of A"""
    row: int
    """bytes of a row of B, and of C"""


@inline
def _zeros() -> Any:
    return zero_f32x16(), zero_f32x16(), zero_f32x16(), zero_f32x16()


@inline
def _four(at: int) -> Any:
    """64 float32."""
    v = VECTOR
    return load_f32x16(at), load_f32x16(at + v), load_f32x16(at + 2 * v), load_f32x16(at + 3 * v)


@inline
def _put_four(at: int, x: Any) -> None:
    store_f32x16(at, x[0])
    store_f32x16(at + VECTOR, x[1])
    store_f32x16(at + 2 * VECTOR, x[2])
    store_f32x16(at + 3 * VECTOR, x[3])


@inline
def _gained(sums: Any, w: Any, x: Any) -> Any:
    """sums + w * x, four vectors each but w, which is one"""
    return (
        fma_f32x16(w, x[0], sums[0]),
        fma_f32x16(w, x[1], sums[1]),
        fma_f32x16(w, x[2], sums[2]),
        fma_f32x16(w, x[3], sums[3]),
    )


@inline
def _four_rows(c: int, a: int, b: int, shape: Shape, fresh: bool) -> None:
    """C (4, 64)"""
    gap, row = shape.a_row, shape.row
    s0 = _zeros() if fresh else _four(c)
    s1 = _zeros() if fresh else _four(c + row)
    s2 = _zeros() if fresh else _four(c + 2 * row)
    s3 = _zeros() if fresh else _four(c + 3 * row)
    for k in range(shape.depth):
        x, w = _four(b + row * k), a + F32 * k
        s0 = _gained(s0, splat_f32x16(f32_at(w)), x)
        s1 = _gained(s1, splat_f32x16(f32_at(w + gap)), x)
        s2 = _gained(s2, splat_f32x16(f32_at(w + 2 * gap)), x)
        s3 = _gained(s3, splat_f32x16(f32_at(w + 3 * gap)), x)
    _put_four(c, s0)
    _put_four(c + row, s1)
    _put_four(c + 2 * row, s2)
    _put_four(c + 3 * row, s3)


@inline
def _two_rows(c: int, a: int, b: int, shape: Shape, fresh: bool) -> None:
    """C (2, 64)"""
    gap, row = shape.a_row, shape.row
    s0 = _zeros() if fresh else _four(c)
    s1 = _zeros() if fresh else _four(c + row)
    for k in range(shape.depth):
        x, w = _four(b + row * k), a + F32 * k
        s0 = _gained(s0, splat_f32x16(f32_at(w)), x)
        s1 = _gained(s1, splat_f32x16(f32_at(w + gap)), x)
    _put_four(c, s0)
    _put_four(c + row, s1)


@inline
def _narrow(c: int, a: int, b: int, shape: Shape, fresh: bool) -> None:
    """C (4, 16)"""
    gap, row = shape.a_row, shape.row
    zero = zero_f32x16()
    s0 = zero if fresh else load_f32x16(c)
    s1 = zero if fresh else load_f32x16(c + row)
    s2 = zero if fresh else load_f32x16(c + 2 * row)
    s3 = zero if fresh else load_f32x16(c + 3 * row)
    for k in range(shape.depth):
        x, w = load_f32x16(b + row * k), a + F32 * k
        s0 = fma_f32x16(splat_f32x16(f32_at(w)), x, s0)
        s1 = fma_f32x16(splat_f32x16(f32_at(w + gap)), x, s1)
        s2 = fma_f32x16(splat_f32x16(f32_at(w + 2 * gap)), x, s2)
        s3 = fma_f32x16(splat_f32x16(f32_at(w + 3 * gap)), x, s3)
    store_f32x16(c, s0)
    store_f32x16(c + row, s1)
    store_f32x16(c + 2 * row, s2)
    store_f32x16(c + 3 * row, s3)


@plain
def product(c: int, a: int, b: int, shape: Shape, fresh: bool) -> None:
    """C (rows, columns) = A (rows, depth) @ B (depth, columns), or += unless `fresh`; columns in whole vectors"""
    column, four = 0, 4 * LANES
    while IN_REGISTERS and column + four <= shape.columns:
        at, of = c + F32 * column, b + F32 * column
        r = 0
        while r + 2 < shape.rows:
            _four_rows(at + shape.row * r, a + shape.a_row * r, of, shape, fresh)
            r += 4
        if r < shape.rows:
            _two_rows(at + shape.row * r, a + shape.a_row * r, of, shape, fresh)
        column += four
    while column < shape.columns:
        for r in range(0, shape.rows, 4):
            at = c + F32 * column + shape.row * r
            _narrow(at, a + shape.a_row * r, b + F32 * column, shape, fresh)
        column += LANES


# ---- scores of few queries: too few to turn the keys for, so each key is multiplied as it lies


@inline
def _totals(sums: Any) -> Any:
    """Four vectors to one of four lanes, the sum of each."""
    two = add_f32x16(even(sums[0], sums[1]), odd(sums[0], sums[1]))
    others = add_f32x16(even(sums[2], sums[3]), odd(sums[2], sums[3]))
    four = add_f32x16(first(two, others), second(two, others))
    half = add_f32x8(low_half(four, four), high_half(four, four))
    return add_f32x4(low_quarter(half, half), high_quarter(half, half))


@inline
def _four_keys(at: int, row: int) -> Any:
    return load_f32x16(at), load_f32x16(at + row), load_f32x16(at + 2 * row), load_f32x16(at + 3 * row)


@inline
def _four_dots(scores: int, queries: int, keys: int, row: int) -> None:
    """scores (4, 4 keys)"""
    s0, s1, s2, s3 = _zeros(), _zeros(), _zeros(), _zeros()
    for i in range(0, row, VECTOR):
        x, q = _four_keys(keys + i, row), queries + i
        s0 = _gained(s0, load_f32x16(q), x)
        s1 = _gained(s1, load_f32x16(q + row), x)
        s2 = _gained(s2, load_f32x16(q + 2 * row), x)
        s3 = _gained(s3, load_f32x16(q + 3 * row), x)
    store_f32x4(scores, _totals(s0))
    store_f32x4(scores + KEYS_ROW, _totals(s1))
    store_f32x4(scores + 2 * KEYS_ROW, _totals(s2))
    store_f32x4(scores + 3 * KEYS_ROW, _totals(s3))


@inline
def _two_dots(scores: int, queries: int, keys: int, row: int) -> None:
    """scores (2, 4 keys)"""
    s0, s1 = _zeros(), _zeros()
    for i in range(0, row, VECTOR):
        x, q = _four_keys(keys + i, row), queries + i
        s0 = _gained(s0, load_f32x16(q), x)
        s1 = _gained(s1, load_f32x16(q + row), x)
    store_f32x4(scores, _totals(s0))
    store_f32x4(scores + KEYS_ROW, _totals(s1))


@plain
def few_scores(scores: int, queries: int, keys: int, rows: int, count: int, n: int) -> None:
    """scores (rows, KEYS), the first `count` = queries (rows, n) @ keys (count, n) turned"""
    row = F32 * padded(n)
    r = 0
    while r + 2 < rows:
        for key in range(0, count, 4):
            _four_dots(scores + KEYS_ROW * r + F32 * key, queries + row * r, keys + row * key, row)
        r += 4
    if r < rows:
        for key in range(0, count, 4):
            _two_dots(scores + KEYS_ROW * r + F32 * key, queries + row * r, keys + row * key, row)
