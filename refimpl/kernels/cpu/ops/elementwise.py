"""ADD, MUL, SCALE, GLU: rows of the result one at a time, sixteen elements at once where rows are packed.

src1 of ADD and MUL is repeated in every dimension: `dst (n, ...) = src0 (n, ...) op src1 (m, ...)`, n a multiple of m.

Results have the bits of ggml's CPU backend: what follows is quantised to 8 bits, and a last bit that falls on the other
side of a half there becomes another text. Hence SCALE rounds once with a bias and adds none where it is 0 (-0 stays),
and the elements of a GLU row behind its last sixteen take their exponential from the C library.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    add_f32x16,
    fma_f32x16,
    load_f32x16,
    load_part_f32x16,
    mul_f32x16,
    silu_f32x16,
    splat_f32x16,
    store_f32x16,
    store_part_f32x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.libm import expf
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    address,
    chunk_of,
    claim,
    count,
    extent,
    real_param,
    row,
    rows_of,
    stride,
    whole_param,
)
from refimpl.kernels.cpu.words import f32_at, store_f32

__all__ = ["add_f32", "mul_f32", "scale_f32", "swiglu_f32"]

F32 = 4
LANES = 16
SCALE_FACTOR, SCALE_BIAS = 0, 1
GLU_SWAPPED = 1

ONE = np.float32(1)


@inline
def _added(out: int, x: int, y: int, n: int) -> None:
    i = 0
    while i + LANES <= n:
        store_f32x16(out + F32 * i, add_f32x16(load_f32x16(x + F32 * i), load_f32x16(y + F32 * i)))
        i += LANES
    while i < n:
        store_f32(out + F32 * i, f32_at(x + F32 * i) + f32_at(y + F32 * i))
        i += 1


@inline
def _multiplied(out: int, x: int, y: int, n: int) -> None:
    i = 0
    while i + LANES <= n:
        store_f32x16(out + F32 * i, mul_f32x16(load_f32x16(x + F32 * i), load_f32x16(y + F32 * i)))
        i += LANES
    while i < n:
        store_f32(out + F32 * i, f32_at(x + F32 * i) * f32_at(y + F32 * i))
        i += 1


@inline
def _repeated_row(step: int, i1: int, i2: int, i3: int) -> Any:
    """The row of src1 that belongs to a row of the result."""
    small = step + SRC1
    return row(small, i1 % extent(small, 1), i2 % extent(small, 2), i3 % extent(small, 3))


@kernel
def add_f32(step: int, worker: int) -> None:
    """dst = src0 + src1"""
    n, m, gap = extent(step + DST, 0), extent(step + SRC1, 0), stride(step + SRC1, 0)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x, y = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3), _repeated_row(step, i1, i2, i3)
            if m == n and (gap == F32 or n == 1):
                _added(out, x, y, n)
            else:
                for i in range(n):
                    store_f32(out + F32 * i, f32_at(x + F32 * i) + f32_at(y + gap * (i % m)))
        start = claim(step, worker, chunk)


@kernel
def mul_f32(step: int, worker: int) -> None:
    """dst = src0 * src1"""
    n, m, gap = extent(step + DST, 0), extent(step + SRC1, 0), stride(step + SRC1, 0)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x, y = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3), _repeated_row(step, i1, i2, i3)
            if m == n and (gap == F32 or n == 1):
                _multiplied(out, x, y, n)
            else:
                for i in range(n):
                    store_f32(out + F32 * i, f32_at(x + F32 * i) * f32_at(y + gap * (i % m)))
        start = claim(step, worker, chunk)


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
def swiglu_f32(step: int, worker: int) -> None:
    """dst = silu(gate) * up: two sources, or the halves of one, first half the gate unless swapped"""
    n = extent(step + DST, 0)
    paired = address(step + SRC1) != 0
    swapped = whole_param(step, GLU_SWAPPED) != 0
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, gate = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3)
            up = gate + F32 * n
            if paired:
                up = row(step + SRC1, i1, i2, i3)
            elif swapped:
                gate, up = up, gate
            i = 0
            while i + LANES <= n:
                gated = mul_f32x16(silu_f32x16(load_f32x16(gate + F32 * i)), load_f32x16(up + F32 * i))
                store_f32x16(out + F32 * i, gated)
                i += LANES
            while i < n:
                g = f32_at(gate + F32 * i)
                store_f32(out + F32 * i, g / (ONE + expf(-g)) * f32_at(up + F32 * i))
                i += 1
        start = claim(step, worker, chunk)
