"""Tensor records, as an ordinary run shows them."""

from collections.abc import Iterator

from conformance.client.case import ClientSection
from conformance.client.observed.duty import View, duty
from conformance.client.observed.moments import Moment
from conformance.client.observed.records import Record, graph_of, records_of

__all__ = ["CASES"]

SECTION = ClientSection()
MOST_ELEMENTS = 1 << 63


def _records(view: View) -> Iterator[tuple[Moment, Record]]:
    """All records that are not absent ones."""
    for moment in view.moments():
        yield from ((moment, record) for record in records_of(view.codec, moment.asked) if record.id)


@duty(SECTION, "TENSOR-2/types")
def _types(view: View) -> Iterator[str]:
    """Every type is one of the dialect."""
    for moment, record in _records(view):
        if record.type not in view.codec.dialect.types:
            yield f"{moment}: {record} has type {record.type}"


@duty(SECTION, "TENSOR-5/extents")
def _extents(view: View) -> Iterator[str]:
    """No tensor has 2^63 elements."""
    for moment, record in _records(view):
        if record.elements >= MOST_ELEMENTS:
            yield f"{moment}: {record} has extents {record.ne}"


@duty(SECTION, "TENSOR-6/whole-blocks")
def _whole_blocks(view: View) -> Iterator[str]:
    """Rows of blocks are whole."""
    for moment, record in _records(view):
        kind = view.codec.dialect.types.get(record.type)
        if kind is not None and record.elements and record.ne[0] % kind.block:
            yield f"{moment}: {record} has rows of {record.ne[0]} in blocks of {kind.block}"


@duty(SECTION, "TENSOR-8/absent-is-zero")
def _absent_is_zero(view: View) -> Iterator[str]:
    """A record with id 0 is zero in all its bytes."""
    for moment in view.moments():
        for record in records_of(view.codec, moment.asked):
            if record.id == 0 and any(record.raw):
                yield f"{moment}: {record} has id 0, and bytes that are not 0"


@duty(SECTION, "TENSOR-10/flags")
def _flags(view: View) -> Iterator[str]:
    """Flags are bits of the enumeration."""
    known = 0
    for value in view.codec.dialect.enums["TensorFlag"].values:
        known |= value.value
    for moment, record in _records(view):
        if record.flags & ~known:
            yield f"{moment}: {record} has flags {record.flags:#x}"


@duty(SECTION, "TENSOR-14/views", needs="GRAPH_COMPUTE")
def _views(view: View) -> Iterator[str]:
    """The data of a view is complete: that of its source and view_offs."""
    for moment in view.moments("GRAPH_COMPUTE"):
        by_id = graph_of(view.codec, moment.asked).by_id
        for record in by_id.values():
            source = by_id.get(record.view_src)
            if source is None or not record.buffer or not source.buffer or not record.elements:
                continue
            if record.data != source.data + record.view_offs:
                yield f"{moment}: {record} is at {record.data:#x}, not at {source.data:#x} + {record.view_offs}"


CASES = SECTION.cases
