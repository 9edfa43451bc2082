"""`python -m conformance.tests.load.served CLASS PORT`: a session in miniature that may be loaded, over TCP."""

import os
import sys
from typing import ClassVar

import trio

from conformance.judge.codec import Codec
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import World
from spec.load import load

KEPT_BYTES = 1 << 20
HELLO_SECONDS = 0.5


class Timely(Session):
    """Does not wait for a HELLO for ever."""

    async def greeting(self) -> None:
        with trio.fail_after(HELLO_SECONDS):
            await super().greeting()


class KeepsEverything(Timely):
    hoard: ClassVar[list[bytes]] = []

    def release(self) -> None:
        super().release()
        self.hoard.append(b"\1" * KEPT_BYTES)
        os.open(os.devnull, os.O_RDONLY)


class SpillsOverOthers(Timely):
    """What one connection clears, all have."""

    def release(self) -> None:
        super().release()
        for held in self.world.buffers.values():
            held.memory[:] = bytes(len(held.memory))


SESSIONS = {session.__name__: session for session in (Timely, KeepsEverything, SpillsOverOthers)}


async def serve(name: str, port: int) -> None:
    world = World(Codec(load().dialect("7.0.0")))

    async def one(stream: trio.SocketStream) -> None:
        try:
            await SESSIONS[name](stream, world).run()
        except trio.TooSlowError:
            return

    await trio.serve_tcp(one, port, host="127.0.0.1")


if __name__ == "__main__":
    trio.run(serve, sys.argv[1], int(sys.argv[2]))
