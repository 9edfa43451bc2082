"""A server that does what the model says, in memory; wrong ones are a few lines away from it.

It shows what a campaign finds and how small it makes that; whether the model is right, it cannot show: that is asked
of real servers. Where the model leaves a choice, `strict` closes the connection, and else the request is served.
"""

import itertools
from collections.abc import Callable, Iterator

import attrs
import trio
import trio.testing

from conformance.fuzz.model.catalogue import HANDLERS
from conformance.fuzz.model.ruling import Ruling
from conformance.fuzz.model.session import Session, World
from conformance.fuzz.script import Due
from conformance.judge.codec import HEAD_BYTES, SIZE_BYTES, number
from conformance.judge.grounds import Grounds
from conformance.judge.watch.processes import Usage
from spec.dialect import Dialect

__all__ = ["Dead", "Desk", "Obedient", "Office", "Refused"]

FIRST_BASE, STRIDE = 1 << 40, 1 << 28
FIRST_HANDLE, HANDLE_STEP = 0x5EED_0000_0000, 1_000_003
LARGEST_BUFFER = 1 << 20
LARGEST_BODY = 1 << 26
ALIGNMENT = 64
SIZES = {"device_count_rsp": 1, "alignment_rsp of 0": ALIGNMENT, "max_size_rsp of 0": (1 << 64) - 1}


class Refused(Exception):
    """The connection is closed."""


class Dead(Exception):
    """Where a wrong server would have died."""


@attrs.define(eq=False)
class Office:
    """What the connections of one process share."""

    world: World
    desks: list["Desk"] = attrs.field(factory=list)
    counter: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    dead: str | None = None
    turn: trio.Lock = attrs.field(factory=trio.Lock)
    """for those that serve one client at a time"""


class Desk:
    """One connection of the right server."""

    strict = False

    def __init__(self, stream: trio.abc.Stream, office: Office) -> None:
        self.stream = stream
        self.office = office
        self.session = Session(office.world, "x", dict(HANDLERS))
        self._unread = bytearray()

    async def run(self) -> None:
        self.office.desks.append(self)
        try:
            while True:
                await self.one_request()
        except (Refused, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Dead as end:
            self.office.dead = str(end)
        finally:
            self.office.desks.remove(self)
            await self.stream.aclose()

    async def one_request(self) -> None:
        head = await self.take(HEAD_BYTES)
        rulings = self.session.feed(head)
        body = b""
        if not rulings:
            declared = number(head[HEAD_BYTES - SIZE_BYTES :])
            if declared > LARGEST_BODY:
                raise Refused
            body = await self.take(declared)
            rulings = self.session.feed(body)
        for ruling in rulings:
            await self.deal(ruling, body)

    async def deal(self, ruling: Ruling, body: bytes) -> None:
        expected = ruling.expected
        if expected.must_close or (expected.may_close and self.strict):
            await self.refuse(ruling, body)
        elif expected.due is not None:
            reply = self.reply(expected.due)
            if ruling.settle is not None:
                ruling.settle(reply)
                self.placed()
            await self.answer(self.spoken(expected.command, body, reply))

    async def refuse(self, ruling: Ruling, body: bytes) -> None:
        raise Refused

    def spoken(self, command: str, body: bytes, reply: bytes) -> bytes:
        return reply

    async def answer(self, reply: bytes) -> None:
        await self.stream.send_all(len(reply).to_bytes(SIZE_BYTES, "little") + reply)

    def reply(self, due: Due) -> bytes:
        match due.kind:
            case "buffer":
                return self.allocated(due.least)
            case "base":
                held = next(held for held in self.session.live() if held.name == due.name)
                return (held.base or 0).to_bytes(SIZE_BYTES, "little")
            case "constant":
                return SIZES[due.name].to_bytes(due.size, "little")
            case "at least":
                return due.least.to_bytes(due.size, "little")
            case "one of":
                return due.data[:1]
            case "bytes":
                return due.data
        return bytes(due.size)

    def allocated(self, size: int) -> bytes:
        if size > LARGEST_BUFFER:
            return bytes(2 * SIZE_BYTES)
        handle = FIRST_HANDLE + HANDLE_STEP * next(self.office.counter)
        return handle.to_bytes(SIZE_BYTES, "little") + size.to_bytes(SIZE_BYTES, "little")

    def placed(self) -> None:
        """Buffers have bases from the beginning on, whoever asks."""
        for held in self.session.live():
            if held.base is None:
                held.base = FIRST_BASE + STRIDE * next(self.office.counter) if held.size else 0

    async def take(self, size: int) -> bytes:
        while len(self._unread) < size:
            more = await self.stream.receive_some(1 << 16)
            if not more:
                raise Refused
            self._unread += more
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken


class Obedient:
    """A testee whose connections are desks of that class, run in the nursery."""

    def __init__(
        self, desk: Callable[[trio.abc.Stream, Office], Desk], dialect: Dialect, nursery: trio.Nursery
    ) -> None:
        self.name = "obedient"
        self.starts = 0
        self.grounds = Grounds()
        self._desk = desk
        self._dialect = dialect
        self._nursery = nursery
        self._office = Office(World(dialect))

    async def dial(self) -> trio.abc.HalfCloseableStream:
        await trio.lowlevel.checkpoint()
        if self._office.dead:
            raise ConnectionRefusedError(self._office.dead)
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._desk(theirs, self._office).run)
        return ours

    def look(self) -> Usage | None:
        return None

    def dead(self) -> str | None:
        return self._office.dead

    async def death(self, seconds: float) -> str | None:
        await trio.lowlevel.checkpoint()
        return self._office.dead

    async def restart(self) -> None:
        await trio.lowlevel.checkpoint()
        self.starts += 1
        self._office = Office(World(self._dialect))
