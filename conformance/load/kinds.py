"""How a client may come and go: each kind is one connection from its first byte to its end, well-mannered or not.

Rules
- A kind does what it says and returns; what the testee answers is looked at only where a right answer is due, and then
  a wrong one is a Mismatch.
- `lingering` kinds leave a connection behind that the testee has to end by itself: the driver keeps the client's end,
  or the client's system has forgotten that there was one.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import attrs
import trio

from conformance.cases.graph.placed import placed
from conformance.cases.sums import chain
from conformance.cases.talk import allocate, greet, put, row, still_served
from conformance.judge.codec import Codec
from conformance.judge.steps import Leave, Reset, Send
from conformance.load.client import client
from conformance.load.testees import Loaded

__all__ = ["BUFFER", "KILLED", "KINDS", "VANISHED", "Kind", "can_vanish", "cut_off"]

KILLED = "kill -9 in a frame"
VANISHED = "vanished"
BUFFER = 1 << 20
SENT = 1 << 16
TCP_REPAIR = 19
"""socket option of Linux that no Python names: a socket in repair is closed without a word"""
SUMS = chain(128, 1 << 12)


@attrs.frozen
class Kind:
    """One way to come and go. share: how many of a thousand connections are of it."""

    name: str
    share: int
    act: Callable[[Loaded], Awaitable[trio.SocketStream | None]]
    lingers: bool = False
    """whether it leaves something behind for the testee to end: `act` returns this end, where there is still one"""


def cut_off(codec: Codec, handle: int, base: int) -> bytes:
    """The first half of a SET_TENSOR that declares the whole of a buffer of BUFFER bytes."""
    head = codec.head("SET_TENSOR", codec.fixed_bytes("SET_TENSOR") + BUFFER)
    record = codec.pack("rpc_tensor", _bytes_of(codec, handle, base))
    return head + codec.pack("set_tensor_req", {"tensor": record}) + bytes(BUFFER // 2)


def _bytes_of(codec: Codec, handle: int, base: int) -> dict[str, int | tuple[int, ...]]:
    kind = codec.dialect.type("I8").number
    whole = {"ne": (BUFFER, 1, 1, 1), "nb": (1, BUFFER, BUFFER, BUFFER)}
    return {"id": 1, "type": kind, "buffer": handle, "data": base, **whole}


async def _fin(loaded: Loaded) -> None:
    """A well-mannered short session."""
    async with client(loaded.dial, loaded.codec, loaded.timeout) as one:
        await one.do(greet(loaded.codec))
        await one.do(still_served(loaded.codec))


async def _at_once(loaded: Loaded) -> None:
    """Connects and closes."""
    await (await loaded.dial()).aclose()


async def _after_hello(loaded: Loaded) -> None:
    """Says HELLO and closes before the reply has come."""
    async with client(loaded.dial, loaded.codec, loaded.timeout) as one:
        await one.perform(Send(loaded.codec.request("HELLO")))
        await one.perform(Leave())


async def _rst(loaded: Loaded) -> None:
    """Owns a buffer with bytes in it and breaks the connection off."""
    async with client(loaded.dial, loaded.codec, loaded.timeout) as one:
        await one.do(greet(loaded.codec))
        buffer = await one.do(allocate(loaded.codec, BUFFER))
        await one.do(put(loaded.codec, row(loaded.codec, buffer, SENT), bytes(SENT)))
        await one.perform(Reset())


async def _while_computing(loaded: Loaded) -> None:
    """Sends a graph and leaves without waiting for it."""
    async with client(loaded.dial, loaded.codec, loaded.timeout) as one:
        await one.do(greet(loaded.codec))
        there = await one.do(placed(loaded.codec, SUMS))
        await one.perform(Send(there.message()))
        await one.perform(Leave())


async def _in_a_frame(loaded: Loaded) -> None:
    """Closes in the middle of a SET_TENSOR."""
    async with client(loaded.dial, loaded.codec, loaded.timeout) as one:
        await one.do(greet(loaded.codec))
        buffer = await one.do(allocate(loaded.codec, BUFFER))
        await one.perform(Send(cut_off(loaded.codec, buffer.handle, buffer.base)))
        await one.perform(Leave())


async def _half_open(loaded: Loaded) -> trio.SocketStream:
    """Sends half a HELLO and nothing more; its end stays open."""
    stream = await loaded.dial()
    hello = loaded.codec.request("HELLO")
    await stream.send_all(hello[: len(hello) // 2])
    if not isinstance(stream, trio.SocketStream):
        raise TypeError(f"no socket: {stream!r}")
    return stream


async def _vanish(loaded: Loaded) -> None:
    """Owns a buffer and is gone without FIN and RST, as with a cable that is pulled out."""
    stream = await loaded.dial()
    if not isinstance(stream, trio.SocketStream):
        raise TypeError(f"no socket: {stream!r}")
    await stream.send_all(loaded.codec.request("HELLO") + loaded.codec.request("ALLOC_BUFFER", device=0, size=BUFFER))
    await stream.receive_some(1)
    stream.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    await stream.aclose()


def can_vanish() -> bool:
    """Whether this user may close a socket without a word: that needs CAP_NET_ADMIN, on Linux."""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except OSError:
            return False
    return True


_ALL = (
    Kind("FIN", 250, _fin),
    Kind("connect and close", 150, _at_once),
    Kind("HELLO and close", 150, _after_hello),
    Kind("RST with a buffer", 150, _rst),
    Kind("FIN while computing", 80, _while_computing),
    Kind("FIN in a frame", 70, _in_a_frame),
    Kind("half a HELLO", 40, _half_open, lingers=True),
    Kind(VANISHED, 10, _vanish, lingers=True),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})
"""by name; KILLED is besides, since it takes a process of its own"""
