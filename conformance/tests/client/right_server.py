"""The right server in miniature, as a program that speaks 7.0.0: `python right_server.py PORT`."""

import sys

import trio

from conformance.judge.codec import Codec
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import World
from spec.load import load

__all__ = ["serve"]


async def serve(port: int) -> None:
    """Serve until it is ended."""
    world = World(Codec(load().dialect("7.0.0")))

    async def session(stream: trio.SocketStream) -> None:
        await Session(stream, world).run()

    await trio.serve_tcp(session, port, host="127.0.0.1")


if __name__ == "__main__":
    trio.run(serve, int(sys.argv[1]))
