"""NORM and L2_NORM: one row at a time, which its own sums hold together. dst may be src0.

Elements may have gaps (heads that were turned without a copy): such rows go one by one.

Results have the bits of ggml's CPU backend: the sum of a row is float64, the mean float32; squares are added up in
float32 sixteen at a time, and those sums in float64. Unsatisfying: ggml adds one element after another to the first
sum, we in lanes; either is so much finer than the mean that this shows about once in ten million rows.
"""

import math
from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import (
    load_f32x16,
    mul_f32x16,
    splat_f32x16,
    store_f32x16,
    sub_f32x16,
    total_f32x16,
)
from refimpl.kernels.cpu.ops.norms import scaled, sum_of_squares
from refimpl.kernels.cpu.ops.rowwise.sums import sum_of_row
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    chunk_of,
    claim,
    count,
    extent,
    real_param,
    row,
    rows_of,
    stride,
)
from refimpl.kernels.cpu.words import f32_at, store_f32

__all__ = ["l2_norm_f32", "norm_f32"]

F32 = 4
LANES = 16
EPSILON = 0
ONE = np.float32(1)


@plain
def _centre(out: int, x: int, n: int, mean: Any) -> Any:
    """out = x - mean; the float64 sum of its squares"""
    means, total = splat_f32x16(mean), 0.0
    i = 0
    while i + LANES <= n:
        value = sub_f32x16(load_f32x16(x + F32 * i), means)
        store_f32x16(out + F32 * i, value)
        total += np.float64(total_f32x16(mul_f32x16(value, value)))
        i += LANES
    while i < n:
        rest = f32_at(x + F32 * i) - mean
        store_f32(out + F32 * i, rest)
        total += np.float64(rest * rest)
        i += 1
    return total


@plain
def _norm_with_gaps(out: int, out_gap: int, x: int, x_gap: int, n: int, epsilon: Any) -> None:
    total = np.float32(0)
    for i in range(n):
        total += f32_at(x + x_gap * i)
    mean, variance = total / np.float32(n), np.float32(0)
    for i in range(n):
        value = f32_at(x + x_gap * i) - mean
        store_f32(out + out_gap * i, value)
        variance += value * value
    factor = ONE / np.float32(math.sqrt(variance / np.float32(n) + epsilon))
    for i in range(n):
        store_f32(out + out_gap * i, f32_at(out + out_gap * i) * factor)


@plain
def _l2_norm_with_gaps(out: int, out_gap: int, x: int, x_gap: int, n: int, epsilon: Any) -> None:
    total = 0.0
    for i in range(n):
        value = f32_at(x + x_gap * i)
        total += np.float64(value * value)
    factor = _l2_factor(total, epsilon)
    for i in range(n):
        store_f32(out + out_gap * i, f32_at(x + x_gap * i) * factor)


@inline
def _l2_factor(total: Any, epsilon: Any) -> Any:
    length = np.float32(math.sqrt(np.float32(total)))
    return ONE / (length if length > epsilon else epsilon)


@kernel
def norm_f32(step: int, worker: int) -> None:
    """dst = (src0 - mean) / sqrt(variance + eps)"""
    n, epsilon = extent(step + DST, 0), real_param(step, EPSILON)
    out_gap, x_gap = stride(step + DST, 0), stride(step + SRC0, 0)
    packed = n == 1 or (out_gap == F32 and x_gap == F32)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3)
            if packed:
                mean = np.float32(sum_of_row(x, n)) / np.float32(n)
                variance = np.float32(_centre(out, x, n, mean) / n)
                scaled(out, out, n, ONE / np.float32(math.sqrt(variance + epsilon)))
            else:
                _norm_with_gaps(out, out_gap, x, x_gap, n, epsilon)
        start = claim(step, worker, chunk)


@kernel
def l2_norm_f32(step: int, worker: int) -> None:
    """dst = src0 / max(sqrt(sum of src0^2), eps)"""
    n, epsilon = extent(step + DST, 0), real_param(step, EPSILON)
    out_gap, x_gap = stride(step + DST, 0), stride(step + SRC0, 0)
    packed = n == 1 or (out_gap == F32 and x_gap == F32)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3)
            if packed:
                scaled(out, x, n, _l2_factor(sum_of_squares(x, n), epsilon))
            else:
                _l2_norm_with_gaps(out, out_gap, x, x_gap, n, epsilon)
        start = claim(step, worker, chunk)
