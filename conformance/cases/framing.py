"""spec/text/framing.md, frames: sizes, order, pipelining, streams that end in the middle, and what a violation meets.

FRAME-14 binds clients only, FRAME-1 has nothing that a client could see but an open port; FRAME-13 allows, and asks
nothing. Every command is tried with every wrong size: which sizes are right comes from spec/data.
"""

import re
from collections.abc import Callable
from functools import partial

from conformance.cases.samples import COMMANDS, answered, is_answered, prelude, sample, since, slug
from conformance.cases.talk import ended, get, greet, opened, put, refused, reply, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import HEAD_BYTES, Codec, Value
from conformance.judge.steps import (
    End,
    Finish,
    Leave,
    Mismatch,
    Receive,
    Reply,
    Reset,
    Send,
    Silence,
    Talk,
    Trickle,
    require,
)
from spec.load import load

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

MANY = 64
BIG = 1 << 16
HEAVY = 150
UPSTREAM_SIZE = "llama.cpp#25287"
OfCommand = Callable[[str, Codec], Talk[None]]
TAILED = frozenset(entry.name for entry in load().commands if entry.tail)


def _add(
    clause: str, command: str, what: str, script: OfCommand, *, ordinary: bool = False, upstream: str = ""
) -> None:
    """One case of a family that asks the same of every command."""
    _section.add(
        Case(
            id="-".join((f"{clause}/{slug(command)}", *re.findall("[a-z0-9]+", what))),
            title=f"{command} {what}",
            script=partial(script, command),
            since=since(command),
            ordinary=ordinary,
            upstream=upstream,
        )
    )


def _answered(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    yield Send(prelude(codec, command, buffer) + codec.frame(command, sample(codec, command, buffer)))
    yield from reply(answered(codec, command) or 0, command)


def _unanswered(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    yield Send(prelude(codec, command, buffer) + codec.frame(command, sample(codec, command, buffer)))
    yield from still_served(codec)


def _one_short(command: str, codec: Codec) -> Talk[None]:
    """For a command with a tail: one byte less than the fixed part."""
    buffer = yield from opened(codec)
    body = sample(codec, command, buffer)[: codec.fixed_bytes(command)]
    yield from refused(codec, prelude(codec, command, buffer) + codec.frame(command, body[:-1]))


def _one_more(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    body = sample(codec, command, buffer) + b"\0"
    yield from refused(codec, prelude(codec, command, buffer) + codec.frame(command, body))


def _empty(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    yield from refused(codec, prelude(codec, command, buffer) + codec.frame(command))


def _declares(size: int) -> OfCommand:
    def script(command: str, codec: Codec) -> Talk[None]:
        buffer = yield from opened(codec)
        body = sample(codec, command, buffer)
        yield from refused(codec, prelude(codec, command, buffer) + codec.head(command, size) + body)

    return script


def _cut_off(command: str, codec: Codec) -> Talk[None]:
    """Half of the body comes, or of the head where there is no body; then the stream ends."""
    buffer = yield from opened(codec)
    frame = codec.frame(command, sample(codec, command, buffer))
    kept = HEAD_BYTES + (len(frame) - HEAD_BYTES) // 2 if len(frame) > HEAD_BYTES else HEAD_BYTES // 2
    yield Send(frame[:kept])
    yield Finish()
    yield from ended()


for _command in COMMANDS:
    if _command == "HELLO":
        continue
    if is_answered(_command):
        _add("FRAME-6", _command, "is answered", _answered, ordinary=True)
    else:
        _add("FRAME-8", _command, "is not answered", _unanswered, ordinary=True)
    if _command != "DEVICE_COUNT":
        _add("FRAME-5", _command, "one short", _one_short)
        _add("FRAME-5", _command, "empty", _empty)
    if _command not in TAILED:
        _add("FRAME-5", _command, "one more", _one_more)
        _add("FRAME-5", _command, "declares 2^31", _declares(1 << 31))
    _report = UPSTREAM_SIZE if _command in TAILED else ""
    _add("FRAME-7", _command, "declares 2^63", _declares(1 << 63), upstream=_report)
    _add("FRAME-7", _command, "declares 2^64 less 1", _declares((1 << 64) - 1), upstream=_report)
    _add("FRAME-12", _command, "cut off", _cut_off)


@_case("FRAME-2/byte-by-byte", ordinary=True)
def _byte_by_byte(codec: Codec) -> Talk[None]:
    """A request that comes one byte at a time is the same request"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 100)
    yield Trickle(codec.request("SET_TENSOR", bytes(range(100)), tensor=record))
    came = yield from get(codec, record, 100)
    require(came == bytes(range(100)), "the bytes that were set", came.hex(" "))


@_case("FRAME-2/in-two-pieces", ordinary=True)
def _in_two(codec: Codec) -> Talk[None]:
    """It does not matter where TCP cuts a request"""
    yield from greet(codec)
    request = codec.request("GET_ALIGNMENT", device=0)
    for cut in range(1, len(request)):
        yield Send(request[:cut])
        yield Send(request[cut:])
        yield from reply(codec.size("alignment_rsp"), "GET_ALIGNMENT")


@_case("FRAME-3/little-endian", ordinary=True)
def _little_endian(codec: Codec) -> Talk[None]:
    """0x0102 bytes asked for are 258 bytes"""
    buffer = yield from opened(codec, 4096)
    yield from get(codec, row(codec, buffer, 4096), 0x0102)


def _undefined(which: int, codec: Codec) -> Talk[None]:
    yield from greet(codec)
    byte = which or max(codec.dialect.commands) + 1
    yield from refused(codec, codec.head(byte, 0))


for _name, _byte in {"next": 0, "128": 128, "255": 255}.items():
    _section.add(
        Case(
            id=f"FRAME-4/{_name}",
            title=f"undefined command {_byte or 'behind the last one'} closes the connection",
            script=partial(_undefined, _byte),
        )
    )


@_case("FRAME-4/body-not-awaited")
def _undefined_body(codec: Codec) -> Talk[None]:
    """An undefined command closes the connection before its body has come"""
    yield from greet(codec)
    yield Send(codec.head(200, 1000))
    yield from ended()


@_case("FRAME-9/write-read-write-read", ordinary=True)
def _order(codec: Codec) -> Talk[None]:
    """Reads between writes see what was written before them and nothing of what comes after"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 32)
    read = codec.request("GET_TENSOR", tensor=record, size=32)
    fills = [bytes([value]) * 32 for value in (1, 2, 3)]
    yield Send(b"".join(codec.request("SET_TENSOR", fill, tensor=record) + read for fill in fills))
    for fill in fills:
        came = yield from reply(32, "GET_TENSOR")
        require(came == fill, fill.hex(" "), came.hex(" "))


@_case("FRAME-10/many-at-once", ordinary=True)
def _many(codec: Codec) -> Talk[None]:
    """Many requests in one segment are answered in their order"""
    yield from greet(codec)
    kinds: tuple[tuple[str, dict[str, Value]], ...] = (
        ("DEVICE_COUNT", {}),
        ("GET_ALIGNMENT", {"device": 0}),
        ("GET_DEVICE_MEMORY", {"device": 0}),
    )
    wanted = [kinds[at % len(kinds)] for at in range(MANY)]
    yield Send(b"".join(codec.request(command, **values) for command, values in wanted))
    for command, _ in wanted:
        yield from reply(codec.size(codec.dialect.command(command).reply or ""), command)


@_case("FRAME-10/replies-left-lying", ordinary=True)
def _left_lying(codec: Codec) -> Talk[None]:
    """A client may send many requests before it takes in the first of their large replies"""
    buffer = yield from opened(codec, BIG)
    record = row(codec, buffer, BIG)
    yield from put(codec, record, bytes(BIG))
    yield Send(codec.request("GET_TENSOR", tensor=record, size=BIG) * HEAVY)
    for _ in range(HEAVY):
        yield from reply(BIG, "GET_TENSOR")


@_case("FRAME-11/behind-a-bad-one")
def _behind(codec: Codec) -> Talk[None]:
    """What stands behind a violation in the same segment is not answered"""
    yield from greet(codec)
    good = codec.request("DEVICE_COUNT")
    yield Send(good + codec.head(255, 0) + good * 3)
    answer = yield Receive()
    if isinstance(answer, Reply):
        yield from ended(expected="one reply at most, then the connection closed")
    elif isinstance(answer, Silence):
        raise Mismatch("a reply or the end", str(answer), silent=True)


@_case("FRAME-11/nothing-else-suffers", clients=2)
def _others(codec: Codec) -> Talk[None]:
    """A violation on one connection leaves another one's bytes and order alone"""
    buffer = yield from opened(codec, on="good")
    record = row(codec, buffer, 64)
    yield from put(codec, record, bytes(range(64)), on="good")
    yield from greet(codec, "bad")
    yield from refused(codec, codec.head(255, 0), "bad")
    came = yield from get(codec, record, 64, on="good")
    require(came == bytes(range(64)), "the bytes that were set", came.hex(" "))


@_case("FRAME-12/payload-reset")
def _payload_reset(codec: Codec) -> Talk[None]:
    """A reset in the middle of a payload harms nobody"""
    buffer = yield from opened(codec, BIG)
    request = codec.request("SET_TENSOR", bytes(BIG), tensor=row(codec, buffer, BIG))
    yield Send(request[: BIG // 2])
    yield Reset()


@_case("FRAME-12/reply-not-taken")
def _not_taken(codec: Codec) -> Talk[None]:
    """A client that leaves while replies are under way harms nobody"""
    buffer = yield from opened(codec, BIG)
    record = row(codec, buffer, BIG)
    yield Send(codec.request("GET_TENSOR", tensor=record, size=BIG) * HEAVY)
    yield Leave()


@_case("FRAME-13/silent-in-a-request")
def _silent(codec: Codec) -> Talk[None]:
    """A client that falls silent inside a request, and then goes on, is served or has been closed"""
    yield from greet(codec)
    request = codec.request("GET_ALIGNMENT", device=0)
    yield Send(request[:5])
    yield Receive()
    yield Send(request[5:])
    answer = yield Receive()
    if isinstance(answer, End):
        return
    if not isinstance(answer, Reply) or answer.declared != codec.size("alignment_rsp"):
        raise Mismatch("the reply, or the connection closed", str(answer), silent=isinstance(answer, Silence))
