"""ADD_ID: to each row the row of a table that an index operand chooses.

An index is read once and checked before an address is made of it; for one outside the table a fault is reported and
its row is left out.
"""

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import add_f32x16, load_f32x16, store_f32x16
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    SRC2,
    chunk_of,
    claim,
    count,
    extent,
    fault,
    row,
    rows_of,
    stride,
)
from refimpl.kernels.cpu.words import f32_at, i32_at, store_f32

__all__ = ["add_id_f32"]

F32 = 4
LANES = 16


@inline
def _added(out: int, x: int, y: int, n: int) -> None:
    i = 0
    while i + LANES <= n:
        store_f32x16(out + F32 * i, add_f32x16(load_f32x16(x + F32 * i), load_f32x16(y + F32 * i)))
        i += LANES
    while i < n:
        store_f32(out + F32 * i, f32_at(x + F32 * i) + f32_at(y + F32 * i))
        i += 1


@kernel
def add_id_f32(step: int, worker: int) -> None:
    """dst[:, i, j] = src0[:, i, j] + src1[:, src2[i, j]]"""
    n, rows, gap = extent(step + DST, 0), extent(step + SRC1, 1), stride(step + SRC2, 0)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            index = i32_at(row(step + SRC2, i2, 0, 0) + gap * i1)
            if 0 <= index < rows:
                x = row(step + SRC0, i1, i2, i3)
                _added(row(step + DST, i1, i2, i3), x, row(step + SRC1, index, 0, 0), n)
            else:
                fault(step, worker, index, rows)
        start = claim(step, worker, chunk)
