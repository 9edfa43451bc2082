"""MUL_MAT with a Hadamard matrix, of which the node's hint tells: the fast Walsh-Hadamard transform of each row.

    X (n, rows...) F32 -> dst (n, rows...), n a power of two; the matrix itself, 1 / sqrt(n) times signs, is not read

Clients rotate what goes into a quantised cache with one. ggml believes the hint as well, and a quant in the cache is
decided by the last bit: so here are its operations, each rounded on its own. A row is scaled, then come sums and
differences of elements 1, 2, 4, ... n / 2 apart.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import (
    add_f32x16,
    fma_f32x16,
    load_f32x16,
    mul_f32x16,
    splat_f32x16,
    store_f32x16,
    sub_f32x16,
)
from refimpl.kernels.cpu.simd import F32X16, operation, shuffle
from refimpl.kernels.cpu.step import DST, SRC1, chunk_of, claim, count, extent, row, rows_of
from refimpl.kernels.cpu.words import f32_at, store_f32

__all__ = ["mul_mat_hadamard"]

F32, LANES = 4, 16
VECTOR = F32 * LANES


def _signs(length: int) -> Any:
    """-1 in the lanes that hold the second of two elements `length` apart, 1 in the others."""
    signs = [-1.0 if lane & length else 1.0 for lane in range(LANES)]
    return operation(F32X16, [], lambda b: ir.Constant(F32X16.ir, signs))


swap_1, swap_2 = shuffle(F32X16, [lane ^ 1 for lane in range(16)]), shuffle(F32X16, [lane ^ 2 for lane in range(16)])
swap_4, swap_8 = shuffle(F32X16, [lane ^ 4 for lane in range(16)]), shuffle(F32X16, [lane ^ 8 for lane in range(16)])
signs_1, signs_2, signs_4, signs_8 = _signs(1), _signs(2), _signs(4), _signs(8)


@inline
def _within(x: Any) -> Any:
    """The four steps within 16 elements: of each two, their sum and the first less the second."""
    x = fma_f32x16(x, signs_1(), swap_1(x, x))
    x = fma_f32x16(x, signs_2(), swap_2(x, x))
    x = fma_f32x16(x, signs_4(), swap_4(x, x))
    return fma_f32x16(x, signs_8(), swap_8(x, x))


@plain
def _short(out: int, x: int, n: int, scale: float) -> None:
    """Fewer than 16 elements."""
    for i in range(n):
        store_f32(out + F32 * i, f32_at(x + F32 * i) * scale)
    length = 1
    while length < n:
        for i in range(n):
            if i & length == 0:
                at, other = out + F32 * i, out + F32 * (i + length)
                u, v = f32_at(at), f32_at(other)
                store_f32(at, u + v)
                store_f32(other, u - v)
        length *= 2


@plain
def _long(out: int, x: int, n: int, scale: float) -> None:
    """Whole vectors."""
    scales = splat_f32x16(scale)
    for i in range(0, F32 * n, VECTOR):
        store_f32x16(out + i, _within(mul_f32x16(load_f32x16(x + i), scales)))
    length = VECTOR
    while length < F32 * n:
        for start in range(0, F32 * n, 2 * length):
            for at in range(out + start, out + start + length, VECTOR):
                u, v = load_f32x16(at), load_f32x16(at + length)
                store_f32x16(at, add_f32x16(u, v))
                store_f32x16(at + length, sub_f32x16(u, v))
        length *= 2


@kernel
def mul_mat_hadamard(step: int, worker: int) -> None:
    """dst = transform of the rows of src1"""
    n, units = extent(step + DST, 0), count(step + DST)
    scale = np.float32(1) / np.float32(math.sqrt(np.float32(n)))
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, unit)
            if n < LANES:
                _short(row(step + DST, i1, i2, i3), row(step + SRC1, i1, i2, i3), n, scale)
            else:
                _long(row(step + DST, i1, i2, i3), row(step + SRC1, i1, i2, i3), n, scale)
        start = claim(step, worker, chunk)
