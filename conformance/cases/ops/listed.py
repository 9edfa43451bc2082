"""All samples, in the order of the ops, and the cases made of them."""

from collections.abc import Mapping

from conformance.cases.graph.build import Graph
from conformance.cases.ops.ask import asked
from conformance.cases.ops.in_place import in_place
from conformance.cases.ops.sample import Book, Entry
from conformance.cases.ops.samples import (
    attention,
    convolution,
    copies,
    elementwise,
    moves,
    products,
    recurrent,
    rotation,
    rows,
    training,
)
from conformance.judge.case import Case, Section

__all__ = ["CASES", "ENTRIES", "sample_graphs"]

BOOKS: tuple[Book, ...] = (
    elementwise.BOOK,
    rows.BOOK,
    moves.BOOK,
    copies.BOOK,
    products.BOOK,
    attention.BOOK,
    rotation.BOOK,
    convolution.BOOK,
    recurrent.BOOK,
    training.BOOK,
)


def _joined() -> Mapping[str, Entry]:
    entries: dict[str, Entry] = {}
    for book in BOOKS:
        if twice := entries.keys() & book.entries.keys():
            raise ValueError(f"two subjects have the sample {min(twice)}")
        entries.update(book.entries)
    entries.update({entry.name: entry for entry in in_place(entries.values())})
    return entries


ENTRIES = _joined()
"""samples by name"""


def _cases() -> Mapping[str, Case]:
    section = Section()
    for entry in ENTRIES.values():
        case = Case(id=f"{entry.clause}/{entry.slug}", title=entry.title, script=asked(entry), ordinary=entry.ordinary)
        section.add(case)
    return section.cases


CASES = _cases()
"""cases by id"""


def sample_graphs() -> tuple[tuple[str, Graph], ...]:
    """The first sample of each op, as a graph that every rule of ops.md allows: (op, graph)."""
    first: dict[str, Entry] = {}
    for entry in ENTRIES.values():
        first.setdefault(entry.op, entry)
    return tuple((op, entry.sample().graph) for op, entry in first.items())
