"""Activations become Q8_K blocks once, for all products with weights in a K format that they take part in.

Units are blocks, so that one long row is shared by the threads as well as many rows are.
"""

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    abs_f32x16,
    bytes_i32x16,
    int_f32x16,
    largest_f32x16,
    load_f32x16,
    max_f32x16,
    mul_f32x16,
    nearest_f32x16,
    splat_f32x16,
    store_i8x16,
    total_i32x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.matmul.k_quants.layout import ACTIVATION, BLOCK, QUANTS, SUMS_16, SUMS_32
from refimpl.kernels.cpu.step import SRC0, chunk_of, claim, count, extent, extra, row, rows_of
from refimpl.kernels.cpu.words import store_f32, store_i16

__all__ = ["quantise_q8_k"]

F32, I16, LANES = 4, 2, 16
LARGEST = np.float32(127)
SMALLEST = np.float32(127 / 3.4028235e38)
"""below it 127 / amax overflows, and d is 0"""


@inline
def _quantise_block(x: int, out: int) -> None:
    """256 floats at x -> one activation block at out: q = rint(x * (127 / amax)), d = 1 / (127 / amax)"""
    most = zero_f32x16()
    for i in range(0, BLOCK, LANES):
        most = max_f32x16(abs_f32x16(load_f32x16(x + F32 * i)), most)
    amax = largest_f32x16(most)
    inverse, d = np.float32(0), np.float32(0)
    if amax > SMALLEST:
        inverse = LARGEST / amax
        d = np.float32(1) / inverse
    factor, last = splat_f32x16(inverse), np.int64(0)
    for i in range(0, BLOCK, LANES):
        q = int_f32x16(nearest_f32x16(mul_f32x16(load_f32x16(x + F32 * i), factor)))
        store_i8x16(out + QUANTS + i, bytes_i32x16(q))
        total, number = total_i32x16(q), i // LANES
        store_i16(out + SUMS_16 + I16 * number, total)
        store_i16(out + SUMS_32 + I16 * (number // 2), total + last)
        last = total
    store_f32(out, d)


@kernel
def quantise_q8_k(step: int, worker: int) -> None:
    """src0 F32 (k, n, b2, b3) -> (n * b2 * b3, k / 256) blocks at extra word 0"""
    blocks, out = extent(step + SRC0, 0) // BLOCK, extra(step, 0)
    units = count(step + SRC0) * blocks
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            number = unit // blocks
            i1, i2, i3 = rows_of(step + SRC0, number)
            x = row(step + SRC0, i1, i2, i3) + (unit - number * blocks) * BLOCK * F32
            _quantise_block(x, out + unit * ACTIVATION)
        start = claim(step, worker, chunk)
