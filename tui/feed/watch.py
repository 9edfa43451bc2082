"""Careful visits to one node, for as long as the program runs. Each node has a task of its own: none waits for another.

How many clients a node serves at a time is found out once, at the first visit: while the first connection stays open
and idle, a second one says HELLO. If that is answered, the node serves MANY: the second one is closed and the first
one kept for all further questions. If it is not answered within half a second (eight round trips where that is
more), the node serves ONE: the first connection is closed, which lets the second one be answered and closed in turn.
A node that is overloaded at that moment may be taken for one that serves one client; it is visited less often then, and
nothing worse. After the node was unreachable it may be another program, and is judged anew.

Rules for a node that serves ONE, and for one that has not answered yet:
- A visit is HELLO and a few questions, milliseconds, and then the line is free for others; the next one comes after
  `Pace.stretch(seldom=True)`.
- While the node serves somebody else, exactly one connection of ours waits in its queue, for as long as it takes: a
  stock node's queue holds two, and every connection given up would stay in there. When the other client leaves, the
  visit goes on at once.
- A line is never closed before its HELLO was answered, unless this program ends; line.py tells how and why.

A client does not change what it says by the server's version (HELLO-7). So the newest dialect is tried first, and where
HELLO tells of another one that is known here, a new connection speaks that.
"""

from collections.abc import Callable

import attrs
import trio

from refimpl.errors import NodeClosed, NodeError, NodeTimeout, NodeUnreachable, ProtocolError, VersionMismatch
from spec.dialect import Dialect
from tui.feed.line import Line
from tui.feed.pace import Pace
from tui.model.events import Asked, Connected, Event, Failed, Reading, Served, Serves, Trouble, Version

__all__ = ["Tell", "Terms", "Visitor", "accepts", "watch"]

Tell = Callable[[Event], None]
"""called on the feed's thread, once for each event, in order"""
SECOND_CALL = 0.5
"""seconds in which a node that serves several answers a second HELLO, at least"""
SECOND_CALL_TRIPS = 8


@attrs.frozen
class Terms:
    """What all visitors share. Times are seconds."""

    tell: Tell
    dialects: tuple[Dialect, ...]
    """known versions, the one to try first in front"""
    clock: Callable[[], float]
    dial_timeout: float = 5.0
    reply_timeout: float = 30.0
    """for an answer on a connection whose HELLO was answered"""


def accepts(dialect: Dialect, version: Version) -> bool:
    """Whether a client of `dialect` goes on after HELLO told `version` (HELLO-4)."""
    return version[0] == dialect.version[0] and version[1] <= dialect.version[1]


async def watch(endpoint: str, terms: Terms, pace: Pace) -> None:
    """Visit a node until cancelled."""
    visitor = Visitor(endpoint, terms)
    while True:
        seldom = await visitor.visit(pace)
        await pace.rest(seldom)


class Visitor:
    """What has to be remembered between visits to one node."""

    def __init__(self, endpoint: str, terms: Terms) -> None:
        self._endpoint = endpoint
        self._terms = terms
        self._dialect = terms.dialects[0]
        self._version: Version | None = None
        """None until the node has said one that is known here"""
        self._serves: Serves | None = None

    async def visit(self, pace: Pace | None = None) -> bool:
        """One visit, told as events; whether the next one should come seldom.

        It lasts as long as the connection: for a node that serves many, until that breaks. Without a pace the node is
        read once and not judged.
        """
        try:
            line = await self._meet()
            try:
                trip = await self._read(line)
                if pace is not None and self._serves is None:
                    await self._judge(line, trip)
                while pace is not None and self._serves is Serves.MANY:
                    await pace.rest()
                    await self._read(line)
            finally:
                line.close()
        except (NodeError, ProtocolError) as error:
            return self._failed(error)
        return True

    async def _meet(self) -> Line:
        """A connection that has said HELLO in a version that the node speaks."""
        line, version = await self._hello()
        if not accepts(self._dialect, version):
            line.close()
            self._dialect = self._known(version)
            line, version = await self._hello()
        if not accepts(self._dialect, version):
            line.close()
            raise VersionMismatch(self._endpoint, f"says another version each time, {_name(version)} the last")
        self._version = version
        return line

    async def _hello(self) -> tuple[Line, Version]:
        line = await self._dial()
        self._tell(Connected(self._endpoint, self._now()))
        try:
            return line, await line.greet()
        except BaseException:
            line.close()
            raise

    async def _dial(self) -> Line:
        return await Line.dial(self._endpoint, self._dialect, self._terms.dial_timeout)

    def _known(self, version: Version) -> Dialect:
        """The dialect for a node that speaks `version`; raises VersionMismatch where there is none."""
        for dialect in self._terms.dialects:
            if accepts(dialect, version):
                return dialect
        self._version = version
        known = " and ".join(dialect.name for dialect in self._terms.dialects)
        raise VersionMismatch(self._endpoint, f"speaks protocol {_name(version)}; known here: {known}")

    async def _read(self, line: Line) -> float:
        """Ask and tell; the seconds of a round trip."""
        self._tell(Asked(self._endpoint, self._now()))
        devices, trip = await line.read(self._terms.reply_timeout, self._terms.clock)
        assert self._version is not None
        self._tell(Reading(self._endpoint, self._now(), self._version, devices, trip))
        return trip

    async def _judge(self, first: Line, trip: float) -> None:
        """Find out how many clients the node serves; `first` is open and idle, and closed if it is one."""
        refused: NodeError | ProtocolError | None = None
        try:
            second = await self._dial()
        except NodeUnreachable:
            self._found(Serves.ONE)
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._give_way, first, max(SECOND_CALL, SECOND_CALL_TRIPS * trip))
                try:
                    await second.greet()
                except (NodeError, ProtocolError) as error:
                    refused = error
                nursery.cancel_scope.cancel()
            if self._serves is None:
                self._found(Serves.MANY if refused is None else Serves.ONE)
            elif refused is not None:
                raise refused
            if refused is None:
                await self._read(second)
        finally:
            second.close()

    async def _give_way(self, first: Line, patience: float) -> None:
        """After `patience` seconds the second call is taken for one that waits for the first to end."""
        await trio.sleep(patience)
        self._found(Serves.ONE)
        first.close()
        self._tell(Connected(self._endpoint, self._now()))

    def _found(self, serves: Serves | None) -> None:
        self._serves = serves
        self._tell(Served(self._endpoint, self._now(), serves))

    def _failed(self, error: NodeError | ProtocolError) -> bool:
        """Tell why a visit ended; whether to come back seldom."""
        trouble, detail = self._trouble(error)
        if trouble is Trouble.UNREACHABLE and self._serves is not None:
            self._found(None)
        said = self._version if trouble is Trouble.WRONG_VERSION else None
        self._tell(Failed(self._endpoint, self._now(), trouble, detail, said))
        return trouble is not Trouble.UNREACHABLE

    def _trouble(self, error: NodeError | ProtocolError) -> tuple[Trouble, str]:
        match error:
            case VersionMismatch(detail=detail):
                return Trouble.WRONG_VERSION, detail
            case NodeUnreachable(detail=detail) | NodeTimeout(detail=detail):
                return Trouble.UNREACHABLE, detail
            case NodeClosed() if self._version is not None:
                return Trouble.UNREACHABLE, "closed the connection: it ended, or has as many connections as it takes"
            case ProtocolError() if self._version is not None:
                return Trouble.BROKEN, str(error)
            case _:
                newest = self._terms.dialects[0].name
                detail = f"does not answer HELLO as protocol {newest} does: another version, or no ggml RPC server"
                return Trouble.WRONG_VERSION, detail

    def _tell(self, event: Event) -> None:
        self._terms.tell(event)

    def _now(self) -> float:
        return self._terms.clock()


def _name(version: Version) -> str:
    return ".".join(map(str, version))
