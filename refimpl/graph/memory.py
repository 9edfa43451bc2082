"""Where the intermediates of a graph lie in one buffer: pure, from lifetimes to offsets.

A block is in use from the step that writes it up to and including the last step that reads it, so that no result shares
a byte with an operand of the same step. First fit in step order: for the chains that models are made of it wastes next
to nothing, and equal graphs get equal plans.
"""

from bisect import insort
from collections.abc import Sequence

import attrs

__all__ = ["Lifetime", "MemoryPlan", "plan"]


@attrs.frozen
class Lifetime:
    """`size` bytes that are written in step `first` and read for the last time in step `last`."""

    size: int
    first: int
    last: int


@attrs.frozen
class MemoryPlan:
    """Offset of each lifetime, in the order they were given, and the bytes that all of them need."""

    offsets: tuple[int, ...]
    total: int


def plan(lifetimes: Sequence[Lifetime], alignment: int) -> MemoryPlan:
    """Give every lifetime an offset that is a multiple of `alignment` (a power of two).

    Lifetimes are sorted by `first`. Two whose steps overlap never share a byte.
    """
    live: list[tuple[int, int, int]] = []  # (offset, end, last), sorted by offset
    offsets = []
    total = 0
    for wanted in lifetimes:
        live = [entry for entry in live if entry[2] >= wanted.first]
        size = -(-wanted.size // alignment) * alignment
        offset = _first_gap(live, size)
        offsets.append(offset)
        if size:
            insort(live, (offset, offset + size, wanted.last))
        total = max(total, offset + size)
    return MemoryPlan(tuple(offsets), total)


def _first_gap(live: Sequence[tuple[int, int, int]], size: int) -> int:
    """Lowest offset at which `size` bytes fit between the blocks in use."""
    offset = 0
    for start, end, _ in live:
        if start - offset >= size:
            break
        offset = max(offset, end)
    return offset
