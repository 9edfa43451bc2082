"""GET_ROWS and SET_ROWS: rows chosen by an index operand, converted on the way.

Rules of this file:
- An index is read once and checked before an address is made of it; for one outside the table a fault is reported and
  its row is left out.
- Rows may be of one element, tens of thousands of them (a transposed cache of values): within a chunk the place in
  the batch runs along, and nothing is divided for a row.
- Two indices of SET_ROWS that name one row race: the row holds some of both.
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.moves import from_q4_0, from_q4_1, from_q8_0, move_2, move_4, narrow, widen
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    address,
    chunk_of,
    claim,
    count,
    extent,
    extra,
    fault,
    row,
    rows_of,
    stride,
)
from refimpl.kernels.cpu.words import i32_at, i64_at

__all__ = [
    "gathered",
    "get_rows_4_bytes",
    "get_rows_f16",
    "get_rows_q4_0",
    "get_rows_q4_1",
    "get_rows_q8_0",
    "scattered",
    "set_rows_2_bytes",
    "set_rows_4_bytes",
    "set_rows_f16_to_f32",
    "set_rows_f32_to_f16",
]

INDEX_BYTES = 0
"""extra word of SET_ROWS: 4 for I32 indices, 8 for I64"""
I64 = 8


@inline
def gathered(step: int, worker: int, move: Any) -> Any:
    """dst[:, i, j, k] = src0[:, src1[i, j, k], j, k]"""
    dst, table, indices = step + DST, step + SRC0, step + SRC1
    n, n1, n2, rows = extent(dst, 0), extent(dst, 1), extent(dst, 2), extent(table, 1)
    out_gap, table_gap, index_gap = stride(dst, 1), stride(table, 1), stride(indices, 0)
    units = count(dst)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        i1, i2, i3 = rows_of(dst, start)
        left = min(units, start + chunk) - start
        while left > 0:
            along = min(left, n1 - i1)
            out, base = row(dst, i1, i2, i3), row(table, 0, i2, i3)
            at = address(indices) + i1 * index_gap + i2 * stride(indices, 1) + i3 * stride(indices, 2)
            for i in range(along):
                index = i32_at(at + i * index_gap)
                if 0 <= index < rows:
                    move(out + i * out_gap, base + index * table_gap, n)
                else:
                    fault(step, worker, index, rows)
            left, i1, i2 = left - along, 0, i2 + 1
            if i2 == n2:
                i2, i3 = 0, i3 + 1
        start = claim(step, worker, chunk)


@inline
def scattered(step: int, worker: int, move: Any) -> Any:
    """dst[:, src1[i, j mod, k mod], j, k] = src0[:, i, j, k]"""
    dst, src, indices = step + DST, step + SRC0, step + SRC1
    n, n1, n2, rows = extent(src, 0), extent(src, 1), extent(src, 2), extent(dst, 1)
    out_gap, x_gap, index_gap = stride(dst, 1), stride(src, 1), stride(indices, 0)
    wide = extra(step, INDEX_BYTES) == I64
    units = count(src)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        i1, i2, i3 = rows_of(src, start)
        left = min(units, start + chunk) - start
        while left > 0:
            along = min(left, n1 - i1)
            base, x = row(dst, 0, i2, i3), row(src, i1, i2, i3)
            j, k = i2 % extent(indices, 1), i3 % extent(indices, 2)
            at = address(indices) + i1 * index_gap + j * stride(indices, 1) + k * stride(indices, 2)
            for i in range(along):
                index = i64_at(at + i * index_gap) if wide else i32_at(at + i * index_gap)
                if 0 <= index < rows:
                    move(base + index * out_gap, x + i * x_gap, n)
                else:
                    fault(step, worker, index, rows)
            left, i1, i2 = left - along, 0, i2 + 1
            if i2 == n2:
                i2, i3 = 0, i3 + 1
        start = claim(step, worker, chunk)


@kernel
def get_rows_4_bytes(step: int, worker: int) -> None:
    """From F32 to F32, from I32 to I32."""
    gathered(step, worker, move_4)


@kernel
def get_rows_f16(step: int, worker: int) -> None:
    """From F16 to F32, exact."""
    gathered(step, worker, widen)


@kernel
def get_rows_q4_0(step: int, worker: int) -> None:
    """From Q4_0 to F32."""
    gathered(step, worker, from_q4_0)


@kernel
def get_rows_q4_1(step: int, worker: int) -> None:
    """From Q4_1 to F32."""
    gathered(step, worker, from_q4_1)


@kernel
def get_rows_q8_0(step: int, worker: int) -> None:
    """From Q8_0 to F32."""
    gathered(step, worker, from_q8_0)


@kernel
def set_rows_2_bytes(step: int, worker: int) -> None:
    """From F16 to F16."""
    scattered(step, worker, move_2)


@kernel
def set_rows_4_bytes(step: int, worker: int) -> None:
    """From F32 to F32."""
    scattered(step, worker, move_4)


@kernel
def set_rows_f32_to_f16(step: int, worker: int) -> None:
    """Rounded to the nearest F16, ties to even."""
    scattered(step, worker, narrow)


@kernel
def set_rows_f16_to_f32(step: int, worker: int) -> None:
    """Exact."""
    scattered(step, worker, widen)
