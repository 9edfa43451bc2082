"""What stock clients were recorded sending, sent again to a live node: it takes every command and gives stock's logits.

Handles and bases in a recording are those of the server that was recorded. Each is learnt from its answer, and what is
sent later is translated: handles, and the data addresses of records.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import numpy as np
import pytest
import trio

from refimpl.device.cpu import CpuDevice
from refimpl.limits import Limits
from refimpl.service.client import RemoteNode, connect
from refimpl.service.server import Server
from refimpl.session.connection import Connection, Role
from refimpl.tests.session.replay import VECTORS, Reader, Vector
from refimpl.wire import messages as wire
from refimpl.wire.codec import Codec
from refimpl.wire.layout import REPLY_HEAD
from refimpl.wire.tensor import RPC_TENSOR

RECORDS = frozenset(("tensor", "tensors", "src", "dst", "srcs"))
LOGITS = 1000
"""bytes; only the result of a graph is longer"""
TOLERANCE = 1e-3


def requests(vector: Vector) -> Iterator[tuple[wire.Request, bytes]]:
    """Every request of a recorded client with its payload."""
    server = Connection(Role.SERVER, vector.dialect, Limits())
    items = list(Reader(server, direct=False).read(vector.read("c2s"), [1 << 30]))
    for item, after in zip(items, [*items[1:], b""], strict=True):
        if isinstance(item, wire.Request):
            yield item, after if isinstance(after, bytes) and item.payload_bytes else b""


def replies(vector: Vector) -> Iterator[bytes]:
    """The bodies of the replies that it got."""
    raw, start = vector.read("s2c"), 0
    while start < len(raw):
        (size,) = REPLY_HEAD.unpack_from(raw, start)
        yield raw[start + REPLY_HEAD.size : start + REPLY_HEAD.size + size]
        start += REPLY_HEAD.size + size


@attrs.frozen
class Translator:
    """Recorded handle > recorded base, and the node's handle and base in its place."""

    bases: dict[int, int] = attrs.field(factory=dict)
    ours: dict[int, tuple[int, int]] = attrs.field(factory=dict)

    def request(self, message: wire.Request) -> wire.Request:
        """The message with the node's handles and addresses."""
        changes: dict[str, Any] = {}
        for field in attrs.fields(type(message)):
            value = getattr(message, field.name)
            if field.name in RECORDS:
                changes[field.name] = self._records(value)
            elif field.name == "handle":
                changes["handle"] = self.ours[value][0]
        return attrs.evolve(message, **changes)

    def _records(self, records: Any) -> Any:
        single = isinstance(records, np.void)
        records = np.frombuffer(records.tobytes(), RPC_TENSOR)
        moved = records.copy()
        for old, (handle, base) in self.ours.items():
            here = records["buffer"] == old
            moved["buffer"] = np.where(here, np.uint64(handle), moved["buffer"])
            offset = records["data"] - np.uint64(self.bases.get(old, 0))
            moved["data"] = np.where(here, np.uint64(base) + offset, moved["data"])
        return moved[0] if single else moved


@asynccontextmanager
async def node_of(version: str) -> AsyncIterator[RemoteNode]:
    """A connection to a node with a real device."""
    device = CpuDevice(threads=2)
    server = Server([device], Vector(version, "flash", "main").dialect, Limits(programs=1))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(server.serve, await trio.open_tcp_listeners(0, host="127.0.0.1"))
        async with connect(f"127.0.0.1:{listeners[0].socket.getsockname()[1]}", dialect=version) as node:
            yield node
        nursery.cancel_scope.cancel()
    device.close()


async def sent_again(vector: Vector, node: RemoteNode) -> tuple[Counter[str], list[tuple[bytes, bytes]]]:
    """Commands sent, and each long result as it was recorded and as it is now."""
    codec, answers, translator = Codec(vector.dialect, Limits()), replies(vector), Translator()
    sent: Counter[str] = Counter()
    results: list[tuple[bytes, bytes]] = []
    for message, payload in requests(vector):
        answer = next(answers) if codec.has_reply(message) else b""
        if isinstance(message, wire.Hello):
            continue
        sent[message.command.name] += 1
        request = translator.request(message)
        if not codec.has_reply(message):
            await node.channel.push(request, payload)
            continue
        into = memoryview(bytearray(request.reply_bytes or 0))
        reply = await node.channel.ask(request, into if request.reply_bytes is not None else None)
        if isinstance(reply, wire.AllocBufferReply):
            base = await node.channel.ask(wire.BufferGetBase(reply.handle))
            assert isinstance(base, wire.BufferBaseReply)
            recorded = codec.decode_reply(message, answer)
            assert isinstance(recorded, wire.AllocBufferReply)
            translator.ours[recorded.handle] = (reply.handle, base.base)
        if isinstance(message, wire.BufferGetBase):
            (translator.bases[message.handle],) = REPLY_HEAD.unpack(answer)
        if len(answer) > LOGITS:
            results.append((answer, bytes(into)))
    return sent, results


@pytest.mark.parametrize("vector", VECTORS, ids=str)
async def test_a_recorded_client_is_served_and_finds_stock_s_results(vector: Vector) -> None:
    async with node_of(vector.version) as node:
        sent, results = await sent_again(vector, node)
        await node.barrier()
    if vector.part == "probe":
        return
    assert sent["GRAPH_COMPUTE"] >= 2
    assert sent["GRAPH_RECOMPUTE"] >= 1
    assert len(results) >= 3
    for recorded, found in results:
        expected, values = np.frombuffer(recorded, np.float32), np.frombuffer(found, np.float32)
        assert np.abs(expected - values).max() < TOLERANCE
        assert np.ptp(expected) > 100 * TOLERANCE
