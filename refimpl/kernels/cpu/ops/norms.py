"""RMS_NORM and SOFT_MAX: one row at a time, which only its own sum holds together.

A row's last vector is loaded and stored in part. dst may be src0.

RMS_NORM has the bits of ggml's CPU backend, as what follows is quantised to 8 bits, and one that falls on the other
side of a half there becomes another text: squares are rounded to float32, their sum is float64, the mean float32.
Unsatisfying: ggml adds one square after another, we in 32 lanes. Either sum is so much finer than the mean that this
shows less than once in a hundred million rows.

SOFT_MAX: sums are float32 in sixteen lanes. Extra word 0 is the kind of mask. The row's scores go to dst, then their
exponentials, then the quotients. A row in which all is masked becomes zeros; one with a NaN becomes NaN.
"""

import math
from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import (
    add_f32x16,
    add_f64x8,
    exp_f32x16,
    fma_f32x16,
    largest_f32x16,
    load_f16x16,
    load_f32x8,
    load_f32x16,
    load_part_f16x16,
    load_part_f32x8,
    load_part_f32x16,
    max_f32x16,
    mul_f32x8,
    mul_f32x16,
    splat_f32x16,
    store_f32x16,
    store_part_f32x16,
    sub_f32x16,
    total_f32x16,
    total_f64x8,
    widen_f16x16,
    widen_f32x8,
    zero_f16x16,
    zero_f32x8,
    zero_f32x16,
    zero_f64x8,
)
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    SRC2,
    address,
    chunk_of,
    claim,
    count,
    extent,
    extra,
    real_param,
    row,
    rows_of,
)
from refimpl.kernels.cpu.words import f32_at

__all__ = [
    "MASK_F16",
    "MASK_F32",
    "MASK_KIND",
    "MASK_NONE",
    "rms_norm_f32",
    "scaled",
    "soft_max_f32",
    "sum_of_squares",
]

F16, F32 = 2, 4
LANES, WIDE_LANES = 16, 8
NORM_EPSILON = 0
SOFT_MAX_SCALE, SOFT_MAX_BIAS = 0, 1

MASK_KIND = 0
"""extra word of SOFT_MAX"""
MASK_NONE, MASK_F32, MASK_F16 = 0, 1, 2

ZERO, ONE, LOWEST = np.float32(0), np.float32(1), np.float32(-np.inf)


@inline
def _squares(x: int) -> Any:
    """Eight squares, rounded to float32, as float64."""
    values = load_f32x8(x)
    return widen_f32x8(mul_f32x8(values, values))


@plain
def sum_of_squares(x: int, n: int) -> Any:
    """float64"""
    a, b, c, d = zero_f64x8(), zero_f64x8(), zero_f64x8(), zero_f64x8()
    size = F32 * WIDE_LANES
    i = 0
    while i + 4 * WIDE_LANES <= n:
        at = x + F32 * i
        a, b = add_f64x8(a, _squares(at)), add_f64x8(b, _squares(at + size))
        c, d = add_f64x8(c, _squares(at + 2 * size)), add_f64x8(d, _squares(at + 3 * size))
        i += 4 * WIDE_LANES
    while i + WIDE_LANES <= n:
        a = add_f64x8(a, _squares(x + F32 * i))
        i += WIDE_LANES
    if i < n:
        rest = load_part_f32x8(x + F32 * i, n - i, zero_f32x8())
        b = add_f64x8(b, widen_f32x8(mul_f32x8(rest, rest)))
    return total_f64x8(add_f64x8(add_f64x8(a, b), add_f64x8(c, d)))


@plain
def scaled(out: int, x: int, n: int, factor: Any) -> None:
    """out = x * factor"""
    factors = splat_f32x16(factor)
    i = 0
    while i + LANES <= n:
        store_f32x16(out + F32 * i, mul_f32x16(load_f32x16(x + F32 * i), factors))
        i += LANES
    if i < n:
        rest = load_part_f32x16(x + F32 * i, n - i, zero_f32x16())
        store_part_f32x16(out + F32 * i, n - i, mul_f32x16(rest, factors))


@kernel
def rms_norm_f32(step: int, worker: int) -> None:
    """dst = src0 / sqrt(mean(src0^2) + eps)"""
    n, epsilon = extent(step + DST, 0), real_param(step, NORM_EPSILON)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            x = row(step + SRC0, i1, i2, i3)
            mean = np.float32(sum_of_squares(x, n) / n)
            scaled(row(step + DST, i1, i2, i3), x, n, ONE / np.float32(math.sqrt(mean + epsilon)))
        start = claim(step, worker, chunk)


@inline
def _bias(mask: int, kind: int, i: int) -> Any:
    """Sixteen elements of a row of the mask."""
    bias = zero_f32x16()
    if kind == MASK_F32:
        bias = load_f32x16(mask + F32 * i)
    elif kind == MASK_F16:
        bias = widen_f16x16(load_f16x16(mask + F16 * i))
    return bias


@inline
def _rest_of_bias(mask: int, kind: int, i: int, left: int) -> Any:
    """The last `left` elements of a row of the mask."""
    bias = zero_f32x16()
    if kind == MASK_F32:
        bias = load_part_f32x16(mask + F32 * i, left, zero_f32x16())
    elif kind == MASK_F16:
        bias = widen_f16x16(load_part_f16x16(mask + F16 * i, left, zero_f16x16()))
    return bias


@plain
def _scored(step: int, out: int, x: int, mask: int, slope: Any) -> Any:
    """out = scale * x + slope * mask; the largest of these, NaNs passed over"""
    n, kind = extent(step + DST, 0), extra(step, MASK_KIND)
    scales, slopes = splat_f32x16(real_param(step, SOFT_MAX_SCALE)), splat_f32x16(slope)
    top = splat_f32x16(LOWEST)
    i = 0
    while i + LANES <= n:
        score = fma_f32x16(slopes, _bias(mask, kind, i), mul_f32x16(scales, load_f32x16(x + F32 * i)))
        store_f32x16(out + F32 * i, score)
        top = max_f32x16(score, top)
        i += LANES
    if i < n:
        rest = mul_f32x16(scales, load_part_f32x16(x + F32 * i, n - i, zero_f32x16()))
        store_part_f32x16(out + F32 * i, n - i, fma_f32x16(slopes, _rest_of_bias(mask, kind, i, n - i), rest))
        top = max_f32x16(load_part_f32x16(out + F32 * i, n - i, top), top)
    return largest_f32x16(top)


@plain
def _exponentiated(out: int, n: int, top: Any) -> Any:
    """out = e^(out - top); their sum"""
    tops, sums = splat_f32x16(top), zero_f32x16()
    i = 0
    while i + LANES <= n:
        power = exp_f32x16(sub_f32x16(load_f32x16(out + F32 * i), tops))
        store_f32x16(out + F32 * i, power)
        sums = add_f32x16(sums, power)
        i += LANES
    if i < n:
        power = exp_f32x16(sub_f32x16(load_part_f32x16(out + F32 * i, n - i, splat_f32x16(LOWEST)), tops))
        store_part_f32x16(out + F32 * i, n - i, power)
        sums = add_f32x16(sums, power)
    return total_f32x16(sums)


@plain
def _alibi_slope(max_bias: Any, head: int, heads: int) -> Any:
    """Factor of a head's mask: 1 without a bias, else two falling powers that meet at 2^floor(log2 heads)."""
    if max_bias <= 0:
        return ONE
    turn = 1
    while 2 * turn <= heads:
        turn *= 2
    if head < turn:
        return np.float32(2.0 ** (-float(max_bias) / turn * (head + 1)))
    return np.float32(2.0 ** (-float(max_bias) / 2 / turn * (2 * (head - turn) + 1)))


@kernel
def soft_max_f32(step: int, worker: int) -> None:
    """dst = softmax(scale * src0 + slope * src1), a sink of src2 taking part in each head's sum"""
    n, heads, max_bias = extent(step + DST, 0), extent(step + DST, 2), real_param(step, SOFT_MAX_BIAS)
    masked, sinks = extra(step, MASK_KIND) != MASK_NONE, address(step + SRC2)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, mask, slope = row(step + DST, i1, i2, i3), 0, ONE
            if masked:
                mask = row(step + SRC1, i1, i2 % extent(step + SRC1, 2), i3 % extent(step + SRC1, 3))
                slope = _alibi_slope(max_bias, i2, heads)
            top = _scored(step, out, row(step + SRC0, i1, i2, i3), mask, slope)
            if sinks != 0:
                top = max(top, f32_at(sinks + F32 * i2))
            if top == LOWEST:
                top = ZERO
            total = _exponentiated(out, n, top)
            if sinks != 0:
                total += np.float32(math.exp(f32_at(sinks + F32 * i2) - top))
            scaled(out, out, n, ZERO if total == 0 else ONE / total)
        start = claim(step, worker, chunk)
