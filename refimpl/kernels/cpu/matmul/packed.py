"""MUL_MAT with packed weights: 16 rows at once, two columns at once where there are enough.

The products of words 4j .. 4j+3 of all blocks are added up in a sum j of their own, and the eight sums at the end in
the order ((0+4) + (2+6)) + ((1+5) + (3+7)): so does ggml with 256-bit registers, and the results have the same bits.
Activations are quantised anew in every layer, which makes another token out of another bit soon enough.
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
    load_i32x16,
    low_nibbles,
    mul_f32x16,
    splat_f32x16,
    store_f32x16,
    widen_f16x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.matmul.fifths import fifth_plane
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
    Q5_0,
    Q5_0_BYTES,
    Q5_1,
    Q5_1_BYTES,
    Q8_0,
    Q8_0_BYTES,
    QUANTS,
    WORD_SUMS,
    S,
)
from refimpl.kernels.cpu.matmul.units import blocks_of, by_panels, column_at, group_at, place
from refimpl.kernels.cpu.simd import I8X64, I32X16, binary, cast, gain_planes
from refimpl.kernels.cpu.words import f32_at

__all__ = [
    "mul_mat_packed_q4_0",
    "mul_mat_packed_q4_1",
    "mul_mat_packed_q5_0",
    "mul_mat_packed_q5_1",
    "mul_mat_packed_q8_0",
]

gain_less_16 = gain_planes(16)
or_i8x64, bytes_i32x16 = binary("or_", I8X64), cast("bitcast", I32X16, I8X64)


@inline
def _five_bit_planes(fifths: Any, at: int) -> Any:
    """The same of a plane of fifth bits and those of nibbles at `at`."""
    v0, v1, v2, v3 = load_i8x64(at), load_i8x64(at + PLANE), load_i8x64(at + 2 * PLANE), load_i8x64(at + 3 * PLANE)
    return (
        or_i8x64(low_nibbles(v0), bytes_i32x16(fifth_plane(fifths, 0))),
        or_i8x64(low_nibbles(v1), bytes_i32x16(fifth_plane(fifths, 1))),
        or_i8x64(low_nibbles(v2), bytes_i32x16(fifth_plane(fifths, 2))),
        or_i8x64(low_nibbles(v3), bytes_i32x16(fifth_plane(fifths, 3))),
        or_i8x64(high_nibbles(v0), bytes_i32x16(fifth_plane(fifths, 4))),
        or_i8x64(high_nibbles(v1), bytes_i32x16(fifth_plane(fifths, 5))),
        or_i8x64(high_nibbles(v2), bytes_i32x16(fifth_plane(fifths, 6))),
        or_i8x64(high_nibbles(v3), bytes_i32x16(fifth_plane(fifths, 7))),
    )


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
    at = p + (2 * HALVES if kind in (Q4_1, Q5_1) else HALVES)
    if kind in (Q5_0, Q5_1):
        return _five_bit_planes(load_i32x16(at), at + PLANE)
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
    if kind in (Q4_1, Q5_1):
        return gain_unsigned(sums, w, a + QUANTS, a + WORD_SUMS, scale)
    if kind == Q5_0:
        return gain_less_16(sums, w, a + QUANTS, a + WORD_SUMS, scale)
    if kind == Q4_0:
        return gain_less_8(sums, w, a + QUANTS, a + WORD_SUMS, scale)
    return gain_less_128(sums, w, a + QUANTS, a + WORD_SUMS, scale)


@inline
def _minima(kind: int, p: int, a: int, minima: Any) -> Any:
    """Add the share of the minima of a packed block."""
    if kind in (Q4_1, Q5_1):
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
def _columns(form: Any, step: int, group: int, column: int, end: int) -> Any:
    """Two columns, or one if no more are left."""
    p, a, blocks = group_at(form, step, group), column_at(form, step, column), blocks_of(form, step)
    if end - column > 1:
        first, second = _two_columns(form[0], form[1], p, a, blocks)
        store_f32x16(place(step, group, column), first)
        store_f32x16(place(step, group, column + 1), second)
        return column + 2
    store_f32x16(place(step, group, column), _one_column(form[0], form[1], p, a, blocks))
    return column + 1


@kernel
def mul_mat_packed_q4_0(step: int, worker: int) -> None:
    """Packed Q4_0 weights"""
    by_panels((Q4_0, Q4_0_BYTES, BLOCK, ACTIVATION), _columns, step, worker)


@kernel
def mul_mat_packed_q4_1(step: int, worker: int) -> None:
    """Packed Q4_1 weights"""
    by_panels((Q4_1, Q4_1_BYTES, BLOCK, ACTIVATION), _columns, step, worker)


@kernel
def mul_mat_packed_q5_0(step: int, worker: int) -> None:
    """Packed Q5_0 weights"""
    by_panels((Q5_0, Q5_0_BYTES, BLOCK, ACTIVATION), _columns, step, worker)


@kernel
def mul_mat_packed_q5_1(step: int, worker: int) -> None:
    """Packed Q5_1 weights"""
    by_panels((Q5_1, Q5_1_BYTES, BLOCK, ACTIVATION), _columns, step, worker)


@kernel
def mul_mat_packed_q8_0(step: int, worker: int) -> None:
    """Packed Q8_0 weights"""
    by_panels((Q8_0, Q8_0_BYTES, BLOCK, ACTIVATION), _columns, step, worker)
