"""MUL_MAT with packed weights in a K format: 16 rows at once, and two columns, or eight where there are MANY.

Row by row these are the sums that rows.py describes, so that both give the same bits.
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    add_f32x16,
    load_f16x16,
    mul_f32x16,
    splat_f32x16,
    store_f32x16,
    widen_f16x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.matmul.k_quants.layout import (
    ACTIVATION,
    BLOCK,
    MANY,
    Q4_K,
    Q4_K_BYTES,
    Q5_K,
    Q5_K_BYTES,
    Q6_K,
    Q6_K_BYTES,
)
from refimpl.kernels.cpu.matmul.k_quants.runs import LOWS, WORDS, gained, lowered, multiplied
from refimpl.kernels.cpu.matmul.layout import GROUP, HALVES
from refimpl.kernels.cpu.matmul.units import blocks_of, by_panels, column_at, group_at, place
from refimpl.kernels.cpu.simd import F32X16, fma_each
from refimpl.kernels.cpu.step import DST, extent
from refimpl.kernels.cpu.words import f32_at

__all__ = ["mul_mat_packed_q4_k", "mul_mat_packed_q5_k", "mul_mat_packed_q6_k"]

EIGHT = 8
"""columns of a tile"""

one_q4_k, two_q4_k = multiplied(Q4_K, 1), multiplied(Q4_K, 2)
one_q5_k, two_q5_k = multiplied(Q5_K, 1), multiplied(Q5_K, 2)
one_q6_k, two_q6_k = multiplied(Q6_K, 1), multiplied(Q6_K, 2)
eight_q4_k, eight_q5_k, eight_q6_k = gained(Q4_K, EIGHT), gained(Q5_K, EIGHT), gained(Q6_K, EIGHT)
lows_q4_k, lows_q5_k = lowered(Q4_K), lowered(Q5_K)
gain_words, gain_lows = fma_each(F32X16, WORDS), fma_each(F32X16, LOWS)


@inline
def _one(kind: int, p: int, a: int) -> Any:
    if kind == Q4_K:
        return one_q4_k(p, a)
    if kind == Q5_K:
        return one_q5_k(p, a)
    return one_q6_k(p, a)


@inline
def _two(kind: int, p: int, a: int, c: int) -> Any:
    if kind == Q4_K:
        return two_q4_k(p, a, c)
    if kind == Q5_K:
        return two_q5_k(p, a, c)
    return two_q6_k(p, a, c)


@inline
def _lower(kind: int, p: int, a: int, lows: Any) -> Any:
    """Take away the minima of a block."""
    if kind == Q6_K:
        return lows
    by = mul_f32x16(splat_f32x16(-f32_at(a)), widen_f16x16(load_f16x16(p + HALVES)))
    if kind == Q4_K:
        return gain_lows(by, lows_q4_k(p, a), lows)
    return gain_lows(by, lows_q5_k(p, a), lows)


@inline
def _scale(p: int, a: int) -> Any:
    return mul_f32x16(splat_f32x16(f32_at(a)), widen_f16x16(load_f16x16(p)))


@inline
def _nothing() -> Any:
    zero = zero_f32x16()
    return (zero, zero, zero, zero, zero, zero, zero, zero), (zero, zero, zero, zero)


@inline
def _total(kind: int, sums: Any, lows: Any) -> Any:
    """The eight sums and those of the minima in ggml's order."""
    even = add_f32x16(add_f32x16(sums[0], sums[4]), add_f32x16(sums[2], sums[6]))
    odd = add_f32x16(add_f32x16(sums[1], sums[5]), add_f32x16(sums[3], sums[7]))
    total = add_f32x16(even, odd)
    if kind == Q4_K:
        return add_f32x16(total, add_f32x16(add_f32x16(lows[0], lows[2]), add_f32x16(lows[1], lows[3])))
    if kind == Q5_K:
        return add_f32x16(total, lows[0])
    return total


@inline
def _one_column(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """16 rows times one column: (16,)"""
    sums, lows = _nothing()
    for _ in range(blocks):
        sums = gain_words(_scale(p, a), _one(kind, p, a), sums)
        lows = _lower(kind, p, a, lows)
        p += GROUP * size
        a += ACTIVATION
    return _total(kind, sums, lows)


@inline
def _two_columns(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """16 rows times two columns, whose activations follow each other: twice (16,)"""
    first, first_lows = _nothing()
    second, second_lows = _nothing()
    c = a + blocks * ACTIVATION
    for _ in range(blocks):
        made = _two(kind, p, a, c)
        first, second = gain_words(_scale(p, a), made[:WORDS], first), gain_words(_scale(p, c), made[WORDS:], second)
        first_lows, second_lows = _lower(kind, p, a, first_lows), _lower(kind, p, c, second_lows)
        p += GROUP * size
        a += ACTIVATION
        c += ACTIVATION
    return _total(kind, first, first_lows), _total(kind, second, second_lows)


@inline
def _few_columns(form: Any, step: int, group: int, column: int, end: int) -> Any:
    """Two columns, or one if no more are left."""
    p, a, blocks = group_at(form, step, group), column_at(form, step, column), blocks_of(form, step)
    if end - column > 1:
        first, second = _two_columns(form[0], form[1], p, a, blocks)
        store_f32x16(place(step, group, column), first)
        store_f32x16(place(step, group, column + 1), second)
        return column + 2
    store_f32x16(place(step, group, column), _one_column(form[0], form[1], p, a, blocks))
    return column + 1


@inline
def _gained(kind: int, sums: Any, p: int, a: int, each: int, columns: int) -> Any:
    if kind == Q4_K:
        return eight_q4_k(sums, p, a, each, columns)
    if kind == Q5_K:
        return eight_q5_k(sums, p, a, each, columns)
    return eight_q6_k(sums, p, a, each, columns)


@inline
def _many_columns(form: Any, step: int, group: int, column: int, end: int) -> Any:
    """Eight columns, or what is left: the last one is then repeated, and not stored."""
    p, a, blocks = group_at(form, step, group), column_at(form, step, column), blocks_of(form, step)
    sums, _ = _nothing()
    for _ in range(blocks):
        sums = _gained(form[0], sums, p, a, blocks * ACTIVATION, end - column)
        p += GROUP * form[1]
        a += ACTIVATION
    for c in range(min(EIGHT, end - column)):
        store_f32x16(place(step, group, column + c), sums[c])
    return column + EIGHT


@inline
def _multiply(form: Any, step: int, worker: int) -> None:
    if extent(step + DST, 1) < MANY:
        by_panels(form, _few_columns, step, worker)
    else:
        by_panels(form, _many_columns, step, worker)


@kernel
def mul_mat_packed_q4_k(step: int, worker: int) -> None:
    """Packed Q4_K weights"""
    _multiply((Q4_K, Q4_K_BYTES, BLOCK, ACTIVATION), step, worker)


@kernel
def mul_mat_packed_q5_k(step: int, worker: int) -> None:
    """Packed Q5_K weights"""
    _multiply((Q5_K, Q5_K_BYTES, BLOCK, ACTIVATION), step, worker)


@kernel
def mul_mat_packed_q6_k(step: int, worker: int) -> None:
    """Packed Q6_K weights"""
    _multiply((Q6_K, Q6_K_BYTES, BLOCK, ACTIVATION), step, worker)
