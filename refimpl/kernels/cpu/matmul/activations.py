"""Activations become Q8 blocks once, for all products that they take part in.

Units are blocks, so that one long row is shared by the threads as well as many rows are.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    abs_f32x16,
    add_i32x16,
    bytes_i32x16,
    dot_i32x8,
    float_i32x8,
    int_f32x16,
    largest_f32x16,
    load_f32x16,
    load_i8x32,
    max_f32x16,
    mul_f32x16,
    nearest_f32x16,
    ones_i8x32,
    splat_f32x16,
    splat_i32x8,
    store_f32x8,
    store_i8x16,
    total_i32x16,
)
from refimpl.kernels.cpu.matmul.layout import ACTIVATION, BLOCK, QUANTS, WORD_SUMS, S
from refimpl.kernels.cpu.step import SRC0, chunk_of, claim, count, extent, extra, row, rows_of
from refimpl.kernels.cpu.words import rounded_to_f16, store_f32

__all__ = ["quantise_block", "quantise_q8"]

F32 = 4
LARGEST = np.float32(127)
SMALLEST = np.float32(127 / 3.4028235e38)
"""below it 127 / amax overflows, and d is 0 as an F16"""


@inline
def quantise_block(x: int, out: int) -> None:
    """32 floats at x -> one activation block at out: q = rint(x * (127 / amax))"""
    low, high = load_f32x16(x), load_f32x16(x + 16 * F32)
    amax = largest_f32x16(max_f32x16(abs_f32x16(low), abs_f32x16(high)))
    inverse = np.float32(0)
    if amax > SMALLEST:
        inverse = LARGEST / amax
    factor = splat_f32x16(inverse)
    q_low = int_f32x16(nearest_f32x16(mul_f32x16(low, factor)))
    q_high = int_f32x16(nearest_f32x16(mul_f32x16(high, factor)))
    store_i8x16(out + QUANTS, bytes_i32x16(q_low))
    store_i8x16(out + QUANTS + 16, bytes_i32x16(q_high))
    total = total_i32x16(add_i32x16(q_low, q_high))
    d = amax / LARGEST
    store_f32(out, rounded_to_f16(d))
    store_f32(out + S, rounded_to_f16(d * np.float32(total)))
    store_f32x8(out + WORD_SUMS, float_i32x8(dot_i32x8(splat_i32x8(0), ones_i8x32(), load_i8x32(out + QUANTS))))


@inline
def _block_at(step: int, blocks: int, unit: int) -> Any:
    """Address of the block numbered `unit`, and how many blocks remain in its row."""
    number = unit // blocks
    i1, i2, i3 = rows_of(step + SRC0, number)
    column = unit - number * blocks
    return row(step + SRC0, i1, i2, i3) + column * BLOCK * F32, blocks - column


@kernel
def quantise_q8(step: int, worker: int) -> None:
    """src0 F32 (k, n, b2, b3) -> (n * b2 * b3, k / 32) blocks at extra word 0"""
    blocks, out = extent(step + SRC0, 0) // BLOCK, extra(step, 0)
    units = count(step + SRC0) * blocks
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        x, remaining = _block_at(step, blocks, start)
        for unit in range(start, min(units, start + chunk)):
            if remaining == 0:
                x, remaining = _block_at(step, blocks, unit)
            quantise_block(x, out + unit * ACTIVATION)
            x += BLOCK * F32
            remaining -= 1
        start = claim(step, worker, chunk)
