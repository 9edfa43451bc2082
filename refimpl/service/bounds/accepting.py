"""Taking connections from a listener, whatever accept() says.

A system or a process that has run out of descriptors or memory for sockets refuses for the moment; so accept() is tried
again after a short pause, and for ever. That it fails is said once, and again only after it has been in order for a
while. Connections that are gone before they are taken are none.
"""

import math
from collections.abc import Awaitable, Callable

import trio

__all__ = ["take_connections"]

PAUSE = 0.1
"""seconds before accept() is tried again"""
CALM = 60.0
"""seconds without a failure after which the next one is news"""


async def take_connections(
    listener: trio.SocketListener,
    take: Callable[[trio.SocketStream], Awaitable[None]],
    failed: Callable[[OSError], None],
) -> None:
    """Run `take` for each connection, all at the same time, until cancelled; the listener is closed then.

    failed: told of the first failure of accept() in a row.
    """
    last = -math.inf
    async with listener, trio.open_nursery() as nursery:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                now = trio.current_time()
                if now - last >= CALM:
                    failed(error)
                last = now
                await trio.sleep(PAUSE)
            else:
                nursery.start_soon(_taken, take, stream)


async def _taken(take: Callable[[trio.SocketStream], Awaitable[None]], stream: trio.SocketStream) -> None:
    try:
        await take(stream)
    finally:
        await trio.aclose_forcefully(stream)
