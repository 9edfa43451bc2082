"""SUM, SUM_ROWS and MEAN: float64 sums of float32 rows, rounded once; the elements of a row may have gaps.

SUM adds up the sums of all rows in one thread. F16 is added up in float32, one after the other, as ggml does.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import add_f64x8, load_f32x8, total_f64x8, widen_f32x8, zero_f64x8
from refimpl.kernels.cpu.step import DST, SRC0, address, chunk_of, claim, count, extent, row, rows_of, stride
from refimpl.kernels.cpu.words import f16_at, f32_at, store_f16, store_f32

__all__ = ["mean_f32", "sum_f16", "sum_f32", "sum_of_row", "sum_rows_f32"]

F32 = 4
LANES = 8


@plain
def sum_of_row(x: int, n: int) -> Any:
    """float64, of n packed float32"""
    a, b = zero_f64x8(), zero_f64x8()
    i = 0
    while i + 2 * LANES <= n:
        a = add_f64x8(a, widen_f32x8(load_f32x8(x + F32 * i)))
        b = add_f64x8(b, widen_f32x8(load_f32x8(x + F32 * (i + LANES))))
        i += 2 * LANES
    total = total_f64x8(add_f64x8(a, b))
    while i < n:
        total += np.float64(f32_at(x + F32 * i))
        i += 1
    return total


@inline
def _sum(x: int, n: int, gap: int) -> Any:
    if gap == F32:
        return sum_of_row(x, n)
    total = 0.0
    for i in range(n):
        total += np.float64(f32_at(x + gap * i))
    return total


@inline
def _row_sum(step: int, number: int) -> Any:
    i1, i2, i3 = rows_of(step + SRC0, number)
    return _sum(row(step + SRC0, i1, i2, i3), extent(step + SRC0, 0), stride(step + SRC0, 0))


@inline
def _each_row(step: int, worker: int, divisor: Any) -> None:
    units = count(step + SRC0)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            store_f32(row(step + DST, i1, i2, i3), np.float32(_row_sum(step, number)) / divisor)
        start = claim(step, worker, chunk)


@kernel
def sum_rows_f32(step: int, worker: int) -> None:
    """dst (1, ...) = the sum of each row"""
    _each_row(step, worker, np.float32(1))


@kernel
def mean_f32(step: int, worker: int) -> None:
    """dst (1, ...) = the mean of each row"""
    _each_row(step, worker, np.float32(extent(step + SRC0, 0)))


@kernel
def sum_f32(step: int, worker: int) -> None:
    """dst (1) = the sum of all elements"""
    if claim(step, worker, 1) != 0:
        return
    total = 0.0
    for number in range(count(step + SRC0)):
        total += _row_sum(step, number)
    store_f32(address(step + DST), np.float32(total))


@kernel
def sum_f16(step: int, worker: int) -> None:
    """dst (1) = the sum of all elements"""
    if claim(step, worker, 1) != 0:
        return
    n, gap, total = extent(step + SRC0, 0), stride(step + SRC0, 0), np.float32(0)
    for number in range(count(step + SRC0)):
        i1, i2, i3 = rows_of(step + SRC0, number)
        x, sum_ = row(step + SRC0, i1, i2, i3), np.float32(0)
        for i in range(n):
            sum_ += f16_at(x + gap * i)
        total += sum_
    store_f16(address(step + DST), total)
