"""Nodes for tests, each on a loopback port of its own: ours, one that serves a single client, one that never answers.

Tests of this folder that need Textual are plain functions which call asyncio.run: the project's tests run under Trio,
and Textual is asyncio. Nodes for them live in a Trio thread.
"""

import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import attrs
import trio

from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.service.harness import running
from spec.names import Command
from tui.feed.thread import known_dialects
from tui.feed.watch import Terms
from tui.model.events import Event

__all__ = ["GIB", "PATIENCE", "Heard", "OneAtATime", "one_at_a_time", "refused_endpoint", "served", "silent"]

PATIENCE = 10.0
"""seconds after which a test that waits has failed"""
GIB = 1 << 30


class Heard:
    """What a feed has told; a test waits for events with `until`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._news = trio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()
        self._news = trio.Event()

    async def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event, past or future, that is wanted."""
        with trio.fail_after(PATIENCE):
            while True:
                news = self._news
                for event in self.events:
                    if wanted(event):
                        return event
                await news.wait()

    async def seen(self, kind: type[Event], count: int = 1) -> list[Event]:
        """The first `count` events of a class, once they are there."""
        await self.until(lambda _: len(self.of(kind)) >= count)
        return self.of(kind)[:count]

    def of(self, kind: type[Event]) -> list[Event]:
        """All events of a class so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def terms(self, dial_timeout: float = 5.0, reply_timeout: float = 5.0) -> Terms:
        """For a visitor that tells this."""
        return Terms(self, known_dialects(), trio.current_time, dial_timeout, reply_timeout)


@attrs.define
class OneAtATime:
    """A node that takes the next client when the last one has left, and may say anything."""

    version: tuple[int, int, int] = (7, 0, 0)
    devices: list[tuple[int, int]] = attrs.field(factory=lambda: [(3 * GIB, 4 * GIB)])
    """(free, total) bytes"""
    claimed: int | None = None
    """device count, where it is not the truth"""
    answers_questions: bool = True
    port: int = 0
    """0 lets the system choose"""
    endpoint: str = ""
    greeted: int = 0
    talking: trio.Event = attrs.field(factory=trio.Event)

    async def serve(self, listener: trio.SocketListener) -> None:
        """One client after the other, until cancelled."""
        while True:
            stream = await listener.accept()
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self._talk(stream)
            await stream.aclose()

    async def _talk(self, stream: trio.SocketStream) -> None:
        while head := await _exactly(stream, 9):
            command, size = struct.unpack("<BQ", head)
            body = await _exactly(stream, size)
            if command == Command.HELLO:
                self.greeted += 1
                self.talking.set()
                await _reply(stream, bytes(self.version).ljust(28, b"\0"))
            elif not self.answers_questions:
                continue
            elif command == Command.DEVICE_COUNT:
                await _reply(stream, struct.pack("<I", len(self.devices) if self.claimed is None else self.claimed))
            elif command == Command.GET_DEVICE_MEMORY:
                await _reply(stream, struct.pack("<QQ", *self.devices[int.from_bytes(body, "little")]))
            else:
                return


async def _exactly(stream: trio.SocketStream, size: int) -> bytes:
    got = b""
    while len(got) < size and (more := await stream.receive_some(size - len(got))):
        got += more
    return got


async def _reply(stream: trio.SocketStream, body: bytes) -> None:
    await stream.send_all(struct.pack("<Q", len(body)) + body)


@asynccontextmanager
async def one_at_a_time(node: OneAtATime | None = None) -> AsyncIterator[OneAtATime]:
    """Such a node, until the block ends."""
    node = node or OneAtATime()
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(node.port, host="127.0.0.1")
        node.endpoint = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.start_soon(node.serve, listener)
        yield node
        nursery.cancel_scope.cancel()


@contextmanager
def silent() -> Iterator[str]:
    """The endpoint of a socket that listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def refused_endpoint() -> str:
    """An endpoint where nobody listens: its port was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def served(proto: str = "8.0.0", capacity: int = 4 * GIB) -> Iterator[tuple[str, Callable[[], None]]]:
    """A refimpl node in a thread: its endpoint, and a call that ends it at once."""
    ready = threading.Event()
    told: list[tuple[str, trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def body() -> None:
        with trio.CancelScope() as scope:
            async with running(FakeDevice(capacity), proto=proto) as node:
                told.append((node.endpoint, trio.lowlevel.current_trio_token(), scope))
                ready.set()
                await trio.sleep_forever()

    thread = threading.Thread(target=trio.run, args=(body,), daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    endpoint, token, scope = told[0]

    def kill() -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(scope.cancel)
        thread.join(PATIENCE)

    try:
        yield endpoint, kill
    finally:
        kill()
