"""MUL_MAT with packed weights: 16 rows at once, two columns at once where there are enough.

    W (k, m) packed, X (rows of Q8 blocks) at extra word 0 -> dst (m, n, B2, B3)

The products of words 4j .. 4j+3 of all blocks are added up in a sum j of their own, and the eight sums at the end in
the order ((0+4) + (2+6)) + ((1+5) + (3+7)): so does ggml with 256-bit registers, and the results have the same bits.
Activations are quantised anew in every layer, which makes another token out of another bit soon enough.

A unit is one group of 16 weight rows and one panel of PANEL columns. Panels come outermost, so that their activations
stay in the second-level cache while all weights pass by.
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    add_f32x16,
    fma_f32x16,
    gain_less_8,
    gain_less_128,
    gain_unsigned,
    high_nibbles,
    load_f16x16,
    load_i8x64,
    low_nibbles,
    mul_f32x16,
    splat_f32x16,
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
    WORD_SUMS,
    S,
)
from refimpl.kernels.cpu.step import DST, SRC0, address, chunk_of, claim, count, extent, extra, row, rows_of
from refimpl.kernels.cpu.words import f32_at

__all__ = ["mul_mat_packed_q4_0", "mul_mat_packed_q4_1", "mul_mat_packed_q8_0"]

F32 = 4
PANEL = 64


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
def _gained(kind: int, a: int, w: Any, d: Any, sums: Any) -> Any:
    """Add the product of one packed block with one activation block to the eight sums of a column."""
    scale = mul_f32x16(d, splat_f32x16(f32_at(a)))
    if kind == Q4_1:
        return gain_unsigned(sums, w, a + QUANTS, a + WORD_SUMS, scale)
    if kind == Q4_0:
        return gain_less_8(sums, w, a + QUANTS, a + WORD_SUMS, scale)
    return gain_less_128(sums, w, a + QUANTS, a + WORD_SUMS, scale)


@inline
def _minima(kind: int, p: int, a: int, minima: Any) -> Any:
    """Add the share of the minima of a packed block."""
    if kind == Q4_1:
        return fma_f32x16(widen_f16x16(load_f16x16(p + HALVES)), splat_f32x16(f32_at(a + S)), minima)
    return minima


@inline
def _no_sums() -> Any:
    zero = zero_f32x16()
    return zero, zero, zero, zero, zero, zero, zero, zero


@inline
def _total(sums: Any, minima: Any) -> Any:
    """The eight sums and the minima in ggml's order."""
    even = add_f32x16(add_f32x16(sums[0], sums[4]), add_f32x16(sums[2], sums[6]))
    odd = add_f32x16(add_f32x16(sums[1], sums[5]), add_f32x16(sums[3], sums[7]))
    return add_f32x16(add_f32x16(even, odd), minima)


@inline
def _one_column(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """16 rows times one column: (16,)"""
    sums, minima = _no_sums(), zero_f32x16()
    for _ in range(blocks):
        sums = _gained(kind, a, _planes(kind, p), widen_f16x16(load_f16x16(p)), sums)
        minima = _minima(kind, p, a, minima)
        p += GROUP * size
        a += ACTIVATION
    return _total(sums, minima)


@inline
def _two_columns(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """16 rows times two columns, whose activations follow each other: twice (16,)"""
    first, second, first_minima, second_minima = _no_sums(), _no_sums(), zero_f32x16(), zero_f32x16()
    c = a + blocks * ACTIVATION
    for _ in range(blocks):
        d, w = widen_f16x16(load_f16x16(p)), _planes(kind, p)
        first, second = _gained(kind, a, w, d, first), _gained(kind, c, w, d, second)
        first_minima, second_minima = _minima(kind, p, a, first_minima), _minima(kind, p, c, second_minima)
        p += GROUP * size
        a += ACTIVATION
        c += ACTIVATION
    return _total(first, first_minima), _total(second, second_minima)


@inline
def _place(step: int, first: int, column: int) -> Any:
    """Where 16 results of a column go, `first` being the number of the first weight row."""
    i1, i2, i3 = rows_of(step + DST, column)
    return row(step + DST, i1, i2, i3) + F32 * first


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
                a = extra(step, 0) + column * each
                if end - column > 1:
                    first, second = _two_columns(kind, size, p, a, blocks)
                    store_f32x16(_place(step, group * GROUP, column), first)
                    store_f32x16(_place(step, group * GROUP, column + 1), second)
                    column += 2
                else:
                    store_f32x16(_place(step, group * GROUP, column), _one_column(kind, size, p, a, blocks))
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
