"""MUL_MAT with packed weights: 16 rows at once, eight columns at once where there are enough.

    W (k, m) packed, X (rows of Q8 blocks) at extra word 0 -> dst (m, n, B2, B3)

A unit is one group of 16 weight rows and one panel of PANEL columns. Panels come outermost, so that their activations
stay in the second-level cache while all weights pass by.
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    dot_planes_i32x16,
    float_i32x16,
    fma_f32x16,
    high_nibbles,
    load_f16x16,
    load_i8x64,
    low_nibbles,
    mul_f32x16,
    splat_f32x16,
    splat_i32x16,
    store_f32x16,
    widen_f16x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.matmul.layout import (
    ACTIVATION,
    BLOCK,
    GROUP,
    HALVES,
    PLANE,
    Q4_0,
    Q4_0_BYTES,
    Q4_1,
    Q4_1_BYTES,
    Q8_0,
    Q8_0_BYTES,
    QUANTS,
    SUM,
    S,
)
from refimpl.kernels.cpu.step import DST, SRC0, address, chunk_of, claim, count, extent, extra, row, rows_of
from refimpl.kernels.cpu.words import f32_at, i32_at

__all__ = ["mul_mat_packed_q4_0", "mul_mat_packed_q4_1", "mul_mat_packed_q8_0"]

F32 = 4
PANEL = 64
TILE = 8
FEW = 3
"""columns up to which one after the other is faster than a tile that is not full"""
Q4_0_ZERO, Q8_0_ZERO = 8, 128
"""what the unsigned quants are too large by"""


@inline
def _planes(kind: int, p: int) -> Any:
    """Eight vectors of unsigned quants, columns 4j .. 4j+3 in the j-th, of the packed block at p."""
    if kind == Q8_0:
        at = p + HALVES
        return (
            load_i8x64(at),
            load_i8x64(at + PLANE),
            load_i8x64(at + 2 * PLANE),
            load_i8x64(at + 3 * PLANE),
            load_i8x64(at + 4 * PLANE),
            load_i8x64(at + 5 * PLANE),
            load_i8x64(at + 6 * PLANE),
            load_i8x64(at + 7 * PLANE),
        )
    at = p + (2 * HALVES if kind == Q4_1 else HALVES)
    v0, v1, v2, v3 = load_i8x64(at), load_i8x64(at + PLANE), load_i8x64(at + 2 * PLANE), load_i8x64(at + 3 * PLANE)
    return (
        low_nibbles(v0),
        low_nibbles(v1),
        low_nibbles(v2),
        low_nibbles(v3),
        high_nibbles(v0),
        high_nibbles(v1),
        high_nibbles(v2),
        high_nibbles(v3),
    )


@inline
def _column(kind: int, a: int, w: Any, d: Any, m: Any, sums: Any) -> Any:
    """Add the product of one packed block with one activation block: 16 rows, one column."""
    if kind == Q4_1:
        t = splat_i32x16(0)
    elif kind == Q4_0:
        t = splat_i32x16(-Q4_0_ZERO * i32_at(a + SUM))
    else:
        t = splat_i32x16(-Q8_0_ZERO * i32_at(a + SUM))
    t = dot_planes_i32x16(t, a + QUANTS, w)
    sums = fma_f32x16(float_i32x16(t), mul_f32x16(d, splat_f32x16(f32_at(a))), sums)
    if kind == Q4_1:
        sums = fma_f32x16(m, splat_f32x16(f32_at(a + S)), sums)
    return sums


@inline
def _minima(kind: int, p: int, d: Any) -> Any:
    """The minima of a packed block; without any, something that nobody reads."""
    if kind == Q4_1:
        return widen_f16x16(load_f16x16(p + HALVES))
    return d


@inline
def _one_column(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """16 rows times one column: (16,)"""
    sums = zero_f32x16()
    for _ in range(blocks):
        d = widen_f16x16(load_f16x16(p))
        sums = _column(kind, a, _planes(kind, p), d, _minima(kind, p, d), sums)
        p += GROUP * size
        a += ACTIVATION
    return sums


@inline
def _eight_columns(kind: int, size: int, p: int, a: Any, blocks: int) -> Any:
    """16 rows times eight columns, whose activations begin at the eight addresses a: eight times (16,)"""
    c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = zero_f32x16()
    o = 0
    for _ in range(blocks):
        d = widen_f16x16(load_f16x16(p))
        m, w = _minima(kind, p, d), _planes(kind, p)
        c0 = _column(kind, a[0] + o, w, d, m, c0)
        c1 = _column(kind, a[1] + o, w, d, m, c1)
        c2 = _column(kind, a[2] + o, w, d, m, c2)
        c3 = _column(kind, a[3] + o, w, d, m, c3)
        c4 = _column(kind, a[4] + o, w, d, m, c4)
        c5 = _column(kind, a[5] + o, w, d, m, c5)
        c6 = _column(kind, a[6] + o, w, d, m, c6)
        c7 = _column(kind, a[7] + o, w, d, m, c7)
        p += GROUP * size
        o += ACTIVATION
    return c0, c1, c2, c3, c4, c5, c6, c7


@inline
def _place(step: int, first: int, column: int) -> Any:
    """Where 16 results of a column go, `first` being the number of the first weight row."""
    i1, i2, i3 = rows_of(step + DST, column)
    return row(step + DST, i1, i2, i3) + F32 * first


@inline
def _tile(kind: int, size: int, step: int, p: int, spot: Any, blocks: int) -> None:
    """16 rows times up to eight columns; spot is (first row, first column, end). Columns over the end are the last."""
    first, column, end = spot
    act, each = extra(step, 0), blocks * ACTIVATION
    a0 = act + column * each
    last = act + (end - 1) * each
    a = (
        a0,
        min(last, a0 + each),
        min(last, a0 + 2 * each),
        min(last, a0 + 3 * each),
        min(last, a0 + 4 * each),
        min(last, a0 + 5 * each),
        min(last, a0 + 6 * each),
        min(last, a0 + 7 * each),
    )
    c0, c1, c2, c3, c4, c5, c6, c7 = _eight_columns(kind, size, p, a, blocks)
    left = end - column
    store_f32x16(_place(step, first, column), c0)
    if left > 1:
        store_f32x16(_place(step, first, column + 1), c1)
    if left > 2:
        store_f32x16(_place(step, first, column + 2), c2)
    if left > 3:
        store_f32x16(_place(step, first, column + 3), c3)
    if left > 4:
        store_f32x16(_place(step, first, column + 4), c4)
    if left > 5:
        store_f32x16(_place(step, first, column + 5), c5)
    if left > 6:
        store_f32x16(_place(step, first, column + 6), c6)
    if left > 7:
        store_f32x16(_place(step, first, column + 7), c7)


@inline
def _multiply(kind: int, size: int, step: int, worker: int) -> None:
    blocks, groups, columns = extent(step + SRC0, 0) // BLOCK, extent(step + SRC0, 1) // GROUP, count(step + DST)
    each = blocks * ACTIVATION
    units = groups * ((columns + PANEL - 1) // PANEL)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            panel = unit // groups
            group = unit - panel * groups
            p = address(step + SRC0) + group * blocks * GROUP * size
            column, end = panel * PANEL, min(columns, (panel + 1) * PANEL)
            while column < end:
                if end - column > FEW:
                    _tile(kind, size, step, p, (group * GROUP, column, end), blocks)
                    column += TILE
                else:
                    sums = _one_column(kind, size, p, extra(step, 0) + column * each, blocks)
                    store_f32x16(_place(step, group * GROUP, column), sums)
                    column += 1
        start = claim(step, worker, chunk)


@kernel
def mul_mat_packed_q4_0(step: int, worker: int) -> None:
    """Packed Q4_0 weights"""
    _multiply(Q4_0, Q4_0_BYTES, step, worker)


@kernel
def mul_mat_packed_q4_1(step: int, worker: int) -> None:
    """Packed Q4_1 weights"""
    _multiply(Q4_1, Q4_1_BYTES, step, worker)


@kernel
def mul_mat_packed_q8_0(step: int, worker: int) -> None:
    """Packed Q8_0 weights"""
    _multiply(Q8_0, Q8_0_BYTES, step, worker)
