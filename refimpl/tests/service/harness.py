"""A node in the test's own event loop:

Real sockets on a port that the system chooses, a device of bytearrays, a recorded trace.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs
import numpy as np
import trio

from refimpl.graph.define import GraphBuilder
from refimpl.limits import Limits
from refimpl.service.cache.tensors import TensorCache
from refimpl.service.client import RemoteBuffer, RemoteNode
from refimpl.service.server import Server
from refimpl.tests.fake_device import FakeDevice
from refimpl.trace import TraceEvent
from refimpl.wire import messages as wire
from refimpl.wire.codec import Codec
from refimpl.wire.tensor import RPC_TENSOR
from spec.load import load
from spec.names import Type

__all__ = ["PATIENCE", "Peer", "Recorder", "Running", "Sum", "record", "running", "sum_graph"]

PATIENCE = 10.0
"""seconds after which a test that waits has failed"""
E = TypeVar("E")
NEWEST = load().newest


class Recorder:
    """A trace that remembers, and that a test can wait for."""

    def __init__(self) -> None:
        self.events: list[TraceEvent] = []
        self._news = trio.Event()

    def __call__(self, event: TraceEvent) -> None:
        self.events.append(event)
        self._news.set()
        self._news = trio.Event()

    async def until(self, wanted: Callable[[TraceEvent], bool]) -> TraceEvent:
        """The first event, past or future, that is wanted."""
        with trio.fail_after(PATIENCE):
            while True:
                news = self._news
                for event in self.events:
                    if wanted(event):
                        return event
                await news.wait()

    async def seen(self, kind: type[E]) -> E:
        """The first event of a class, past or future."""
        event = await self.until(lambda event: isinstance(event, kind))
        assert isinstance(event, kind)
        return event

    def of(self, kind: type[E]) -> list[E]:
        """All events of a class so far."""
        return [event for event in self.events if isinstance(event, kind)]


@attrs.frozen(eq=False)
class Running:
    """A node that serves."""

    device: FakeDevice
    trace: Recorder
    endpoint: str
    server: Server
    scope: trio.CancelScope
    proto: str

    async def stream(self) -> trio.SocketStream:
        """A bare connection."""
        host, _, port = self.endpoint.rpartition(":")
        return await trio.open_tcp_stream(host, int(port))


@asynccontextmanager
async def running(
    device: FakeDevice | None = None,
    limits: Limits | None = None,
    cache: TensorCache | None = None,
    proto: str = NEWEST,
) -> AsyncIterator[Running]:
    """A node until the block ends, which speaks `proto`."""
    device, trace = device or FakeDevice(), Recorder()
    server = Server([device], load().dialect(proto), limits or Limits(), cache=cache, trace=trace, tell_commands=True)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(server.serve, await trio.open_tcp_listeners(0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        yield Running(device, trace, f"127.0.0.1:{port}", server, nursery.cancel_scope, proto)
        nursery.cancel_scope.cancel()


class Peer:
    """A client that may say anything: it writes what it is told and waits for bytes or for the end."""

    def __init__(self, stream: trio.SocketStream, proto: str = NEWEST) -> None:
        self.stream = stream
        self.codec = Codec(load().dialect(proto), Limits())

    async def say(self, *parts: wire.Request | bytes) -> None:
        """Requests, and raw bytes as they are."""
        encoded = [part if isinstance(part, bytes) else self.codec.encode_request(part) for part in parts]
        await self.stream.send_all(b"".join(encoded))

    async def hear(self, size: int) -> bytes:
        """Exactly `size` bytes, or fewer if the node closes."""
        heard = b""
        with trio.fail_after(PATIENCE):
            while len(heard) < size and (more := await self._some(size - len(heard))):
                heard += more
        return heard

    async def end(self) -> bytes:
        """All that the node says until it closes the connection."""
        heard = b""
        with trio.fail_after(PATIENCE):
            while more := await self._some(1 << 16):
                heard += more
        return heard

    async def _some(self, size: int) -> bytes:
        try:
            return bytes(await self.stream.receive_some(size))
        except trio.BrokenResourceError:
            return b""


def record(buffer: RemoteBuffer | None, size: int, at: int = 0, **fields: Any) -> Any:
    """A tensor of `size` bytes (type I8) at offset `at` of a buffer."""
    made = np.zeros((), RPC_TENSOR)
    made["id"], made["type"], made["ne"], made["nb"] = 1, Type.I8, (size, 1, 1, 1), (1, size, size, size)
    if buffer is not None:
        made["buffer"], made["data"] = buffer.handle, buffer.base + at
    for name, value in fields.items():
        made[name] = value
    return made[()]


@attrs.frozen(eq=False)
class Sum:
    """z = x + y on a node: three F32 vectors in one buffer, and the graph."""

    node: RemoteNode
    buffer: RemoteBuffer
    nodes: Any
    records: Any
    length: int

    async def compute(self, uid: int = 1) -> None:
        """Run the graph, and let the node remember it under `uid`."""
        await self.node.devices[0].compute(self.nodes, self.records, uid)

    async def recompute(self, uid: int = 1) -> None:
        """Run the graph of that uid."""
        await self.node.devices[0].recompute(uid)

    async def set(self, x: float, y: float) -> None:
        """Fill both operands."""
        for index, value in enumerate((x, y)):
            await self.node.set_tensor(self.records[index], np.full(self.length, value, np.float32))

    async def get(self) -> list[float]:
        """The sum as the node has it."""
        data = await self.node.get_tensor(self.records[2], 0, 4 * self.length)
        values: list[float] = np.frombuffer(data, np.float32).tolist()
        return values


async def sum_graph(node: RemoteNode, length: int = 4) -> Sum:
    """The graph with its buffer, nothing set or computed yet."""
    b = GraphBuilder()
    x, y = b.leaf("x", Type.F32, (length,)), b.leaf("y", Type.F32, (length,))
    z = b.output(b.add(x, y))
    step = -(-4 * length // 32) * 32
    buffer = await node.devices[0].allocate(3 * step)
    for index, tensor in enumerate((x, y, z)):
        b.place(tensor, buffer.handle, buffer.base + index * step)
    nodes, records = b.message()
    return Sum(node, buffer, nodes, records, length)
