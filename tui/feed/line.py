"""One connection to a node, on which nothing is asked that could cost the node anything.

Three commands go out: HELLO, DEVICE_COUNT, GET_DEVICE_MEMORY. They are the same bytes in every protocol version known
here, allocate nothing and wait for no graph.

A line hangs up with a reset (SO_LINGER 0), whatever the reason, the end of this program by a signal included. That is
not rudeness: a stock server (7.0.0, build 11434) answers in two writes and takes no care of SIGPIPE, so a client that
closes the ordinary way while its HELLO waits in the queue of a busy node kills that node as soon as its turn comes: the
first write is answered with a reset, the second one raises the signal. After a reset the first write fails with an
error, which the server expects.

TCP keepalive finds a machine that went away while its answer is awaited, for which no other limit is set.
"""

import math
import os
import socket
import struct
from collections.abc import Callable
from typing import TypeVar

import trio

from refimpl.errors import NodeTimeout, NodeUnreachable, ProtocolError
from refimpl.limits import Limits
from refimpl.service.channel import Channel, Patience
from refimpl.service.client import parse_endpoint
from refimpl.service.transport import Transport
from refimpl.session.connection import Connection, Role
from refimpl.wire import messages as wire
from spec.dialect import Dialect
from tui.model.events import Memory, Version

__all__ = ["MOST_DEVICES", "Line"]

MOST_DEVICES = 64
"""a node that claims more is not believed"""
FOR_EVER = Patience(reply=math.inf, computing=math.inf)
"""limits stand with the questions, and HELLO has none"""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 25_000))
"""seconds, probes, and milliseconds for bytes that nobody acknowledges; where the platform has them"""

Answer = TypeVar("Answer", bound=wire.Reply)


class Line:
    """See the module. `close` may be called at any time, and again."""

    def __init__(self, endpoint: str, channel: Channel) -> None:
        self._endpoint = endpoint
        self._channel = channel

    @classmethod
    async def dial(cls, endpoint: str, dialect: Dialect, timeout: float) -> "Line":
        """A TCP connection within `timeout` seconds; nothing is said on it yet. Raises NodeUnreachable."""
        host, port = parse_endpoint(endpoint)
        with trio.move_on_after(timeout):
            try:
                stream = await trio.open_tcp_stream(host, port)
            except OSError as error:
                raise NodeUnreachable(endpoint, f"no TCP connection: {_reason(error)}") from error
            transport = Transport.from_stream(_careful(stream))
            return cls(endpoint, Channel(endpoint, transport, Connection(Role.CLIENT, dialect, Limits()), FOR_EVER))
        queue = "the machine is off, a firewall drops packets, or the queue of a stock node is full"
        raise NodeUnreachable(endpoint, f"no TCP connection within {timeout:g} s: {queue}")

    async def greet(self) -> Version:
        """Say HELLO; the version that the node speaks, however long that takes.

        Raises NodeClosed, and ProtocolError for an answer that is none.
        """
        hello = await self._ask(wire.Hello(), wire.HelloReply)
        return hello.major, hello.minor, hello.patch

    async def read(self, patience: float, clock: Callable[[], float]) -> tuple[tuple[Memory, ...], float]:
        """Every device's memory, and the seconds of one round trip.

        Raises NodeTimeout after `patience` seconds, NodeClosed, and ProtocolError for answers that no node may give.
        """
        with trio.move_on_after(patience):
            begin = clock()
            count = (await self._ask(wire.DeviceCount(), wire.DeviceCountReply)).count
            round_trip = clock() - begin
            if count > MOST_DEVICES:
                raise ProtocolError("DEVICE-1", f"claims {count} devices; at most {MOST_DEVICES} are believed")
            return tuple([await self._memory(index) for index in range(count)]), round_trip
        raise NodeTimeout(self._endpoint, f"connected, but silent for {patience:g} s after a question")

    async def _memory(self, index: int) -> Memory:
        reply = await self._ask(wire.GetDeviceMemory(index), wire.DeviceMemoryReply)
        if reply.free > reply.total:
            raise ProtocolError("DEVICE-3", f"device {index} has {reply.free} bytes free of {reply.total}")
        return Memory(reply.free, reply.total)

    async def _ask(self, request: wire.Request, kind: type[Answer]) -> Answer:
        """The reply that the connection has matched to the request."""
        reply = await self._channel.ask(request)
        if not isinstance(reply, kind):
            raise TypeError(f"{reply!r} where {kind.__name__} was asked for")
        return reply

    def close(self) -> None:
        """Hang up."""
        self._channel.close()


def _careful(stream: trio.SocketStream) -> trio.SocketStream:
    """The stream, set to be closed with a reset and to notice that its peer's machine has gone."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        if (option := getattr(socket, name, None)) is not None:
            stream.setsockopt(socket.IPPROTO_TCP, option, value)
    return stream


def _reason(error: BaseException) -> str:
    """The system's words for why a connection failed: Trio wraps them, one error for each address that was tried."""
    cause = error.__cause__
    while cause is not None:
        error = cause
        cause = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error)
