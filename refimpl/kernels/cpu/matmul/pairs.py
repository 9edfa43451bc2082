"""MUL_MAT with BF16 weights: activations are rounded once for all products, then two neighbours are multiplied at once.

    W (k, m, b2, b3) rows packed, X rounded to BF16, row after row, at extra word 0 -> dst (m, n, B2, B3)

Sums have ggml's order. A single column, or any where the rows are no multiple of four, is added up in two sums of 32
elements at a time, what is behind the last 64 elements one by one; several columns in one sum each, what is behind the
last 32 elements as if zeros followed. With AVX512-BF16 the results have ggml's bits: two products are added to a sum by
one instruction, which takes numbers below the normal ones for 0. Elsewhere each product is added by itself.
"""

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from refimpl.kernels.cpu.bf16 import bf16_at, store_bf16, store_bf16x16
from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import load_f32x16, total_f32x16, zero_f32x16
from refimpl.kernels.cpu.matmul.units import by_rows
from refimpl.kernels.cpu.simd import F32X16, I32X16, Vector, load, load_part, operation, zero
from refimpl.kernels.cpu.step import DST, SRC0, chunk_of, claim, count, extent, extra, row, rows_of
from refimpl.kernels.cpu.words import f32_at, store_f32

__all__ = ["HAS_BF16", "mul_mat_pairs", "pairs_of_four", "round_to_bf16"]

HAS_BF16 = bool(llvm.get_host_cpu_features().get("avx512bf16"))

BF16, F32 = 2, 4
LANES, PAIR = 16, 32
FOUR = 4
FORM = 30, BF16, 1, BF16

I16X32 = Vector("i16", PAIR)
load_i16x32, load_part_i16x32, zero_i16x32 = load(I16X32), load_part(I16X32), zero(I16X32)


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's own name for the element, which llvmlite has no type for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


def _half(b: Any, x: Any, upper: bool) -> Any:
    """Every second BF16 as float32."""
    words, sixteen = b.bitcast(x, I32X16.ir), ir.Constant(I32X16.ir, [16] * LANES)
    if upper:
        words = b.lshr(words, sixteen)
    return b.bitcast(b.shl(words, sixteen), F32X16.ir)


def _pairs(b: Any, total: Any, x: Any, w: Any, hardware: bool) -> Any:
    if hardware:
        kind = ir.VectorType(_BFloat(), PAIR)
        signature = ir.FunctionType(F32X16.ir, [F32X16.ir, kind, kind])
        call = cgutils.get_or_insert_function(b.module, signature, "llvm.x86.avx512bf16.dpbf16ps.512")
        return b.call(call, [total, b.bitcast(w, kind), b.bitcast(x, kind)])
    signature = ir.FunctionType(F32X16.ir, [F32X16.ir] * 3)
    fma = cgutils.get_or_insert_function(b.module, signature, "llvm.fma.v16f32")
    for upper in (False, True):
        total = b.call(fma, [_half(b, x, upper), _half(b, w, upper), total])
    return total


def pairs_of_four(hardware: bool = HAS_BF16) -> Any:
    """(x, four w, four sums) -> sums: lane j gains the products of elements 2j and 2j + 1"""
    weights, sums = types.UniTuple(I16X32, FOUR), types.UniTuple(F32X16, FOUR)

    def emit(b: Any, x: Any, given: Any, totals: Any) -> Any:
        for j in range(FOUR):
            made = _pairs(b, b.extract_value(totals, j), x, b.extract_value(given, j), hardware)
            totals = b.insert_value(totals, made, j)
        return totals

    return operation(sums, [I16X32, weights, sums], emit)


gain_pair = operation(F32X16, [F32X16, I16X32, I16X32], lambda b, total, x, w: _pairs(b, total, x, w, HAS_BF16))
gain_four = pairs_of_four()


@kernel
def round_to_bf16(step: int, worker: int) -> None:
    """src0 F32 (k, n, b2, b3) -> (n * b2 * b3, k) BF16 at extra word 0"""
    k = extent(step + SRC0, 0)
    units = count(step + SRC0)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + SRC0, number)
            x, out = row(step + SRC0, i1, i2, i3), extra(step, 0) + number * k * BF16
            for i in range(0, k - k % LANES, LANES):
                store_bf16x16(out + BF16 * i, load_f32x16(x + F32 * i))
            for i in range(k - k % LANES, k):
                store_bf16(out + BF16 * i, f32_at(x + F32 * i))
        start = claim(step, worker, chunk)


@inline
def _dot(kind: int, size: int, p: int, a: int, k: int) -> Any:
    """One row times one column."""
    first, second, i = zero_f32x16(), zero_f32x16(), 0
    while i + 2 * PAIR <= k:
        first = gain_pair(first, load_i16x32(a + BF16 * i), load_i16x32(p + BF16 * i))
        second = gain_pair(second, load_i16x32(a + BF16 * (i + PAIR)), load_i16x32(p + BF16 * (i + PAIR)))
        i += 2 * PAIR
    total = np.float64(total_f32x16(first)) + np.float64(total_f32x16(second))
    while i < k:
        total += np.float64(bf16_at(p + BF16 * i) * bf16_at(a + BF16 * i))
        i += 1
    return np.float32(total)


@inline
def _rows(w: Any, i: int) -> Any:
    return load_i16x32(w[0] + i), load_i16x32(w[1] + i), load_i16x32(w[2] + i), load_i16x32(w[3] + i)


@inline
def _part(at: int, left: int) -> Any:
    return load_part_i16x32(at, left, zero_i16x32())


@inline
def _nothing() -> Any:
    return zero_f32x16(), zero_f32x16(), zero_f32x16(), zero_f32x16()


@inline
def _store(out: int, sums: Any) -> None:
    for j in range(FOUR):
        store_f32(out + F32 * j, total_f32x16(sums[j]))


@inline
def _four_columns(w: Any, x: int, k: int, out: Any) -> None:
    """Four rows times four columns from x on; `out` is where the first goes, and the bytes from one to the next."""
    c0, c1, c2, c3 = _nothing(), _nothing(), _nothing(), _nothing()
    each, whole = BF16 * k, k - k % PAIR
    for i in range(0, BF16 * whole, BF16 * PAIR):
        v = _rows(w, i)
        c0, c1 = gain_four(load_i16x32(x + i), v, c0), gain_four(load_i16x32(x + each + i), v, c1)
        c2, c3 = gain_four(load_i16x32(x + 2 * each + i), v, c2), gain_four(load_i16x32(x + 3 * each + i), v, c3)
    if whole < k:
        i, left = BF16 * whole, k - whole
        v = _part(w[0] + i, left), _part(w[1] + i, left), _part(w[2] + i, left), _part(w[3] + i, left)
        c0, c1 = gain_four(_part(x + i, left), v, c0), gain_four(_part(x + each + i, left), v, c1)
        c2, c3 = gain_four(_part(x + 2 * each + i, left), v, c2), gain_four(_part(x + 3 * each + i, left), v, c3)
    _store(out[0], c0)
    _store(out[0] + out[1], c1)
    _store(out[0] + 2 * out[1], c2)
    _store(out[0] + 3 * out[1], c3)


@inline
def _one_column(w: Any, x: int, k: int, out: int) -> None:
    sums, whole = _nothing(), k - k % PAIR
    for i in range(0, BF16 * whole, BF16 * PAIR):
        sums = gain_four(load_i16x32(x + i), _rows(w, i), sums)
    if whole < k:
        i, left = BF16 * whole, k - whole
        v = _part(w[0] + i, left), _part(w[1] + i, left), _part(w[2] + i, left), _part(w[3] + i, left)
        sums = gain_four(_part(x + i, left), v, sums)
    _store(out, sums)


@inline
def _by_tiles(step: int, worker: int) -> None:
    """A unit is four rows of one batch of the result, with all its columns."""
    k, m, columns = extent(step + SRC0, 0), extent(step + DST, 0), extent(step + DST, 1)
    batches2, batches3 = extent(step + DST, 2), extent(step + DST, 3)
    share2, share3 = batches2 // extent(step + SRC0, 2), batches3 // extent(step + SRC0, 3)
    groups = m // FOUR
    units = groups * batches2 * batches3
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            batch = unit // groups
            first, i2, i3 = (unit - batch * groups) * FOUR, batch % batches2, batch // batches2
            w2, w3 = i2 // share2, i3 // share3
            w = (
                row(step + SRC0, first, w2, w3),
                row(step + SRC0, first + 1, w2, w3),
                row(step + SRC0, first + 2, w2, w3),
                row(step + SRC0, first + 3, w2, w3),
            )
            x, n = extra(step, 0) + batch * columns * k * BF16, 0
            while n + FOUR <= columns:
                out = row(step + DST, n, i2, i3) + F32 * first
                _four_columns(w, x + n * k * BF16, k, (out, row(step + DST, n + 1, i2, i3) + F32 * first - out))
                n += FOUR
            while n < columns:
                _one_column(w, x + n * k * BF16, k, row(step + DST, n, i2, i3) + F32 * first)
                n += 1
        start = claim(step, worker, chunk)


@kernel
def mul_mat_pairs(step: int, worker: int) -> None:
    """BF16 weights"""
    if extent(step + DST, 1) > 1 and extent(step + DST, 0) % FOUR == 0:
        _by_tiles(step, worker)
    else:
        by_rows(FORM, _dot, step, worker)
