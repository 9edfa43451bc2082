"""Units of work: some queries of the heads that share a key head.

The queries of all heads that share a key head are rows 0 .. n * g - 1 of one matrix, g = h / hk: row r is query r / g
of head hk * g + r % g. A unit is several consecutive ones, so that keys and values are read once for the heads of a
group, and for many queries.
"""

from typing import Any, NamedTuple

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.step import SRC0, SRC1, extent

__all__ = ["Unit", "place_of", "rows_of_unit"]


class Unit(NamedTuple):
    """Rows `first` .. `first + rows - 1` of a key head of a sequence of queries."""

    first: int
    rows: int
    head: int
    sequence: int


@inline
def place_of(step: int, unit: Unit, r: int) -> Any:
    """(query, head) of row r of a unit"""
    group = extent(step + SRC0, 2) // extent(step + SRC1, 2)
    return (unit.first + r) // group, unit.head * group + (unit.first + r) % group


@inline
def rows_of_unit(most: int, rows: int, matrices: int, workers: int, overhead: int) -> Any:
    """How many of the `rows` of each matrix make a unit, at most `most`, so that the busiest thread is soon done.

    `overhead` is what a unit costs besides its rows, in rows.
    """
    best, least = 1, 1 << 62
    size = most
    while size >= 1:
        units = matrices * ((rows + size - 1) // size)
        cost = (units + workers - 1) // workers * (min(size, rows) + overhead)
        if cost < least:
            best, least = size, cost
        size //= 2
    return best
