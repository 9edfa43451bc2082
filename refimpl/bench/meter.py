"""How much memory a client of a server holds, read off the bytes of its connections. Pure; proxy.py feeds it.

Each connection is followed with two sans-IO connections, one that hears what the client says and one that hears the
server: together they know the handle of every allocation and when it is freed.
"""

from collections import deque
from collections.abc import Iterator

import attrs

from refimpl.limits import Limits
from refimpl.session.connection import NEED_DATA, Connection, ConnectionClosed, PayloadExpected, Role
from refimpl.wire.messages import AllocBuffer, AllocBufferReply, FreeBuffer, Message, Reply, Request
from spec.dialect import Dialect

__all__ = ["ConnectionMeter", "Held"]

SCRATCH = 1 << 16


@attrs.define
class Held:
    """Bytes that all clients together hold now, and the most they ever held."""

    now: int = 0
    peak: int = 0

    def add(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


class ConnectionMeter:
    """Follows one connection. Raises ProtocolError if either end breaks the protocol."""

    def __init__(self, dialect: Dialect, limits: Limits, held: Held) -> None:
        self._client_talk = Connection(Role.SERVER, dialect, limits)
        self._server_talk = Connection(Role.CLIENT, dialect, limits)
        self._held = held
        self._asked: deque[int] = deque()
        self._sizes: dict[int, int] = {}

    def from_client(self, data: bytes) -> None:
        """Hear what the client said next."""
        for request in _messages(self._client_talk, data):
            if not isinstance(request, Request):
                continue
            self._server_talk.send(request)
            if isinstance(request, AllocBuffer):
                self._asked.append(request.size)
            elif isinstance(request, FreeBuffer):
                self._held.add(-self._sizes.pop(request.handle, 0))

    def from_server(self, data: bytes) -> None:
        """Hear what the server said next."""
        for reply in _messages(self._server_talk, data):
            if not isinstance(reply, Reply):
                continue
            self._client_talk.send(reply)
            if isinstance(reply, AllocBufferReply):
                asked = self._asked.popleft()
                if reply.handle:
                    self._sizes[reply.handle] = asked
                    self._held.add(asked)

    def close(self) -> None:
        """The connection ended: the server frees what it held."""
        self._held.add(-sum(self._sizes.values()))
        self._sizes.clear()


def _messages(connection: Connection, data: bytes) -> Iterator[Message]:
    """The messages that `data` completes; bulk bytes are thrown away."""
    scratch = memoryview(bytearray(SCRATCH))
    connection.receive(data)
    while True:
        while connection.payload_left:
            if not connection.take_payload(scratch):
                return
        event = connection.next_event()
        if event is NEED_DATA or isinstance(event, ConnectionClosed):
            return
        if isinstance(event, PayloadExpected):
            yield event.message
        elif isinstance(event, Message):
            yield event
