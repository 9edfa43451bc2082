"""MUL_MAT with F32 or F16 weights and F32 activations.

    W (k, m, b2, b3), X (k, n, B2, B3) -> dst (m, n, B2, B3)

Rows are packed, all other strides are free: attention without the fused op multiplies views of the cache. Activations
meet F16 weights rounded to F16, which is done once for all products (`round_to_f16`): they lie at extra word 0 then, as
float32, row after row. Sums are float32.

Several columns: tiles of four rows and four columns, or one; one sum of 16 lanes for each result. A unit is four weight
rows of one batch of the result and a panel of its columns, panels outermost, so that their activations stay in the
second-level cache while all weights pass by. Rows over the end repeat the last one and are not stored.

A single column of F16 weights is a stream of rows from memory, each added up in four sums of 16 lanes, what is behind
the last 64 elements one by one: ggml's order, and so its bits.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import (
    add_f32x16,
    fma_4_f32x16,
    fma_f32x16,
    load_f16x16,
    load_f32x16,
    narrow_f32x16,
    store_f32x16,
    total_f32x16,
    widen_f16x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.matmul.units import by_rows
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    chunk_of,
    claim,
    count,
    extent,
    extra,
    row,
    rows_of,
    stride,
)
from refimpl.kernels.cpu.words import f16_at, f32_at, rounded_to_f16, store_f32

__all__ = ["mul_mat_f16", "mul_mat_f32", "round_to_f16"]

LANES = 16
F32, F16 = 4, 2
ROWS = COLUMNS = 4
PANEL = 64
FORM = 1, F16, 1, F32


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
        sums = fma_4_f32x16(load_f32x16(x + F32 * i), _load_rows(size, w, i), sums)
    _store_column(size, w, x, k, sums, out, rows)


@inline
def _four_columns(size: int, w: Any, x: Any, k: int, out: Any, rows: int) -> None:
    """x and out: where the first column and its results lie, and the bytes from one to the next."""
    zero = zero_f32x16()
    a = b = c = d = (zero, zero, zero, zero)
    x0, x1, x2, x3 = x[0], x[0] + x[1], x[0] + 2 * x[1], x[0] + 3 * x[1]
    for i in range(0, k - k % LANES, LANES):
        v = _load_rows(size, w, i)
        a = fma_4_f32x16(load_f32x16(x0 + F32 * i), v, a)
        b = fma_4_f32x16(load_f32x16(x1 + F32 * i), v, b)
        c = fma_4_f32x16(load_f32x16(x2 + F32 * i), v, c)
        d = fma_4_f32x16(load_f32x16(x3 + F32 * i), v, d)
    _store_column(size, w, x0, k, a, out[0], rows)
    _store_column(size, w, x1, k, b, out[0] + out[1], rows)
    _store_column(size, w, x2, k, c, out[0] + 2 * out[1], rows)
    _store_column(size, w, x3, k, d, out[0] + 3 * out[1], rows)


@inline
def _panel(size: int, w: Any, x: Any, k: int, out: Any, rows: int, columns: int) -> None:
    """All columns of a panel; x and out as for four columns."""
    n = 0
    while n + COLUMNS <= columns:
        _four_columns(size, w, (x[0] + n * x[1], x[1]), k, (out[0] + n * out[1], out[1]), rows)
        n += COLUMNS
    while n < columns:
        _one_column(size, w, x[0] + n * x[1], k, out[0] + n * out[1], rows)
        n += 1


@inline
def _columns_of(size: int, step: int, i2: int, i3: int) -> Any:
    """Where the first column of a batch lies, and the bytes from one to the next."""
    if size == F16:
        each = F32 * extent(step + SRC0, 0)
        return extra(step, 0) + (i3 * extent(step + DST, 2) + i2) * extent(step + DST, 1) * each, each
    return row(step + SRC1, 0, i2, i3), stride(step + SRC1, 1)


@inline
def _unit(size: int, step: int, first: int, column: int, i2: int, i3: int) -> None:
    """Rows from `first` on of one batch of the result, columns from `column` on."""
    w2, w3 = i2 * extent(step + SRC0, 2) // extent(step + DST, 2), i3 * extent(step + SRC0, 3) // extent(step + DST, 3)
    last = extent(step + DST, 0) - 1
    w = (
        row(step + SRC0, first, w2, w3),
        row(step + SRC0, min(first + 1, last), w2, w3),
        row(step + SRC0, min(first + 2, last), w2, w3),
        row(step + SRC0, min(first + 3, last), w2, w3),
    )
    x, each = _columns_of(size, step, i2, i3)
    out = row(step + DST, column, i2, i3) + F32 * first, stride(step + DST, 1)
    columns = min(PANEL, extent(step + DST, 1) - column)
    _panel(size, w, (x + column * each, each), extent(step + SRC0, 0), out, last + 1 - first, columns)


@inline
def _by_tiles(size: int, step: int, worker: int) -> None:
    groups = (extent(step + DST, 0) + ROWS - 1) // ROWS
    panels = (extent(step + DST, 1) + PANEL - 1) // PANEL
    units = groups * panels * extent(step + DST, 2) * extent(step + DST, 3)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            panel = unit // groups
            batch = panel // panels
            i2, i3 = batch % extent(step + DST, 2), batch // extent(step + DST, 2)
            _unit(size, step, (unit - panel * groups) * ROWS, (panel - batch * panels) * PANEL, i2, i3)
        start = claim(step, worker, chunk)


@inline
def _dot(kind: int, size: int, p: int, a: int, k: int) -> Any:
    """One row of F16 weights times one column."""
    s0, s1, s2, s3, i = zero_f32x16(), zero_f32x16(), zero_f32x16(), zero_f32x16(), 0
    while i + 4 * LANES <= k:
        w, x = p + F16 * i, a + F32 * i
        s0 = fma_f32x16(widen_f16x16(load_f16x16(w)), load_f32x16(x), s0)
        s1 = fma_f32x16(widen_f16x16(load_f16x16(w + F16 * LANES)), load_f32x16(x + F32 * LANES), s1)
        s2 = fma_f32x16(widen_f16x16(load_f16x16(w + 2 * F16 * LANES)), load_f32x16(x + 2 * F32 * LANES), s2)
        s3 = fma_f32x16(widen_f16x16(load_f16x16(w + 3 * F16 * LANES)), load_f32x16(x + 3 * F32 * LANES), s3)
        i += 4 * LANES
    total = np.float64(total_f32x16(add_f32x16(add_f32x16(s0, s2), add_f32x16(s1, s3))))
    while i < k:
        total += np.float64(f16_at(p + F16 * i) * f32_at(a + F32 * i))
        i += 1
    return np.float32(total)


@kernel
def round_to_f16(step: int, worker: int) -> None:
    """src0 F32 (k, n, b2, b3) -> (n * b2 * b3, k) float32, rounded to F16, at extra word 0"""
    k = extent(step + SRC0, 0)
    units = count(step + SRC0)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + SRC0, number)
            x, out = row(step + SRC0, i1, i2, i3), extra(step, 0) + number * k * F32
            for i in range(0, k - k % LANES, LANES):
                store_f32x16(out + F32 * i, widen_f16x16(narrow_f32x16(load_f32x16(x + F32 * i))))
            for i in range(k - k % LANES, k):
                store_f32(out + F32 * i, rounded_to_f16(f32_at(x + F32 * i)))
        start = claim(step, worker, chunk)


@kernel
def mul_mat_f32(step: int, worker: int) -> None:
    """F32 weights"""
    _by_tiles(F32, step, worker)


@kernel
def mul_mat_f16(step: int, worker: int) -> None:
    """F16 weights"""
    if extent(step + DST, 1) > 1:
        _by_tiles(F16, step, worker)
    else:
        by_rows(FORM, _dot, step, worker)
