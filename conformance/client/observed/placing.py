"""Where a client puts things when a device says that it wants more room for them.

This is no ordinary run: the hostile server says something that is legal, and what the client was told counts.
"""

from collections.abc import Iterator

from conformance.client.case import ClientCase, ClientSection
from conformance.client.hostile.deeds import Add, AtReply, Fields
from conformance.client.observed.duty import View, kept
from conformance.client.observed.moments import Moment
from conformance.client.observed.records import Record, records_of

__all__ = ["CASES"]

SECTION = ClientSection()
ROOM = 1 << 16
PLACED = ("SET_TENSOR", "SET_TENSOR_HASH", "INIT_TENSOR")
Shape = tuple[int, tuple[int, ...]]
"""type and extents"""


def _shape(record: Record) -> Shape:
    return record.type, record.ne


def _needs(view: View) -> dict[Shape, int]:
    """Bytes that a tensor was said to need. Of results of ops nothing is known: a client plans them by itself."""
    needs: dict[Shape, int] = {}
    for moment in view.moments("GET_ALLOC_SIZE"):
        said, record = moment.answers.get(id(moment.asked)), next(records_of(view.codec, moment.asked))
        if said is not None and record.op == view.codec.dialect.op("NONE").number:
            needs[_shape(record)] = view.codec.read("get_alloc_size_rsp", "size", said) + ROOM
    return needs


def _placed(view: View) -> Iterator[tuple[Moment, Record]]:
    for moment in view.moments(*PLACED):
        yield from ((moment, record) for record in records_of(view.codec, moment.asked))


def _room(view: View) -> Iterator[str]:
    needs, places = _needs(view), {(moment.talk, record.data) for moment, record in _placed(view)}
    for moment, record in _placed(view):
        size, buffer = needs.get(_shape(record), 0), moment.buffers.get(record.buffer)
        end = record.data + size
        if buffer is not None and buffer.base is not None and end > buffer.base + buffer.size:
            yield f"{moment}: {record} needs {size} bytes, and its buffer ends within them"
        if any(talk == moment.talk and record.data < begin < end for talk, begin in places):
            yield f"{moment}: {record} needs {size} bytes, and another tensor begins within them"


SECTION.add(
    ClientCase(
        id="ALLOC-12/room",
        title="What a tensor needs is reserved",
        deed=AtReply("GET_ALLOC_SIZE", Fields((("size", Add(ROOM)),))),
        asks=kept(_room),
        needs="GET_ALLOC_SIZE",
        ordinary=True,
    )
)
CASES = SECTION.cases
