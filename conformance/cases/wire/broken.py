"""spec/text/framing.md, requests that do not come in one piece: cut off, broken off, trickling, interrupted by silence.

Every command is tried with each. Where a connection just breaks off there is nothing to see on it: the liveness probe
behind every case says whether anybody was harmed.
"""

from collections.abc import Callable
from functools import partial

from conformance.cases.samples import COMMANDS, answered, prelude, sample
from conformance.cases.talk import ended, opened, refused, reply, row, still_served
from conformance.cases.wire.frames import of_command
from conformance.judge.case import Section
from conformance.judge.codec import HEAD_BYTES, Codec
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
)

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

BIG = 1 << 16
HEAVY = 150
INSIDE_HEAD = 5
A_MOMENT = 0.1
"""seconds of silence that no server can take for a client's death"""
Left = Callable[[bytes], int]
"""a request > how many bytes of it are sent"""


def _of_head(frame: bytes) -> int:
    return INSIDE_HEAD


def _of_body(frame: bytes) -> int:
    return HEAD_BYTES + (len(frame) - HEAD_BYTES) // 2


def _cut_off(left: Left, command: str, codec: Codec) -> Talk[None]:
    """The stream ends inside the request: no reply, and the connection ends."""
    buffer = yield from opened(codec)
    frame = codec.frame(command, sample(codec, command, buffer))
    yield Send(frame[: left(frame)])
    yield Finish()
    yield from ended()


def _broken_off(left: Left, command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    frame = codec.frame(command, sample(codec, command, buffer))
    yield Send(frame[: left(frame)])
    yield Reset()


def _bytewise(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    yield Send(prelude(codec, command, buffer))
    yield Trickle(codec.frame(command, sample(codec, command, buffer)))
    yield from _carried_out(codec, command)


def _carried_out(codec: Codec, command: str) -> Talk[None]:
    """The sample's reply, if it has one, and the connection goes on."""
    size = answered(codec, command)
    if size is not None:
        yield from reply(size, command)
    yield from still_served(codec)


def _interrupted(left: Left, command: str, codec: Codec) -> Talk[None]:
    """A client that falls silent inside a request, and then goes on, is served or has been closed."""
    buffer = yield from opened(codec)
    frame = codec.frame(command, sample(codec, command, buffer))
    yield Send(prelude(codec, command, buffer) + frame[: left(frame)])
    early = yield Receive(within=A_MOMENT)
    if isinstance(early, End):
        return
    if isinstance(early, Reply):
        raise Mismatch("nothing before the request is complete", str(early))
    yield Send(frame[left(frame) :])
    yield from _carried_out(codec, command)


def _behind_a_bad_one(command: str, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    yield from refused(codec, codec.head(255, 0) + codec.frame(command, sample(codec, command, buffer)))


PIECES: dict[str, Left] = {"in its head": _of_head, "in its body": _of_body}

for _command in COMMANDS:
    if _command == "HELLO":
        continue
    for _where, _left in PIECES.items():
        if _command == "DEVICE_COUNT" and _left is _of_body:
            continue
        _section.add(of_command("FRAME-12", _command, f"cut off {_where}", partial(_cut_off, _left)))
        _section.add(of_command("FRAME-12", _command, f"broken off {_where}", partial(_broken_off, _left)))
        _section.add(of_command("FRAME-13", _command, f"interrupted {_where}", partial(_interrupted, _left)))
    _section.add(of_command("FRAME-2", _command, "byte by byte", _bytewise, ordinary=True))
    _section.add(of_command("FRAME-11", _command, "behind a bad one", _behind_a_bad_one))


@_case("FRAME-12/half-a-hello")
def _half(codec: Codec) -> Talk[None]:
    """The stream ends inside HELLO: no reply, and the connection ends"""
    yield Send(codec.request("HELLO")[:20])
    yield Finish()
    yield from ended()


@_case("FRAME-12/hello-broken-off", upstream="llama.cpp#26680")
def _hello_broken_off(codec: Codec) -> Talk[None]:
    """A reset inside HELLO harms nobody"""
    yield Send(codec.request("HELLO")[:20])
    yield Reset()


@_case("FRAME-13/hello-interrupted")
def _hello_interrupted(codec: Codec) -> Talk[None]:
    """A client that falls silent inside HELLO, and then goes on, is greeted or has been closed"""
    yield Send(codec.request("HELLO")[:20])
    early = yield Receive(within=A_MOMENT)
    if isinstance(early, End):
        return
    yield Send(codec.request("HELLO")[20:])
    yield from reply(codec.size("hello_rsp"), "HELLO")


@_case("FRAME-13/silent-in-a-request")
def _silent(codec: Codec) -> Talk[None]:
    """A client that falls silent inside a request for the time limit, and then goes on, is served or has been closed"""
    yield from opened(codec)
    request = codec.request("GET_ALIGNMENT", device=0)
    yield Send(request[:5])
    yield Receive()
    yield Send(request[5:])
    answer = yield Receive()
    if isinstance(answer, End):
        return
    if not isinstance(answer, Reply) or answer.declared != codec.size("alignment_rsp"):
        raise Mismatch("the reply, or the connection closed", str(answer), silent=isinstance(answer, Silence))


@_case("FRAME-12/payload-reset")
def _payload_reset(codec: Codec) -> Talk[None]:
    """A reset in the middle of a large payload harms nobody"""
    buffer = yield from opened(codec, BIG)
    request = codec.request("SET_TENSOR", bytes(BIG), tensor=row(codec, buffer, BIG))
    yield Send(request[: BIG // 2])
    yield Reset()


@_case("FRAME-12/reply-not-taken", upstream="unslothai/llama.cpp#203")
def _not_taken(codec: Codec) -> Talk[None]:
    """A client that leaves while replies are under way harms nobody"""
    buffer = yield from opened(codec, BIG)
    record = row(codec, buffer, BIG)
    yield Send(codec.request("GET_TENSOR", tensor=record, size=BIG) * HEAVY)
    yield Leave()


@_case("FRAME-12/reply-broken-off", upstream="unslothai/llama.cpp#203")
def _reply_broken_off(codec: Codec) -> Talk[None]:
    """A reset while replies are under way harms nobody"""
    buffer = yield from opened(codec, BIG)
    record = row(codec, buffer, BIG)
    yield Send(codec.request("GET_TENSOR", tensor=record, size=BIG) * HEAVY)
    yield from reply(BIG, "GET_TENSOR")
    yield Reset()
