"""SCALE, CLAMP and FILL: a line, bounds, or one value. dst may be src0.

Results have the bits of ggml's CPU backend. Hence SCALE rounds once with a bias and adds none where it is 0 (-0 stays).
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    fma_f32x16,
    load_f32x16,
    load_part_f32x16,
    max_f32x16,
    min_f32x16,
    mul_f32x16,
    splat_f32x16,
    store_f32x16,
    store_part_f32x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.step import DST, SRC0, chunk_of, claim, count, extent, extra, real_param, row, rows_of
from refimpl.kernels.cpu.words import f16_at, store_f16, store_f32

__all__ = ["clamp_f16", "clamp_f32", "fill", "scale_f32"]

F16, F32 = 2, 4
LANES = 16
SCALE_FACTOR, SCALE_BIAS = 0, 1
CLAMP_LEAST, CLAMP_MOST = 0, 1
FILL_VALUE = 0
ELEMENT = 0
"""extra word of FILL: bytes of an element"""


@inline
def _line(x: Any, factors: Any, biases: Any, bias: Any) -> Any:
    """x * factor + bias for sixteen elements."""
    return mul_f32x16(x, factors) if bias == 0 else fma_f32x16(x, factors, biases)


@kernel
def scale_f32(step: int, worker: int) -> None:
    """dst = s * src0 + b; with s = 0 and b = -inf it is in use as a fill"""
    n, factor, bias = extent(step + DST, 0), real_param(step, SCALE_FACTOR), real_param(step, SCALE_BIAS)
    factors, biases = splat_f32x16(factor), splat_f32x16(bias)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3)
            i = 0
            while i + LANES <= n:
                store_f32x16(out + F32 * i, _line(load_f32x16(x + F32 * i), factors, biases, bias))
                i += LANES
            if i < n:
                rest = load_part_f32x16(x + F32 * i, n - i, zero_f32x16())
                store_part_f32x16(out + F32 * i, n - i, _line(rest, factors, biases, bias))
        start = claim(step, worker, chunk)


@kernel
def clamp_f32(step: int, worker: int) -> None:
    """dst = src0 between its bounds"""
    n = extent(step + DST, 0)
    least, most = splat_f32x16(real_param(step, CLAMP_LEAST)), splat_f32x16(real_param(step, CLAMP_MOST))
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3)
            i = 0
            while i + LANES <= n:
                store_f32x16(out + F32 * i, max_f32x16(min_f32x16(load_f32x16(x + F32 * i), most), least))
                i += LANES
            if i < n:
                rest = load_part_f32x16(x + F32 * i, n - i, zero_f32x16())
                store_part_f32x16(out + F32 * i, n - i, max_f32x16(min_f32x16(rest, most), least))
        start = claim(step, worker, chunk)


@kernel
def clamp_f16(step: int, worker: int) -> None:
    """dst = src0 between its bounds, which are rounded with the result"""
    n, least, most = extent(step + DST, 0), real_param(step, CLAMP_LEAST), real_param(step, CLAMP_MOST)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3)
            for i in range(n):
                value = f16_at(x + F16 * i)
                value = value if value < most else most
                store_f16(out + F16 * i, value if value > least else least)
        start = claim(step, worker, chunk)


@kernel
def fill(step: int, worker: int) -> None:
    """dst = value; nothing is read"""
    n, value, halves = extent(step + DST, 0), real_param(step, FILL_VALUE), extra(step, ELEMENT) == F16
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out = row(step + DST, i1, i2, i3)
            if halves:
                for i in range(n):
                    store_f16(out + F16 * i, value)
            else:
                for i in range(n):
                    store_f32(out + F32 * i, value)
        start = claim(step, worker, chunk)
