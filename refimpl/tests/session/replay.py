"""Both ends of a recorded conversation, replayed without I/O.

A server Connection reads what the recorded client sent, a client Connection what the recorded server sent back, and
each end writes again what the other has read: the bytes that come out are to be those that went in.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, cycle
from pathlib import Path

import attrs

import spec
from refimpl.limits import Limits
from refimpl.session.connection import NEED_DATA, Connection, ConnectionClosed, PayloadExpected, Role
from refimpl.wire.messages import Reply, Request, TensorData
from spec.dialect import Dialect
from spec.load import load

__all__ = ["VECTORS", "Item", "Reader", "Vector", "replay"]

Item = Request | Reply | ConnectionClosed | bytes


@attrs.frozen
class Vector:
    """A recorded connection of spec/vectors."""

    version: str
    flavour: str
    part: str

    def __str__(self) -> str:
        return f"{self.version}-{self.flavour}-{self.part}"

    @property
    def dialect(self) -> Dialect:
        return load().dialect(self.version)

    def read(self, direction: str) -> bytes:
        """direction: ``c2s`` or ``s2c``."""
        folder = Path(spec.__path__[0]) / "vectors" / self.version / self.flavour
        return (folder / f"{self.part}.{direction}").read_bytes()


VECTORS = [
    Vector(version, flavour, part)
    for version in ("7.0.0", "8.0.0")
    for flavour in ("flash", "no-flash")
    for part in ("main", "probe")
]


def pieces(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """`data` cut into pieces of the given sizes, as far as they reach."""
    start = 0
    for size in sizes:
        if start >= len(data):
            return
        yield data[start : start + size]
        start += size


class Reader:
    """Feeds a Connection and collects what it says. direct: bulk goes around the connection, as with recv_into."""

    def __init__(self, connection: Connection, direct: bool) -> None:
        self.connection = connection
        self._direct = direct
        self._payload = bytearray()

    def feed(self, piece: bytes) -> Iterator[Item]:
        """Messages and events that `piece` completes, each payload as bytes behind its message; b"" ends the stream."""
        rest = self._around(piece) if self._direct and not self.connection.buffered else piece
        if rest or not piece:
            self.connection.receive(rest)
        while True:
            if self.connection.payload_left and not self._take():
                return
            if self._payload:
                yield bytes(self._payload)
                self._payload = bytearray()
            event = self.connection.next_event()
            if event is NEED_DATA:
                return
            if not isinstance(event, PayloadExpected):
                yield event
                if isinstance(event, ConnectionClosed):
                    return
                continue
            yield event.message
            self._payload = bytearray(event.size)

    def _view(self) -> memoryview:
        return memoryview(self._payload)[len(self._payload) - self.connection.payload_left :]

    def _take(self) -> bool:
        """Take what is buffered; whether the payload is complete."""
        self.connection.take_payload(self._view())
        return not self.connection.payload_left

    def _around(self, piece: bytes) -> bytes:
        count = min(len(piece), self.connection.payload_left)
        self._view()[:count] = piece[:count]
        self.connection.payload_received(count)
        return piece[count:]

    def read(self, data: bytes, sizes: Iterable[int]) -> Iterator[Item]:
        """Items of a whole stream cut into pieces of these sizes; the last item is ConnectionClosed."""
        for piece in chain(pieces(data, sizes), [b""]):
            yield from self.feed(piece)


def replay(vector: Vector, sizes: Sequence[int], direct: bool = False) -> tuple[bytes, bytes]:
    """What both ends write when each end sends again what the other end has read: (client to server, server to client).

    sizes: lengths of the pieces in which the recorded bytes arrive, used again and again.
    """
    server = Connection(Role.SERVER, vector.dialect, Limits())
    client = Connection(Role.CLIENT, vector.dialect, Limits())
    requests = Reader(server, direct).read(vector.read("c2s"), cycle(sizes))
    replies = Reader(client, direct).read(vector.read("s2c"), cycle(sizes))
    c2s, s2c = bytearray(), bytearray()
    for item in requests:
        if isinstance(item, bytes):
            c2s += item
        elif isinstance(item, Request):
            c2s += client.send(item)
            if client.unanswered:
                s2c += _answer(server, replies)
        elif item != ConnectionClosed(inside_message=False):
            raise AssertionError(f"{vector}: {item} among the requests")
    if list(replies) != [ConnectionClosed(inside_message=False)]:
        raise AssertionError(f"{vector}: replies that no request awaits")
    return bytes(c2s), bytes(s2c)


def _answer(server: Connection, replies: Iterator[Item]) -> bytes:
    """The next reply, written by `server` with its payload."""
    reply = next(replies)
    if not isinstance(reply, Reply):
        raise AssertionError(f"{reply!r} instead of a reply")
    written = server.send(reply)
    if isinstance(reply, TensorData) and reply.size:
        payload = next(replies)
        if not isinstance(payload, bytes):
            raise AssertionError(f"{payload!r} instead of {reply.size} bytes")
        written += payload
    return written
