"""Which version is spoken: by a node on each of its ports, and by a client that does not know the node's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from refimpl.errors import VersionMismatch
from refimpl.limits import Limits
from refimpl.service.client import connect
from refimpl.service.server import Server
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.service.harness import Peer, Recorder, Running, running, sum_graph
from refimpl.trace import ConnectionClosed, ConnectionRefused, LeftAfterHello
from refimpl.wire import messages as wire
from spec.load import load

OLD, NEW = "7.0.0", "8.0.0"


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Running, str]]:
    """A node that speaks NEW, and the endpoint where it speaks OLD."""
    device, trace = FakeDevice(), Recorder()
    server = Server([device], load().dialect(NEW), Limits(), trace=trace, tell_commands=True)
    async with trio.open_nursery() as nursery:
        ports = []
        for version in (NEW, OLD):
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            await nursery.start(server.serve, listeners, load().dialect(version))
            ports.append(listeners[0].socket.getsockname()[1])
        new, old = (f"127.0.0.1:{port}" for port in ports)
        yield Running(device, trace, new, server, nursery.cancel_scope, NEW), old
        nursery.cancel_scope.cancel()


async def test_one_node_speaks_two_versions_with_one_device() -> None:
    async with (
        both() as (node, old),
        connect(node.endpoint, dialect=NEW) as newer,
        connect(old, dialect=OLD) as older,
    ):
        assert (newer.version, older.version) == ((8, 0, 0), (7, 0, 0))
        first, second = await sum_graph(newer), await sum_graph(older)
        await first.set(1, 2)
        await second.set(3, 4)
        await first.compute(5)
        await second.compute(0)
        await first.recompute(5)
        await second.recompute(0)
        assert (await first.get(), await second.get()) == ([3.0] * 4, [7.0] * 4)
        assert node.server.connections == 2
        assert (await newer.devices[0].memory()) == (await older.devices[0].memory())
        assert node.device.most_in_run == 1


async def test_a_client_takes_the_newest_version_of_each_node() -> None:
    async with both() as (node, old), connect(node.endpoint) as newer, connect(old) as older:
        assert (newer.dialect.name, older.dialect.name) == (NEW, OLD)
        await older.barrier()


@pytest.mark.parametrize(("spoken", "asked"), [(OLD, NEW), (NEW, OLD)])
async def test_a_version_that_was_given_is_not_replaced(spoken: str, asked: str) -> None:
    async with running(proto=spoken) as node:
        with pytest.raises(VersionMismatch, match=rf"HELLO with protocol {spoken}, this client speaks {asked}$"):
            async with connect(node.endpoint, dialect=asked):
                pass
        assert (await node.trace.seen(LeftAfterHello)).served == spoken


async def test_a_node_that_closes_is_asked_again_in_the_older_version() -> None:
    async with running(proto=OLD) as node:
        calls = 0

        async def moody(stream: trio.SocketStream) -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                await stream.receive_some(33)
                return
            async with await node.stream() as onward, trio.open_nursery() as nursery:
                nursery.start_soon(pump, stream, onward)
                await pump(onward, stream)
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, moody, 0)
            async with connect(f"localhost:{listeners[0].socket.getsockname()[1]}") as client:
                assert client.version == (7, 0, 0)
                await client.barrier()
            nursery.cancel_scope.cancel()
        assert calls == 2


async def pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    while data := await source.receive_some(1 << 16):
        await sink.send_all(data)
    await sink.send_eof()


async def test_who_leaves_after_our_hello_is_told_from_who_leaves_later() -> None:
    async with running() as node:
        for requests in ((), (wire.DeviceCount(),)):
            peer = Peer(await node.stream())
            await peer.say(wire.Hello(), *requests)
            await peer.hear(36 + 12 * len(requests))
            await peer.stream.aclose()
        assert (await node.trace.seen(ConnectionClosed)).commands == 2
        assert (await node.trace.seen(LeftAfterHello)).served == NEW


@pytest.mark.parametrize("number", range(18, 23))
async def test_commands_of_the_newer_version_are_unknown_in_the_older(number: int) -> None:
    async with running(proto=OLD) as node:
        peer = Peer(await node.stream(), OLD)
        await peer.say(wire.Hello(), bytes([number, *bytes(8)]))
        assert len(await peer.end()) == 36
        assert (await node.trace.seen(ConnectionRefused)).clause == "FRAME-4"


async def test_a_pair_of_servers_is_declined_and_the_connection_goes_on() -> None:
    async with running() as node:
        peer = Peer(await node.stream())
        for world, rank in ((2, 0), (2, 1), (3, 7)):
            await peer.say(*([wire.Hello()] if world == 2 and rank == 0 else []))
            await peer.say(wire.CommInit(0, rank, world, 51052, b"127.0.0.1"))
        await peer.say(wire.CommFree(0), wire.DeviceCount())
        heard = await peer.hear(36 + 3 * 9 + 12)
        assert heard[36:] == (b"\x01" + bytes(7) + b"\x00") * 3 + b"\x04" + bytes(7) + b"\x01" + bytes(3)
