"""MUL_MAT with weights in their own layout, one row at a time: for matrices that cannot be packed, and for views.

    W (k, m, b2, b3) any strides between rows, X (rows of Q8 blocks) at extra word 0 -> dst (m, n, B2, B3)

A unit is one weight row with all columns that it meets: those of the (B2 / b2) x (B3 / b3) batches it is shared by.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    dot_i32x8,
    first_f32x8,
    flip_signs_32,
    float_i32x8,
    fma_f32x8,
    high_nibbles_16,
    join_i8x16,
    load_f32x8,
    load_i8x16,
    load_i8x32,
    low_nibbles_16,
    splat_f32x8,
    splat_i32x8,
    total_f32x8,
    zero_f32x8,
)
from refimpl.kernels.cpu.matmul.layout import (
    ACTIVATION,
    BLOCK,
    Q4_0,
    Q4_0_BYTES,
    Q4_1,
    Q4_1_BYTES,
    Q8_0,
    Q8_0_BYTES,
    QUANTS,
    WORD_SUMS,
    S,
)
from refimpl.kernels.cpu.step import DST, SRC0, chunk_of, claim, count, extent, extra, row, rows_of
from refimpl.kernels.cpu.words import f16_at, f32_at, store_f32

__all__ = ["mul_mat_q4_0", "mul_mat_q4_1", "mul_mat_q8_0"]

F32 = 4
Q4_0_ZERO, Q8_0_ZERO = np.float32(8), np.float32(128)
"""what the unsigned quants are too large by"""


@inline
def _products(kind: int, p: int, a: int) -> Any:
    """Products of the block at p with the activation block at a over eight lanes, lane j those of words j: integers."""
    zero = splat_i32x8(0)
    if kind == Q8_0:
        products = float_i32x8(dot_i32x8(zero, flip_signs_32(load_i8x32(p + 2)), load_i8x32(a + QUANTS)))
        return fma_f32x8(load_f32x8(a + WORD_SUMS), splat_f32x8(-Q8_0_ZERO), products)
    nibbles = load_i8x16(p + (4 if kind == Q4_1 else 2))
    quants = join_i8x16(low_nibbles_16(nibbles), high_nibbles_16(nibbles))
    products = float_i32x8(dot_i32x8(zero, quants, load_i8x32(a + QUANTS)))
    if kind == Q4_1:
        return products
    return fma_f32x8(load_f32x8(a + WORD_SUMS), splat_f32x8(-Q4_0_ZERO), products)


@inline
def _dot(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """One row of weights times one column of activations, added up in the order that packed.py describes."""
    sums, minima = zero_f32x8(), zero_f32x8()
    for _ in range(blocks):
        sums = fma_f32x8(_products(kind, p, a), splat_f32x8(f16_at(p) * f32_at(a)), sums)
        if kind == Q4_1:
            minima = fma_f32x8(splat_f32x8(f16_at(p + 2)), splat_f32x8(f32_at(a + S)), minima)
        p += size
        a += ACTIVATION
    return total_f32x8(sums) + first_f32x8(minima)


@inline
def _multiply(kind: int, size: int, step: int, worker: int) -> None:
    blocks, columns = extent(step + SRC0, 0) // BLOCK, extent(step + DST, 1)
    batches2, batches3 = extent(step + DST, 2), extent(step + DST, 3)
    share2, share3 = batches2 // extent(step + SRC0, 2), batches3 // extent(step + SRC0, 3)
    units = count(step + SRC0)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            i1, w2, w3 = rows_of(step + SRC0, unit)
            p = row(step + SRC0, i1, w2, w3)
            for i3 in range(w3 * share3, (w3 + 1) * share3):
                for i2 in range(w2 * share2, (w2 + 1) * share2):
                    first = (i3 * batches2 + i2) * columns
                    for n in range(columns):
                        a = extra(step, 0) + (first + n) * blocks * ACTIVATION
                        store_f32(row(step + DST, n, i2, i3) + F32 * i1, _dot(kind, size, p, a, blocks))
        start = claim(step, worker, chunk)


@kernel
def mul_mat_q4_0(step: int, worker: int) -> None:
    """Q4_0 weights"""
    _multiply(Q4_0, Q4_0_BYTES, step, worker)


@kernel
def mul_mat_q4_1(step: int, worker: int) -> None:
    """Q4_1 weights"""
    _multiply(Q4_1, Q4_1_BYTES, step, worker)


@kernel
def mul_mat_q8_0(step: int, worker: int) -> None:
    """Q8_0 weights"""
    _multiply(Q8_0, Q8_0_BYTES, step, worker)
