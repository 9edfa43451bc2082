"""`python -m conformance.tests.judge.served CLASS PORT`: a session in miniature as a process of its own, over TCP."""

import os
import sys
from typing import ClassVar

import trio

from conformance.judge.codec import Codec
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import Refused, World
from conformance.tests.cases.wrong.wire import PaddingSet
from spec.load import load

KEPT_BYTES = 6 << 20


class KeepsMemory(Session):
    hoard: ClassVar[list[bytes]] = []

    async def not_known(self, byte: int, size: int) -> None:
        self.hoard.append(b"\1" * KEPT_BYTES)
        raise Refused


class KeepsDescriptors(Session):
    async def not_known(self, byte: int, size: int) -> None:
        os.open(os.devnull, os.O_RDONLY)
        raise Refused


SESSIONS = {session.__name__: session for session in (Session, KeepsMemory, KeepsDescriptors, PaddingSet)}


async def serve(name: str, port: int) -> None:
    world = World(Codec(load().dialect("7.0.0")))

    async def one(stream: trio.SocketStream) -> None:
        await SESSIONS[name](stream, world).run()

    await trio.serve_tcp(one, port, host="127.0.0.1")


if __name__ == "__main__":
    trio.run(serve, sys.argv[1], int(sys.argv[2]))
