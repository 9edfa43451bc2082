"""MUL_MAT with F32 or F16 weights and F32 activations: tiles of four rows and four columns, or one.

    W (k, m, b2, b3), X (k, n, B2, B3) -> dst (m, n, B2, B3)

Rows are packed, all other strides are free: attention without the fused op multiplies views of the cache. A unit is
four weight rows of one batch of the result, with all its columns. Rows and columns over the end repeat the last one
and are not stored. Activations meet F16 weights rounded to F16, as the product is defined; sums are float32.

Unsatisfying: the rounding is done anew for every four weight rows.
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    fma_4_f32x16,
    load_f16x16,
    load_f32x16,
    narrow_f32x16,
    total_f32x16,
    widen_f16x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.step import DST, SRC0, SRC1, chunk_of, claim, extent, row
from refimpl.kernels.cpu.words import f16_at, f32_at, rounded_to_f16, store_f32

__all__ = ["mul_mat_f16", "mul_mat_f32"]

LANES = 16
F32, F16 = 4, 2
ROWS = COLUMNS = 4


@inline
def _weights(size: int, at: int) -> Any:
    """16 weights of `size` bytes each."""
    if size == F16:
        return widen_f16x16(load_f16x16(at))
    return load_f32x16(at)


@inline
def _weight(size: int, at: int) -> Any:
    if size == F16:
        return f16_at(at)
    return f32_at(at)


@inline
def _activations(size: int, at: int) -> Any:
    """16 activations as they meet weights of `size` bytes."""
    x = load_f32x16(at)
    if size == F16:
        return widen_f16x16(narrow_f32x16(x))
    return x


@inline
def _load_rows(size: int, w: Any, i: int) -> Any:
    at = size * i
    return (
        _weights(size, w[0] + at),
        _weights(size, w[1] + at),
        _weights(size, w[2] + at),
        _weights(size, w[3] + at),
    )


@inline
def _store_column(size: int, w: Any, x: int, k: int, sums: Any, out: int, rows: int) -> None:
    """Add what is left of the rows behind the last 16, and store as many results as there are rows."""
    s0, s1, s2, s3 = total_f32x16(sums[0]), total_f32x16(sums[1]), total_f32x16(sums[2]), total_f32x16(sums[3])
    for i in range(k - k % LANES, k):
        value = f32_at(x + F32 * i)
        if size == F16:
            value = rounded_to_f16(value)
        s0 += _weight(size, w[0] + size * i) * value
        s1 += _weight(size, w[1] + size * i) * value
        s2 += _weight(size, w[2] + size * i) * value
        s3 += _weight(size, w[3] + size * i) * value
    store_f32(out, s0)
    if rows > 1:
        store_f32(out + F32, s1)
    if rows > 2:
        store_f32(out + 2 * F32, s2)
    if rows > 3:
        store_f32(out + 3 * F32, s3)


@inline
def _one_column(size: int, w: Any, x: int, k: int, out: int, rows: int) -> None:
    zero = zero_f32x16()
    sums = (zero, zero, zero, zero)
    for i in range(0, k - k % LANES, LANES):
        sums = fma_4_f32x16(_activations(size, x + F32 * i), _load_rows(size, w, i), sums)
    _store_column(size, w, x, k, sums, out, rows)


@inline
def _four_columns(size: int, w: Any, x: Any, k: int, out: Any, rows: int) -> None:
    """x and out are the addresses of four columns."""
    zero = zero_f32x16()
    a = b = c = d = (zero, zero, zero, zero)
    for i in range(0, k - k % LANES, LANES):
        v = _load_rows(size, w, i)
        a = fma_4_f32x16(_activations(size, x[0] + F32 * i), v, a)
        b = fma_4_f32x16(_activations(size, x[1] + F32 * i), v, b)
        c = fma_4_f32x16(_activations(size, x[2] + F32 * i), v, c)
        d = fma_4_f32x16(_activations(size, x[3] + F32 * i), v, d)
    _store_column(size, w, x[0], k, a, out[0], rows)
    _store_column(size, w, x[1], k, b, out[1], rows)
    _store_column(size, w, x[2], k, c, out[2], rows)
    _store_column(size, w, x[3], k, d, out[3], rows)


@inline
def _addresses(operand: int, n: int, i2: int, i3: int) -> Any:
    """Rows n .. n + 3."""
    return (
        row(operand, n, i2, i3),
        row(operand, n + 1, i2, i3),
        row(operand, n + 2, i2, i3),
        row(operand, n + 3, i2, i3),
    )


@inline
def _all_columns(size: int, step: int, w: Any, first: int, i2: int, i3: int) -> None:
    k, m, columns = extent(step + SRC0, 0), extent(step + DST, 0), extent(step + DST, 1)
    rows, n = m - first, 0
    while n + COLUMNS <= columns:
        out = _addresses(step + DST, n, i2, i3)
        places = (out[0] + F32 * first, out[1] + F32 * first, out[2] + F32 * first, out[3] + F32 * first)
        _four_columns(size, w, _addresses(step + SRC1, n, i2, i3), k, places, rows)
        n += COLUMNS
    while n < columns:
        out_n = row(step + DST, n, i2, i3) + F32 * first
        _one_column(size, w, row(step + SRC1, n, i2, i3), k, out_n, rows)
        n += 1


@inline
def _multiply(size: int, step: int, worker: int) -> None:
    m, batches2, batches3 = extent(step + DST, 0), extent(step + DST, 2), extent(step + DST, 3)
    share2, share3 = batches2 // extent(step + SRC0, 2), batches3 // extent(step + SRC0, 3)
    groups = (m + ROWS - 1) // ROWS
    units = groups * batches2 * batches3
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            batch = unit // groups
            first = (unit - batch * groups) * ROWS
            i2, i3 = batch % batches2, batch // batches2
            w2, w3 = i2 // share2, i3 // share3
            w = (
                row(step + SRC0, first, w2, w3),
                row(step + SRC0, min(first + 1, m - 1), w2, w3),
                row(step + SRC0, min(first + 2, m - 1), w2, w3),
                row(step + SRC0, min(first + 3, m - 1), w2, w3),
            )
            _all_columns(size, step, w, first, i2, i3)
        start = claim(step, worker, chunk)


@kernel
def mul_mat_f32(step: int, worker: int) -> None:
    """F32 weights"""
    _multiply(F32, step, worker)


@kernel
def mul_mat_f16(step: int, worker: int) -> None:
    """F16 weights"""
    _multiply(F16, step, worker)
