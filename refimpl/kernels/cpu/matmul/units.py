"""How products with quantised weights are cut into units of work; what a unit computes is given as functions.

A form is (kind, bytes of a weight block, elements of a block, bytes of an activation block), all of them constants.

By rows: W (k, m, b2, b3), any strides between rows. A unit is one weight row with all columns that it meets: those of
the (B2 / b2) x (B3 / b3) batches it is shared by.

By panels: W (k, m) packed, 16 rows interleaved. A unit is one group of 16 weight rows and one panel of PANEL columns.
Panels come outermost, so that their activations stay in the second-level cache while all weights pass by.

The activations lie at extra word 0, block after block, row after row; the result is dst (m, n, B2, B3).
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.matmul.layout import GROUP
from refimpl.kernels.cpu.step import DST, SRC0, address, chunk_of, claim, count, extent, extra, row, rows_of
from refimpl.kernels.cpu.words import store_f32

__all__ = ["blocks_of", "by_panels", "by_rows", "column_at", "group_at", "place"]

F32 = 4
PANEL = 64
KIND, SIZE, BLOCK, ACTIVATION = range(4)


@inline
def by_rows(form: Any, dot: Any, step: int, worker: int) -> None:
    """`dot(kind, size, row, column, blocks)` is the product of one weight row and one column of activations."""
    blocks, columns = extent(step + SRC0, 0) // form[BLOCK], extent(step + DST, 1)
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
                        a = extra(step, 0) + (first + n) * blocks * form[ACTIVATION]
                        product = dot(form[KIND], form[SIZE], p, a, blocks)
                        store_f32(row(step + DST, n, i2, i3) + F32 * i1, product)
        start = claim(step, worker, chunk)


@inline
def place(step: int, group: int, column: int) -> Any:
    """Where the 16 results of a group of rows and a column go."""
    i1, i2, i3 = rows_of(step + DST, column)
    return row(step + DST, i1, i2, i3) + F32 * GROUP * group


@inline
def by_panels(form: Any, multiply: Any, step: int, worker: int) -> None:
    """`multiply(form, step, group, column, end)` computes the first columns of column .. end - 1 for a group of rows.

    It gives the number of the first one that it leaves.
    """
    groups, columns = extent(step + SRC0, 1) // GROUP, count(step + DST)
    units = groups * ((columns + PANEL - 1) // PANEL)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            panel = unit // groups
            column, end = panel * PANEL, min(columns, (panel + 1) * PANEL)
            while column < end:
                column = multiply(form, step, unit - panel * groups, column, end)
        start = claim(step, worker, chunk)


@inline
def blocks_of(form: Any, step: int) -> Any:
    """Blocks of a row."""
    return extent(step + SRC0, 0) // form[BLOCK]


@inline
def group_at(form: Any, step: int, group: int) -> Any:
    """Address of a group of packed rows."""
    return address(step + SRC0) + group * blocks_of(form, step) * GROUP * form[SIZE]


@inline
def column_at(form: Any, step: int, column: int) -> Any:
    """Address of a column of activations."""
    return extra(step, 0) + column * blocks_of(form, step) * form[ACTIVATION]
