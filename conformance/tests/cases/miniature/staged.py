"""The testee made of sessions in miniature, over streams in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import trio
import trio.testing

from conformance.judge.codec import Codec
from conformance.judge.grounds import Grounds
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import HERE, PROCESS, World

__all__ = ["Staged"]


@attrs.frozen
class Pretended(Grounds):
    """Grounds of a process that is none: PROCESS is what it has mapped."""

    enter: Callable[[str], trio.abc.HalfCloseableStream] = attrs.field(kw_only=True)

    async def dial_from(self, origin: str) -> trio.abc.HalfCloseableStream:
        await trio.lowlevel.checkpoint()
        return self.enter(origin)

    def spans(self) -> Iterator[tuple[int, int]]:
        yield PROCESS


class Staged:
    """A testee whose every connection is a session of that class, run in the nursery; cache: its cache folder."""

    def __init__(self, session: type[Session], codec: Codec, nursery: trio.Nursery, cache: Path | None = None) -> None:
        self.name = session.__name__
        self.starts = 0
        self.grounds = Pretended(cache=cache, enter=self._enter)
        self._session = session
        self._codec = codec
        self._nursery = nursery
        self._world = World(codec, cache)

    async def dial(self) -> trio.abc.HalfCloseableStream:
        await trio.lowlevel.checkpoint()
        if self._world.dead:
            raise ConnectionRefusedError(self._world.dead)
        return self._enter(HERE)

    def _enter(self, origin: str) -> trio.abc.HalfCloseableStream:
        ours, theirs = trio.testing.memory_stream_pair()
        session = self._session(theirs, self._world)
        session.address = origin
        self._nursery.start_soon(session.run)
        return ours

    def dead(self) -> str | None:
        return self._world.dead

    async def death(self, seconds: float) -> str | None:
        with trio.move_on_after(seconds):
            while self._world.dead is None:
                await trio.sleep(seconds / 2)
        return self._world.dead

    async def restart(self) -> None:
        await trio.lowlevel.checkpoint()
        self.starts += 1
        self._world = World(self._codec, self.grounds.cache)
