"""Payloads that are kept in a tensor cache, for the cases about it.

Rules
- Every case has a payload of its own, larger than clients ask about; most of it is zeros, so that its hash is quick.
- A payload is kept by one connection and asked for by another. A testee that answers 0 then keeps nothing, which is
  allowed: NotOffered.
"""

import attrs

from conformance.cases.talk import Buffer, ask, get, opened, row
from conformance.judge.codec import Codec
from conformance.judge.fnv import fnv1a64
from conformance.judge.steps import MAIN, Leave, NotOffered, Pause, Send, Talk, require

__all__ = [
    "HEX_DIGITS",
    "MORE",
    "PATTERN_BYTES",
    "PAUSE",
    "UNTOUCHED",
    "Payload",
    "blank",
    "found",
    "intact",
    "kept",
    "payload_of",
]

MORE = 1024
"""bytes of a payload above the size from which clients ask"""
PATTERN_BYTES = 2048
UNTOUCHED = 0xEE
TRIES = 20
PAUSE = 0.05
HEX_DIGITS = 16


@attrs.frozen
class Payload:
    """Bytes that are kept under their hash."""

    data: bytes
    digest: int

    @property
    def file(self) -> str:
        """The name of CACHE-7."""
        return f"{self.digest:0{HEX_DIGITS}x}"


def payload_of(codec: Codec, name: str) -> Payload:
    """Large enough for any cache; another one for every name."""
    seed = name.encode()
    pattern = bytes((seed[at % len(seed)] + 31 * at) % 251 + 1 for at in range(PATTERN_BYTES))
    data = pattern + bytes(codec.dialect.constant("HASH_THRESHOLD") + MORE - PATTERN_BYTES)
    return Payload(data, fnv1a64(codec.dialect, data))


def blank(codec: Codec, size: int, on: str = MAIN) -> Talk[Buffer]:
    """A greeted connection and a buffer in which a written byte shows."""
    buffer = yield from opened(codec, size, on)
    yield Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=UNTOUCHED), on)
    return buffer


def found(codec: Codec, record: bytes, digest: int, offset: int = 0, on: str = MAIN) -> Talk[bool]:
    got = yield from ask(codec, "SET_TENSOR_HASH", on, tensor=record, offset=offset, hash=digest)
    require(got["found"] in (0, 1), "found 0 or 1", got)
    return got["found"] == 1


def kept(codec: Codec, name: str) -> Talk[Payload]:
    """Have a payload kept by a connection that then leaves; NotOffered when it is not kept."""
    payload, writer = payload_of(codec, name), f"writer of {name}"
    record = row(codec, (yield from blank(codec, len(payload.data), writer)), len(payload.data))
    if not (yield from found(codec, record, payload.digest, on=writer)):
        yield Send(codec.request("SET_TENSOR", payload.data, tensor=record, cache_flag=1), writer)
    for _ in range(TRIES):
        if (yield from found(codec, record, payload.digest, on=writer)):
            yield Leave(writer)
            return payload
        yield Pause(PAUSE, writer)
    raise NotOffered("a cache that keeps a payload which is worth it")


def intact(codec: Codec, buffer: Buffer, at: int, data: bytes) -> Talk[None]:
    """The buffer holds the data from there on, and nothing else."""
    came = yield from get(codec, row(codec, buffer, buffer.size), buffer.size)
    wanted = bytes([UNTOUCHED]) * at + data
    wanted += bytes([UNTOUCHED]) * (buffer.size - len(wanted))
    differ = [
        place for place in range(0, buffer.size, MORE) if came[place : place + MORE] != wanted[place : place + MORE]
    ]
    require(not differ, "the payload where it belongs and nothing else", f"other bytes behind {differ[:4]}")
