"""Pieces of conversation that many cases need: greet, allocate, ask, tell, and what a violation has to meet.

Rules
- A refused request is followed by a DEVICE_COUNT: a server that goes on as if nothing had happened answers it, and one
  that has closed the connection does not (FRAME-11). So a case about a refusal waits the time limit out only when the
  testee hangs.
- Sizes of replies are those of the data. What a reply means is looked at by the cases about it.
"""

import attrs

from conformance.judge.codec import Codec, Value
from conformance.judge.steps import MAIN, End, Mismatch, Receive, Reply, Send, Silence, Talk

__all__ = [
    "Buffer",
    "allocate",
    "ask",
    "asked",
    "ended",
    "get",
    "greet",
    "number_of",
    "opened",
    "put",
    "refused",
    "reply",
    "row",
    "still_served",
]

CLOSED = "the connection closed, and no reply"


@attrs.frozen
class Buffer:
    """A buffer as its client knows it."""

    handle: int
    size: int
    base: int


def reply(size: int, to: str, on: str = MAIN) -> Talk[bytes]:
    """The next frame has to be a reply of that many bytes."""
    answer = yield Receive(on)
    if not isinstance(answer, Reply) or answer.declared != size:
        raise Mismatch(f"a reply to {to} of {size} bytes", str(answer), silent=isinstance(answer, Silence))
    return answer.body


def ended(on: str = MAIN, expected: str = CLOSED) -> Talk[None]:
    """The connection has to be closed, without another byte."""
    answer = yield Receive(on)
    if not isinstance(answer, End) or answer.rest:
        raise Mismatch(expected, str(answer), silent=isinstance(answer, Silence))


def asked(codec: Codec, command: str, on: str = MAIN, **values: Value) -> Talk[bytes]:
    """Send a request and return its reply, which is a struct, as it came."""
    yield Send(codec.request(command, **values), on)
    return (yield from reply(codec.size(codec.dialect.command(command).reply or ""), command, on))


def ask(codec: Codec, command: str, on: str = MAIN, **values: Value) -> Talk[dict[str, Value]]:
    """Send a request and unpack its reply, which is a struct."""
    return codec.unpack(codec.dialect.command(command).reply or "", (yield from asked(codec, command, on, **values)))


def number_of(codec: Codec, command: str, field: str, on: str = MAIN, **values: Value) -> Talk[int]:
    """Send a request and return one number of its reply."""
    body = yield from asked(codec, command, on, **values)
    return codec.read(codec.dialect.command(command).reply or "", field, body)


def greet(codec: Codec, on: str = MAIN) -> Talk[None]:
    """HELLO and its reply."""
    yield from ask(codec, "HELLO", on)


def allocate(codec: Codec, size: int = 256, on: str = MAIN) -> Talk[Buffer]:
    """A buffer on device 0 of a greeted connection."""
    body = yield from asked(codec, "ALLOC_BUFFER", on, device=0, size=size)
    handle, granted = (codec.read("alloc_buffer_rsp", field, body) for field in ("handle", "size"))
    if handle == 0:
        raise Mismatch(f"a buffer of {size} bytes", "handle 0: not enough memory")
    base = yield from number_of(codec, "BUFFER_GET_BASE", "base", on, handle=handle)
    return Buffer(handle, granted, base)


def opened(codec: Codec, size: int = 256, on: str = MAIN) -> Talk[Buffer]:
    """Greet and allocate."""
    yield from greet(codec, on)
    return (yield from allocate(codec, size, on))


def row(codec: Codec, buffer: Buffer, size: int, at: int = 0, /, **fields: Value) -> bytes:
    """The record of `size` bytes (type I8, one dimension) from `at` in the buffer; any field may be said otherwise."""
    values: dict[str, Value] = {
        "id": 1,
        "type": codec.dialect.type("I8").number,
        "buffer": buffer.handle,
        "ne": (size, 1, 1, 1),
        "nb": (1, size, size, size),
        "data": buffer.base + at,
    }
    return codec.pack("rpc_tensor", {**values, **fields})


def put(codec: Codec, record: bytes, data: bytes, offset: int = 0, on: str = MAIN) -> Talk[None]:
    """SET_TENSOR."""
    yield Send(codec.request("SET_TENSOR", data, tensor=record, offset=offset), on)


def get(codec: Codec, record: bytes, size: int, offset: int = 0, on: str = MAIN) -> Talk[bytes]:
    """GET_TENSOR and its bytes."""
    yield Send(codec.request("GET_TENSOR", tensor=record, offset=offset, size=size), on)
    return (yield from reply(size, "GET_TENSOR", on))


def still_served(codec: Codec, on: str = MAIN) -> Talk[None]:
    """The connection goes on: DEVICE_COUNT is answered, and nothing else comes before."""
    yield from ask(codec, "DEVICE_COUNT", on)


def refused(codec: Codec, request: bytes, on: str = MAIN) -> Talk[None]:
    """Send something illegal; the connection has to be closed without a reply to it or to what follows."""
    yield Send(request + codec.request("DEVICE_COUNT"), on)
    yield from ended(on)
