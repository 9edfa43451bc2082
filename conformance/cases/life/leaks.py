"""spec/text/life.md, what must not leak: bytes of others, bytes that were not meant, addresses."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import attrs

from conformance.cases.graph.placed import changed, message, placed
from conformance.cases.samples import COMMANDS, answered, prelude, sample
from conformance.cases.sums import doubled
from conformance.cases.talk import Buffer, allocate, ask, ended, get, greet, opened, put, refused, reply, row
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import Finish, Leave, Reset, Send, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

WORD = bytes.fromhex("5ec2e7b1a5e0f00d")
SIZES = (64, 100, 1000, 4096, 10_001, 1 << 16, 1 << 20)
SMALL_ONES = 16


def _shown(came: bytes) -> int:
    """How many pieces of the secret are in there, wherever they begin."""
    return came.count(WORD)


def _written(codec: Codec, on: str) -> Talk[Buffer]:
    """Buffers of many sizes full of a secret, the last of which is returned."""
    yield from greet(codec, on)
    buffer = Buffer(0, 0, 0)
    for size in (*SIZES, *(256,) * SMALL_ONES):
        buffer = yield from allocate(codec, size, on)
        record = row(codec, buffer, buffer.size)
        yield from put(codec, record, (WORD * (buffer.size // len(WORD) + 1))[: buffer.size], on=on)
    yield from get(codec, row(codec, buffer, 8), 8, on=on)
    return buffer


def _nothing_to_see(codec: Codec) -> Talk[None]:
    """New buffers of many sizes, read from their first to their last byte, asked for or not."""
    yield from greet(codec)
    for size in (*(256,) * SMALL_ONES, *SIZES):
        buffer = yield from allocate(codec, size)
        came = yield from get(codec, row(codec, buffer, buffer.size), buffer.size)
        require(not _shown(came), "none of them", f"{_shown(came) * len(WORD)} of {buffer.size} bytes")


def _after(end: Callable[[str], Leave | Reset], codec: Codec) -> Talk[None]:
    yield from _written(codec, "before")
    yield end("before")
    yield from _nothing_to_see(codec)


ENDS: Mapping[str, Callable[[str], Leave | Reset]] = {"close": Leave, "reset": Reset}

for _name, _end in ENDS.items():
    _section.add(
        Case(
            id=f"LEAK-2/after-a-{_name}",
            title=f"New buffers of any size show nothing of a connection before it, after its {_name}",
            script=partial(_after, _end),
        )
    )


@_case("LEAK-2/beside", clients=2)
def _beside(codec: Codec) -> Talk[None]:
    """New buffers of any size show nothing of what a connection holds, or has freed"""
    last = yield from _written(codec, "owner")
    yield Send(codec.request("FREE_BUFFER", handle=last.handle), "owner")
    yield from ask(codec, "DEVICE_COUNT", "owner")
    yield from _nothing_to_see(codec)


@_case("LEAK-2/fresh-is-blank", level="SHOULD")
def _blank(codec: Codec) -> Talk[None]:
    """New buffers show nothing at all: whatever was in that memory before belonged to somebody"""
    yield from greet(codec)
    for size in SIZES:
        buffer = yield from allocate(codec, size)
        came = yield from get(codec, row(codec, buffer, buffer.size), buffer.size)
        require(not any(came), "zeros", f"{sum(map(bool, came))} of {buffer.size} bytes that are not zero")


@_case("LEAK-1/others-addresses", clients=2, upstream="CVE-2024-42478")
def _others(codec: Codec) -> Talk[None]:
    """The base of another connection's buffer is no address to read from"""
    theirs = yield from opened(codec, on="owner")
    yield from put(codec, row(codec, theirs, 64), WORD * 8, on="owner")
    mine = yield from opened(codec)
    record = row(codec, attrs.evolve(mine, base=theirs.base), 64)
    yield from refused(codec, codec.request("GET_TENSOR", tensor=record, size=64))


@_case("LEAK-3/not-cut-short")
def _not_cut_short(codec: Codec) -> Talk[None]:
    """A reading that goes on behind the end of the tensor is refused as a whole"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, buffer.size)
    yield from refused(codec, codec.request("GET_TENSOR", tensor=record, offset=buffer.size - 8, size=9))


@_case("LEAK-3/flags-are-flags", ordinary=True)
def _flags(codec: Codec) -> Talk[None]:
    """Replies of one byte are 0 or 1"""
    buffer = yield from opened(codec)
    for command, field in (("COPY_TENSOR", "ok"), ("SET_TENSOR_HASH", "found")):
        yield Send(codec.frame(command, sample(codec, command, buffer)))
        body = yield from reply(1, command)
        require(body[0] in (0, 1), f"{field} 0 or 1", body[0])


@_case("LEAK-3/nothing-left-over", ordinary=True)
def _left_over(codec: Codec) -> Talk[None]:
    """After all replies of a session with every command there is not a byte more"""
    buffer = yield from opened(codec)
    for command in _answering(codec):
        yield Send(prelude(codec, command, buffer) + codec.frame(command, sample(codec, command, buffer)))
        yield from reply(answered(codec, command) or 0, command)
    yield Finish()
    yield from ended()


def _answering(codec: Codec) -> Iterator[str]:
    known = {command.name for command in codec.dialect.commands.values() if command.answered}
    yield from (name for name in COMMANDS if name in known - {"HELLO"})


def _foreign(which: int, codec: Codec) -> Talk[None]:
    """y = x + x, of which one record lies in another connection's buffer."""
    theirs = yield from opened(codec, on="owner")
    kept = row(codec, theirs, 256)
    yield from put(codec, kept, bytes(range(256)), on="owner")
    yield from greet(codec)
    there = yield from placed(codec, doubled())
    records = list(there.records())
    records[which] = changed(codec, records[which], buffer=theirs.handle, data=theirs.base)
    yield from refused(codec, message(codec, there.node_ids(), records))
    require((yield from get(codec, kept, 256, on="owner")) == bytes(range(256)), "the owner's bytes", "others")


for _name, _which in {"operand": 0, "result": 1}.items():
    _section.add(
        Case(
            id=f"LEAK-4/foreign-{_name}",
            title=f"A graph whose {_name} lies in another connection's buffer is refused, and touches nothing",
            script=partial(_foreign, _which),
            clients=2,
            upstream="CVE-2026-34159",
        )
    )
