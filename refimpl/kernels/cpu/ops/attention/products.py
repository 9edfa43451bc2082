"""Products of blocks: queries with keys, weights with values.

Rules of this file:
- A and C lie in scratch and are float32. B is keys or values, F32 or F16 where they are kept, or widened in scratch.
- Rows of B are whole vectors, and none is read that is not there. Products run over up to three rows of A and C behind
  the last, and three columns of C, with whatever junk is there.
- Each vector of B that is loaded meets four rows of A, whose sums stay in registers.
- What is written once for both types takes `load`, a function from an address to a vector, and `size`, the bytes of
  an element.

Unsatisfying: without AVX-512 the sums of 4 rows by 64 columns do not fit into registers; products then go through B in
strips of 16 columns, at about half of what the processor could do.
"""

from typing import Any, NamedTuple

import llvmlite.binding as llvm

from refimpl.kernels.cpu.compiled import inline, plain
from refimpl.kernels.cpu.lanes import (
    add_f32x8,
    add_f32x16,
    fma_f32x16,
    load_f16x16,
    load_f32x16,
    splat_f32x16,
    store_f32x16,
    widen_f16x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.ops.attention.blocks import F16, F32, LANES, WIDE
from refimpl.kernels.cpu.simd import F32X8, F32X16, Vector, binary, cast, fma, load, shuffle, splat, store, zero
from refimpl.kernels.cpu.words import f32_at

__all__ = ["Shape", "dots_f16", "dots_f32", "product_f16", "product_f32"]

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
F16X64, F32X64 = Vector("f16", 64), Vector("f32", 64)
load_f16x64, widen_f16x64 = load(F16X64), cast("fpext", F16X64, F32X64)
load_f32x64, store_f32x64, zero_f32x64, splat_f32x64 = load(F32X64), store(F32X64), zero(F32X64), splat(F32X64)
fma_f32x64 = fma(F32X64)
add_f32x4, store_f32x4 = binary("fadd", F32X4), store(F32X4)


class Shape(NamedTuple):
    """Of C (rows, columns), which is made of A (rows, depth) and B."""

    rows: int
    depth: int
    columns: int
    a_row: int
    """bytes from one row to the next"""
    b_row: int
    c_row: int
    adds: int
    """1 to add to what C holds, 0 to begin anew"""


@inline
def _half(at: int) -> Any:
    """16 F16 as float32."""
    return widen_f16x16(load_f16x16(at))


@inline
def _wide_half(at: int) -> Any:
    """64 F16 as float32."""
    return widen_f16x64(load_f16x64(at))


@inline
def _zeros() -> Any:
    return zero_f32x16(), zero_f32x16(), zero_f32x16(), zero_f32x16()


@inline
def _four(at: int, gap: int) -> Any:
    return load_f32x16(at), load_f32x16(at + gap), load_f32x16(at + 2 * gap), load_f32x16(at + 3 * gap)


@inline
def _gained(sums: Any, w: Any, x: Any) -> Any:
    """sums + w * x, four vectors each but w, which is one"""
    return (
        fma_f32x16(w, x[0], sums[0]),
        fma_f32x16(w, x[1], sums[1]),
        fma_f32x16(w, x[2], sums[2]),
        fma_f32x16(w, x[3], sums[3]),
    )


# ---- C = A @ B: sums of rows of B


@inline
def _start(at: int, adds: int) -> Any:
    return zero_f32x64() if adds == 0 else load_f32x64(at)


@inline
def _four_rows(load: Any, c: int, a: int, b: int, shape: Shape) -> None:
    """C (4, 64)"""
    gap, row = shape.a_row, shape.c_row
    s0, s1 = _start(c, shape.adds), _start(c + row, shape.adds)
    s2, s3 = _start(c + 2 * row, shape.adds), _start(c + 3 * row, shape.adds)
    for k in range(shape.depth):
        x, w = load(b + shape.b_row * k), a + F32 * k
        s0 = fma_f32x64(splat_f32x64(f32_at(w)), x, s0)
        s1 = fma_f32x64(splat_f32x64(f32_at(w + gap)), x, s1)
        s2 = fma_f32x64(splat_f32x64(f32_at(w + 2 * gap)), x, s2)
        s3 = fma_f32x64(splat_f32x64(f32_at(w + 3 * gap)), x, s3)
    store_f32x64(c, s0)
    store_f32x64(c + row, s1)
    store_f32x64(c + 2 * row, s2)
    store_f32x64(c + 3 * row, s3)


@inline
def _two_rows(load: Any, c: int, a: int, b: int, shape: Shape) -> None:
    """C (2, 64)"""
    s0, s1 = _start(c, shape.adds), _start(c + shape.c_row, shape.adds)
    for k in range(shape.depth):
        x, w = load(b + shape.b_row * k), a + F32 * k
        s0 = fma_f32x64(splat_f32x64(f32_at(w)), x, s0)
        s1 = fma_f32x64(splat_f32x64(f32_at(w + shape.a_row)), x, s1)
    store_f32x64(c, s0)
    store_f32x64(c + shape.c_row, s1)


@inline
def _narrow(load: Any, c: int, a: int, b: int, shape: Shape) -> None:
    """C (4, 16)"""
    gap, row = shape.a_row, shape.c_row
    s0, s1, s2, s3 = _zeros() if shape.adds == 0 else _four(c, row)
    for k in range(shape.depth):
        x, w = load(b + shape.b_row * k), a + F32 * k
        s0 = fma_f32x16(splat_f32x16(f32_at(w)), x, s0)
        s1 = fma_f32x16(splat_f32x16(f32_at(w + gap)), x, s1)
        s2 = fma_f32x16(splat_f32x16(f32_at(w + 2 * gap)), x, s2)
        s3 = fma_f32x16(splat_f32x16(f32_at(w + 3 * gap)), x, s3)
    store_f32x16(c, s0)
    store_f32x16(c + row, s1)
    store_f32x16(c + 2 * row, s2)
    store_f32x16(c + 3 * row, s3)


@inline
def _product(load: Any, load_wide: Any, size: int, c: int, a: int, b: int, shape: Shape) -> None:
    column = 0
    while IN_REGISTERS and column + WIDE <= shape.columns:
        at, of = c + F32 * column, b + size * column
        r = 0
        while r + 2 < shape.rows:
            _four_rows(load_wide, at + shape.c_row * r, a + shape.a_row * r, of, shape)
            r += 4
        if r < shape.rows:
            _two_rows(load_wide, at + shape.c_row * r, a + shape.a_row * r, of, shape)
        column += WIDE
    while column < shape.columns:
        for r in range(0, shape.rows, 4):
            at = c + F32 * column + shape.c_row * r
            _narrow(load, at, a + shape.a_row * r, b + size * column, shape)
        column += LANES


@plain
def product_f32(c: int, a: int, b: int, shape: Shape) -> None:
    """C = A @ B, or C += A @ B; B (depth, columns) float32"""
    _product(load_f32x16, load_f32x64, F32, c, a, b, shape)


@plain
def product_f16(c: int, a: int, b: int, shape: Shape) -> None:
    """C = A @ B, or C += A @ B; B (depth, columns) F16"""
    _product(_half, _wide_half, F16, c, a, b, shape)


# ---- C = A @ B turned: dot products of rows


@inline
def _totals(sums: Any) -> Any:
    """Four vectors to one of four lanes, the sum of each."""
    two = add_f32x16(even(sums[0], sums[1]), odd(sums[0], sums[1]))
    others = add_f32x16(even(sums[2], sums[3]), odd(sums[2], sums[3]))
    four = add_f32x16(first(two, others), second(two, others))
    half = add_f32x8(low_half(four, four), high_half(four, four))
    return add_f32x4(low_quarter(half, half), high_quarter(half, half))


@inline
def _each(load: Any, places: Any, offset: int) -> Any:
    return load(places[0] + offset), load(places[1] + offset), load(places[2] + offset), load(places[3] + offset)


@inline
def _four_dots(load: Any, size: int, c: int, a: int, places: Any, shape: Shape) -> None:
    """C (4, 4)"""
    gap, row = shape.a_row, shape.c_row
    s0, s1, s2, s3 = _zeros(), _zeros(), _zeros(), _zeros()
    for i in range(0, shape.depth, LANES):
        x, q = _each(load, places, size * i), a + F32 * i
        s0 = _gained(s0, load_f32x16(q), x)
        s1 = _gained(s1, load_f32x16(q + gap), x)
        s2 = _gained(s2, load_f32x16(q + 2 * gap), x)
        s3 = _gained(s3, load_f32x16(q + 3 * gap), x)
    store_f32x4(c, _totals(s0))
    store_f32x4(c + row, _totals(s1))
    store_f32x4(c + 2 * row, _totals(s2))
    store_f32x4(c + 3 * row, _totals(s3))


@inline
def _two_dots(load: Any, size: int, c: int, a: int, places: Any, shape: Shape) -> None:
    """C (2, 4)"""
    s0, s1 = _zeros(), _zeros()
    for i in range(0, shape.depth, LANES):
        x, q = _each(load, places, size * i), a + F32 * i
        s0 = _gained(s0, load_f32x16(q), x)
        s1 = _gained(s1, load_f32x16(q + shape.a_row), x)
    store_f32x4(c, _totals(s0))
    store_f32x4(c + shape.c_row, _totals(s1))


@inline
def _dots(load: Any, size: int, c: int, a: int, b: int, shape: Shape) -> None:
    last = b + shape.b_row * (shape.columns - 1)
    for r in range(0, shape.rows, 4):
        for column in range(0, shape.columns, 4):
            at, to = b + shape.b_row * column, c + shape.c_row * r + F32 * column
            places = at, min(at + shape.b_row, last), min(at + 2 * shape.b_row, last), min(at + 3 * shape.b_row, last)
            if r + 2 < shape.rows:
                _four_dots(load, size, to, a + shape.a_row * r, places, shape)
            else:
                _two_dots(load, size, to, a + shape.a_row * r, places, shape)


@plain
def dots_f32(c: int, a: int, b: int, shape: Shape) -> None:
    """C = A @ B turned, B (columns, depth) float32"""
    _dots(load_f32x16, F32, c, a, b, shape)


@plain
def dots_f16(c: int, a: int, b: int, shape: Shape) -> None:
    """C = A @ B turned, B (columns, depth) F16"""
    _dots(_half, F16, c, a, b, shape)
