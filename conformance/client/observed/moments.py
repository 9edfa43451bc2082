"""A run request by request, with what the client had been told by then: its buffers, and the facts about the server.

Rules
- Buffers belong to a connection, so each conversation has its own. Facts about the server are the same on all of them,
  and a client may ask on one connection what it uses on another: they are gathered first.
- A buffer lives from the reply to BUFFER_GET_BASE on, and until FREE_BUFFER.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import attrs

from conformance.client.hostile.conversation import Answered, Asked, Conversation
from conformance.client.observed.records import fields_of
from conformance.judge.codec import Codec

__all__ = ["Buffer", "Facts", "Moment", "facts_of", "moments"]


@attrs.frozen
class Buffer:
    """A live buffer, as the client knows it; base is None until it has been asked for."""

    device: int
    size: int
    base: int | None = None


@attrs.define
class Facts:
    """What the server said about itself."""

    devices: int | None = None
    alignment: dict[int, int] = attrs.field(factory=dict)
    """by device"""
    max_size: dict[int, int] = attrs.field(factory=dict)
    """by device"""


@attrs.define
class Moment:
    """A request, and what was known on its connection when it was sent."""

    talk: int
    """number of the connection, from 1"""
    asked: Asked
    buffers: dict[int, Buffer]
    """live ones by handle"""
    freed: set[int]
    answers: dict[int, bytes]
    """reply to each answered request of this connection, by the identity of the request"""

    def __str__(self) -> str:
        return f"{self.asked.command} on connection {self.talk}"


def facts_of(codec: Codec, talks: Sequence[Conversation]) -> Facts:
    """The facts of all connections."""
    facts = Facts()
    for talk in talks:
        for asked, reply in _answered(talk):
            device = fields_of(codec, asked).get("device", 0)
            if not isinstance(device, int):
                continue
            if asked.command == "DEVICE_COUNT":
                facts.devices = codec.read("device_count_rsp", "count", reply)
            elif asked.command == "GET_ALIGNMENT":
                facts.alignment[device] = codec.read("alignment_rsp", "alignment", reply)
            elif asked.command == "GET_MAX_SIZE":
                facts.max_size[device] = codec.read("max_size_rsp", "max_size", reply)
    return facts


def moments(codec: Codec, talks: Sequence[Conversation]) -> Iterator[Moment]:
    """Every request of every connection in turn. What a moment holds changes as the next one is taken."""
    for at, talk in enumerate(talks, 1):
        buffers: dict[int, Buffer] = {}
        freed: set[int] = set()
        answers = {id(asked): reply for asked, reply in _answered(talk)}
        for asked in talk.requests:
            yield Moment(at, asked, buffers, freed, answers)
            _follow(codec, asked, answers.get(id(asked)), buffers, freed)


def _answered(talk: Conversation) -> Iterator[tuple[Asked, bytes]]:
    """Requests with their replies, in order."""
    waiting: dict[str, deque[Asked]] = {}
    for event in talk.events:
        if isinstance(event, Answered):
            yield waiting[event.command].popleft(), event.body
        else:
            waiting.setdefault(event.command, deque()).append(event)


def _follow(codec: Codec, asked: Asked, reply: bytes | None, buffers: dict[int, Buffer], freed: set[int]) -> None:
    """What a request and its reply change."""
    fields = fields_of(codec, asked)
    handle, device = fields.get("handle", 0), fields.get("device", 0)
    if not isinstance(handle, int) or not isinstance(device, int):
        return
    if asked.command == "FREE_BUFFER" and buffers.pop(handle, None) is not None:
        freed.add(handle)
    if reply is None:
        return
    if asked.command == "ALLOC_BUFFER":
        given, size = (codec.read("alloc_buffer_rsp", name, reply) for name in ("handle", "size"))
        if given:
            buffers[given] = Buffer(device, size)
    elif asked.command == "BUFFER_GET_BASE" and handle in buffers:
        base = codec.read("buffer_get_base_rsp", "base", reply)
        buffers[handle] = attrs.evolve(buffers[handle], base=base)
