"""A loopback proxy that passes bytes on and lets a meter hear them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from refimpl.bench.meter import ConnectionMeter, Held
from refimpl.limits import Limits
from spec.dialect import Dialect

__all__ = ["metered"]

CHUNK = 1 << 18


@asynccontextmanager
async def metered(endpoint: str, dialect: Dialect, held: Held) -> AsyncIterator[str]:
    """Yield the endpoint of a proxy in front of `endpoint`; `held` follows what its clients hold."""
    host, _, port = endpoint.rpartition(":")

    async def handle(client: trio.SocketStream) -> None:
        meter = ConnectionMeter(dialect, Limits(), held)
        server = await trio.open_tcp_stream(host, int(port))
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(_pump, client, server, meter.from_client, nursery.cancel_scope)
            nursery.start_soon(_pump, server, client, meter.from_server, nursery.cancel_scope)
        meter.close()

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host=host)
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield "{}:{}".format(*listener.socket.getsockname()[:2])
        nursery.cancel_scope.cancel()


async def _pump(
    source: trio.SocketStream, sink: trio.SocketStream, hear: Callable[[bytes], None], ended: trio.CancelScope
) -> None:
    try:
        while data := await source.receive_some(CHUNK):
            hear(bytes(data))
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # one end is gone: so is the conversation
    ended.cancel()
