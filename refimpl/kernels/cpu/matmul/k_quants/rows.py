"""MUL_MAT with weights in a K format in their own layout, one row at a time: for matrices that cannot be packed.

The sums, which packed.py has for 16 rows at once, are those of ggml with 256-bit registers, with the same bits: lane
j of eight adds up the products of words j of the eight runs of 32 columns, each times its group's scale, as integers;
that times d goes into a float32 sum of lane j. Minima have their own sums: Q4_K four, one for each two runs, Q5_K one.
What the quants of Q6_K are too large by is taken from lane j as 32 times the scaled sums of run j.

From MANY columns on ggml takes another road, and so do kernels here: all products of a block are one integer, all
minima another; d and dmin are applied to these, their difference times the activations' d goes into one sum.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    dot_i32x8,
    float_i32x8,
    fma_f32x8,
    load_i8x16,
    load_i8x32,
    splat_f32x8,
    total_f32x8,
    widen_i8x16,
    zero_f32x8,
    zero_i32x8,
)
from refimpl.kernels.cpu.matmul.k_quants.lanes import (
    add_i32x8,
    bits_i32x8,
    bytes_i32x8,
    even_i32x8,
    join_halves_i32x8,
    load_i32x8,
    mul_i32x8,
    mul_i32x16,
    odd_i32x8,
    or_i32x8,
    shl_i32x8,
    splat_i32x8,
    sub_i32x8,
    total_i32x8,
    widen_i16x16,
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
    QUANTS,
    SUMS_16,
    SUMS_32,
)
from refimpl.kernels.cpu.matmul.units import by_rows
from refimpl.kernels.cpu.step import DST, extent
from refimpl.kernels.cpu.words import f16_at, f32_at, fused, i8_at, i32_at

__all__ = ["minima_of", "mul_mat_q4_k", "mul_mat_q5_k", "mul_mat_q6_k", "scales_of"]

F16, I16 = 2, 2
SCALES, FIFTHS = 4, 16
Q6_UPPER, Q6_SCALES, Q6_SCALE = 128, 192, 208
NIBBLES = 0x0F0F0F0F
SIXES, UPPER_PAIRS = 0x3F3F3F3F, 0x30303030
"""of each byte the low six bits, and bits 4 and 5"""
ONES, PAIRS = 0x01010101, 0x03030303


@inline
def scales_of(p: int) -> Any:
    """The eight 6-bit scales at p as the bytes of an int64."""
    first, rest = i32_at(p), i32_at(p + 8)
    return (first & SIXES) | (((rest & NIBBLES) | (first >> 2 & UPPER_PAIRS)) << 32)


@inline
def minima_of(p: int) -> Any:
    """The eight 6-bit minima at p as the bytes of an int64."""
    second, rest = i32_at(p + 4), i32_at(p + 8)
    return (second & SIXES) | (((rest >> 4 & NIBBLES) | (second >> 2 & UPPER_PAIRS)) << 32)


@inline
def _gained(sums: Any, words: Any, a: int, scale: Any) -> Any:
    """Sums and `scale` times the products of 32 unsigned quants with the activations at a."""
    return add_i32x8(sums, mul_i32x8(dot_i32x8(zero_i32x8(), bytes_i32x8(words), load_i8x32(a)), scale))


@inline
def _scaled(kind: int, p: int, a: int) -> Any:
    """Products of a block of Q4_K or Q5_K with an activation block, scaled: eight integers."""
    scales, sums = scales_of(p + SCALES), zero_i32x8()
    nibbles, fifths = p + FIFTHS, zero_i32x8()
    if kind == Q5_K:
        nibbles, fifths = p + FIFTHS + 32, load_i32x8(p + FIFTHS)
    for c in range(4):
        words = load_i32x8(nibbles + 32 * c)
        low, high = bits_i32x8(words, 0, NIBBLES), bits_i32x8(words, 4, NIBBLES)
        if kind == Q5_K:
            low = or_i32x8(low, shl_i32x8(bits_i32x8(fifths, 2 * c, ONES), splat_i32x8(4)))
            high = or_i32x8(high, shl_i32x8(bits_i32x8(fifths, 2 * c + 1, ONES), splat_i32x8(4)))
        sums = _gained(sums, low, a + QUANTS + 64 * c, splat_i32x8(scales >> 16 * c & 63))
        sums = _gained(sums, high, a + QUANTS + 64 * c + 32, splat_i32x8(scales >> (16 * c + 8) & 63))
    return sums


@inline
def _lowered(minima: int, a: int, pair: int) -> Any:
    """What runs 2 pair and 2 pair + 1 have below them: minima times sums of activations."""
    sums = i32_at(a + SUMS_32 + 2 * I16 * pair)
    first, second = minima >> 16 * pair & 63, minima >> (16 * pair + 8) & 63
    return first * ((sums & 0xFFFF ^ 0x8000) - 0x8000) + second * (sums >> 16)


@inline
def _lower(kind: int, p: int, a: int, lows: Any) -> Any:
    """Take the minima of a block from their four sums; Q5_K uses the first alone."""
    minima, by = minima_of(p + SCALES), -f32_at(a) * f16_at(p + F16)
    l0, l1, l2, l3 = _lowered(minima, a, 0), _lowered(minima, a, 1), _lowered(minima, a, 2), _lowered(minima, a, 3)
    if kind == Q5_K:
        return fused(by, np.float32(l0 + l1 + l2 + l3), lows[0]), lows[1], lows[2], lows[3]
    return (
        fused(by, np.float32(l0), lows[0]),
        fused(by, np.float32(l1), lows[1]),
        fused(by, np.float32(l2), lows[2]),
        fused(by, np.float32(l3), lows[3]),
    )


@inline
def _dot_with_minima(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """One row of Q4_K or Q5_K times one column."""
    sums, none = zero_f32x8(), np.float32(0)
    lows = none, none, none, none
    for _ in range(blocks):
        sums = fma_f32x8(splat_f32x8(f32_at(a) * f16_at(p)), float_i32x8(_scaled(kind, p, a)), sums)
        lows = _lower(kind, p, a, lows)
        p += size
        a += ACTIVATION
    if kind == Q5_K:
        return total_f32x8(sums) + lows[0]
    return total_f32x8(sums) + ((lows[0] + lows[2]) + (lows[1] + lows[3]))


@inline
def _scaled_q6(p: int, a: int) -> Any:
    """Products of a block of Q6_K with an activation block, scaled: eight integers."""
    weighed = mul_i32x16(widen_i8x16(load_i8x16(p + Q6_SCALES)), widen_i16x16(a + SUMS_16))
    excess = add_i32x8(even_i32x8(weighed, weighed), odd_i32x8(weighed, weighed))
    sums = sub_i32x8(zero_i32x8(), shl_i32x8(excess, splat_i32x8(5)))
    for half in range(2):
        upper = load_i32x8(p + Q6_UPPER + 32 * half)
        for run in range(4):
            words = load_i32x8(p + 64 * half + 32 * (run & 1))
            low = bits_i32x8(words, 4 * (run >> 1), NIBBLES)
            quants = or_i32x8(low, shl_i32x8(bits_i32x8(upper, 2 * run, PAIRS), splat_i32x8(4)))
            at = p + Q6_SCALES + 8 * half + 2 * run
            scale = join_halves_i32x8(splat_i32x8(i8_at(at)), splat_i32x8(i8_at(at + 1)))
            sums = _gained(sums, quants, a + QUANTS + 128 * half + 32 * run, scale)
    return sums


@inline
def _dot_q6(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """One row of Q6_K times one column."""
    sums = zero_f32x8()
    for _ in range(blocks):
        sums = fma_f32x8(splat_f32x8(f32_at(a) * f16_at(p + Q6_SCALE)), float_i32x8(_scaled_q6(p, a)), sums)
        p += size
        a += ACTIVATION
    return total_f32x8(sums)


@inline
def _whole_dot(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """One row times one of many columns."""
    total = np.float32(0)
    for _ in range(blocks):
        if kind == Q6_K:
            value = f16_at(p + Q6_SCALE) * np.float32(total_i32x8(_scaled_q6(p, a)))
        else:
            value = f16_at(p) * np.float32(total_i32x8(_scaled(kind, p, a)))
            minima = minima_of(p + SCALES)
            low = _lowered(minima, a, 0) + _lowered(minima, a, 1) + _lowered(minima, a, 2) + _lowered(minima, a, 3)
            value = fused(-f16_at(p + F16), np.float32(low), value)
        total = fused(value, f32_at(a), total)
        p += size
        a += ACTIVATION
    return total


@inline
def _multiply(form: Any, dot: Any, step: int, worker: int) -> None:
    if extent(step + DST, 1) < MANY:
        by_rows(form, dot, step, worker)
    else:
        by_rows(form, _whole_dot, step, worker)


@kernel
def mul_mat_q4_k(step: int, worker: int) -> None:
    """Q4_K weights"""
    _multiply((Q4_K, Q4_K_BYTES, BLOCK, ACTIVATION), _dot_with_minima, step, worker)


@kernel
def mul_mat_q5_k(step: int, worker: int) -> None:
    """Q5_K weights"""
    _multiply((Q5_K, Q5_K_BYTES, BLOCK, ACTIVATION), _dot_with_minima, step, worker)


@kernel
def mul_mat_q6_k(step: int, worker: int) -> None:
    """Q6_K weights"""
    _multiply((Q6_K, Q6_K_BYTES, BLOCK, ACTIVATION), _dot_q6, step, worker)
