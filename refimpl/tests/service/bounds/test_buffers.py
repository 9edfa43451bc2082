"""Buffers: how many and how large, for one connection and for all; what is over is answered with handle 0."""

import pytest
import trio

from refimpl.errors import OutOfMemory
from refimpl.limits import Limits
from refimpl.service.client import connect
from refimpl.tests.service.harness import PATIENCE, running

KIB = 1 << 10


async def test_a_connection_has_so_much_memory_and_sees_it() -> None:
    async with (
        running(limits=Limits(buffer_bytes=100 * KIB)) as node,
        connect(node.endpoint) as one,
        connect(node.endpoint) as other,
    ):
        assert await one.devices[0].memory() == (100 * KIB, 100 * KIB)
        buffer = await one.devices[0].allocate(60 * KIB)
        assert await one.devices[0].memory() == (40 * KIB, 100 * KIB)
        with pytest.raises(OutOfMemory):
            await one.devices[0].allocate(40 * KIB + 1)
        await other.devices[0].allocate(100 * KIB)
        await buffer.free()
        await one.devices[0].allocate(100 * KIB)


async def test_all_connections_have_so_many_buffers() -> None:
    async with running(limits=Limits(buffers_in_all=3)) as node, connect(node.endpoint) as one:
        async with connect(node.endpoint) as other:
            held = [await other.devices[0].allocate(0) for _ in range(3)]
            with pytest.raises(OutOfMemory):
                await one.devices[0].allocate(1)
            await held[0].free()
            await other.barrier()
            await one.devices[0].allocate(1)
        with trio.fail_after(PATIENCE):
            while node.server.connections > 1:
                await trio.lowlevel.checkpoint()
        for _ in range(2):
            await one.devices[0].allocate(1)
        assert node.server._node.shared.buffers.live == 3


async def test_what_the_device_refuses_is_not_counted() -> None:
    async with running(limits=Limits(buffers_in_all=1)) as node, connect(node.endpoint) as client:
        for _ in range(3):
            with pytest.raises(OutOfMemory):
                await client.devices[0].allocate(node.device.capacity + 1)
        await client.devices[0].allocate(1)
