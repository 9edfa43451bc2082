"""MUL_MAT with weights in their own layout, one row at a time: for matrices that cannot be packed, and for views."""

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
from refimpl.kernels.cpu.matmul.fifths import fifths_i8x32
from refimpl.kernels.cpu.matmul.layout import (
    ACTIVATION,
    BLOCK,
    Q4_0,
    Q4_0_BYTES,
    Q4_1,
    Q4_1_BYTES,
    Q5_0,
    Q5_0_BYTES,
    Q5_1,
    Q5_1_BYTES,
    Q8_0,
    Q8_0_BYTES,
    QUANTS,
    WORD_SUMS,
    S,
)
from refimpl.kernels.cpu.matmul.units import by_rows
from refimpl.kernels.cpu.simd import I8X32, binary
from refimpl.kernels.cpu.words import f16_at, f32_at, i32_at

__all__ = ["dot", "mul_mat_q4_0", "mul_mat_q4_1", "mul_mat_q5_0", "mul_mat_q5_1", "mul_mat_q8_0"]

or_i8x32 = binary("or_", I8X32)

F16, WORD = 2, 4
Q4_0_ZERO, Q5_0_ZERO, Q8_0_ZERO = np.float32(8), np.float32(16), np.float32(128)
"""what the unsigned quants are too large by"""


@inline
def _nibbles(p: int) -> Any:
    """32 quants of 16 bytes: low nibbles first, then high ones."""
    packed = load_i8x16(p)
    return join_i8x16(low_nibbles_16(packed), high_nibbles_16(packed))


@inline
def _products(kind: int, p: int, a: int) -> Any:
    """Products of the block at p with the activation block at a over eight lanes, lane j those of words j: integers."""
    zero = splat_i32x8(0)
    if kind == Q8_0:
        products = float_i32x8(dot_i32x8(zero, flip_signs_32(load_i8x32(p + 2)), load_i8x32(a + QUANTS)))
        return fma_f32x8(load_f32x8(a + WORD_SUMS), splat_f32x8(-Q8_0_ZERO), products)
    p += 2 * F16 if kind in (Q4_1, Q5_1) else F16
    quants = or_i8x32(_nibbles(p + WORD), fifths_i8x32(i32_at(p))) if kind in (Q5_0, Q5_1) else _nibbles(p)
    products = float_i32x8(dot_i32x8(zero, quants, load_i8x32(a + QUANTS)))
    if kind in (Q4_1, Q5_1):
        return products
    excess = Q5_0_ZERO if kind == Q5_0 else Q4_0_ZERO
    return fma_f32x8(load_f32x8(a + WORD_SUMS), splat_f32x8(-excess), products)


@inline
def dot(kind: int, size: int, p: int, a: int, blocks: int) -> Any:
    """One row of weights times one column of activations, added up in the order that packed.py describes."""
    sums, minima = zero_f32x8(), zero_f32x8()
    for _ in range(blocks):
        sums = fma_f32x8(_products(kind, p, a), splat_f32x8(f16_at(p) * f32_at(a)), sums)
        if kind in (Q4_1, Q5_1):
            minima = fma_f32x8(splat_f32x8(f16_at(p + 2)), splat_f32x8(f32_at(a + S)), minima)
        p += size
        a += ACTIVATION
    return total_f32x8(sums) + first_f32x8(minima)


@kernel
def mul_mat_q4_0(step: int, worker: int) -> None:
    """Q4_0 weights"""
    by_rows((Q4_0, Q4_0_BYTES, BLOCK, ACTIVATION), dot, step, worker)


@kernel
def mul_mat_q4_1(step: int, worker: int) -> None:
    """Q4_1 weights"""
    by_rows((Q4_1, Q4_1_BYTES, BLOCK, ACTIVATION), dot, step, worker)


@kernel
def mul_mat_q5_0(step: int, worker: int) -> None:
    """Q5_0 weights"""
    by_rows((Q5_0, Q5_0_BYTES, BLOCK, ACTIVATION), dot, step, worker)


@kernel
def mul_mat_q5_1(step: int, worker: int) -> None:
    """Q5_1 weights"""
    by_rows((Q5_1, Q5_1_BYTES, BLOCK, ACTIVATION), dot, step, worker)


@kernel
def mul_mat_q8_0(step: int, worker: int) -> None:
    """Q8_0 weights"""
    by_rows((Q8_0, Q8_0_BYTES, BLOCK, ACTIVATION), dot, step, worker)
