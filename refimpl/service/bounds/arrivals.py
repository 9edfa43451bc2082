"""Messages under way: bytes that are kept until a message has come in whole and has been dealt with.

Only graphs are kept so; tensor data goes straight to where it belongs. Any peer may declare a graph of many megabytes
and stop before its last byte, so all connections together keep at most `limits.message_bytes_in_all`. When there is
no room for a byte more, the largest message that has not come in whole loses its connection, whoever has asked. A
client with graphs of ordinary size is never the one.
"""

import trio

from refimpl.errors import OutOfMemory
from refimpl.limits import Limits

__all__ = ["Arrival", "Arrivals"]


class Arrival:
    """The message that one connection is taking in."""

    def __init__(self, arrivals: "Arrivals") -> None:
        self._arrivals = arrivals
        self.held = 0
        """bytes that count"""
        self.whole = True
        """it is being dealt with, and cannot be given up any more"""
        self._waiting: trio.CancelScope | None = None
        self._lost = False

    def grow(self, size: int) -> None:
        """`size` bytes of it are kept now, and more are to come. Raises OutOfMemory when it has to be given up."""
        self.whole = False
        self._arrivals.make_room(self, size)
        self.held = size

    def complete(self) -> None:
        """It is there in whole and is being dealt with; it goes on counting."""
        self.whole = True

    def done(self) -> None:
        """It has been dealt with, and is kept no more."""
        self.held, self.whole = 0, True

    def waiting(self) -> trio.CancelScope:
        """A scope in which to wait for more of it: cancelled when the message is given up."""
        self._waiting = trio.CancelScope()
        return self._waiting

    def check(self) -> None:
        """Raises OutOfMemory if the message was given up in favour of others."""
        if self._lost:
            raise self.refusal()

    def refusal(self) -> OutOfMemory:
        """What to raise for a message that was given up."""
        return OutOfMemory(self._arrivals.words)

    def lose(self) -> None:
        """Give it up."""
        self.done()
        self._lost = True
        if self._waiting is not None:
            self._waiting.cancel()


class Arrivals:
    """All messages under way of one server."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.message_bytes_in_all
        self._all: set[Arrival] = set()
        self.words = (
            f"its message under way was the largest when all together reached {self._limit} bytes "
            "(limits.message_bytes_in_all)"
        )

    @property
    def held(self) -> int:
        """Bytes of all messages under way."""
        return sum(arrival.held for arrival in self._all)

    def join(self) -> Arrival:
        """For a new connection, which must `leave`."""
        arrival = Arrival(self)
        self._all.add(arrival)
        return arrival

    def leave(self, arrival: Arrival) -> None:
        """The connection has ended."""
        self._all.discard(arrival)

    def make_room(self, grown: Arrival, size: int) -> None:
        """Let `grown` be of `size` bytes. Raises OutOfMemory if it is the one that has to go."""
        while self.held - grown.held + size > self._limit:
            largest = max(
                (arrival for arrival in self._all if not arrival.whole and arrival is not grown),
                key=lambda arrival: arrival.held,
                default=grown,
            )
            if largest is grown or largest.held <= size:
                grown.lose()
                raise grown.refusal()
            largest.lose()
