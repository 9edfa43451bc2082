"""What a node does for clients that keep to the protocol."""

import numpy as np
import pytest
import trio

from refimpl.errors import NodeClosed, OutOfMemory
from refimpl.limits import Limits
from refimpl.service.client import connect
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.service.harness import PATIENCE, Peer, record, running, sum_graph
from refimpl.trace import ConnectionClosed, ConnectionFailed, ConnectionRefused, GraphRan
from refimpl.wire import messages as wire


async def test_hello_devices_and_memory() -> None:
    async with running() as node, connect(node.endpoint) as client:
        assert client.version == (8, 0, 0)
        (device,) = client.devices
        assert (device.alignment, device.max_size) == (32, (1 << 64) - 1)
        assert await device.memory() == (node.device.capacity, node.device.capacity)


@pytest.mark.parametrize("size", [0, 1, 100, (1 << 16) + 1, 9 << 20])
async def test_bytes_come_back_as_they_were_set(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(size + 64)
        tensor = record(buffer, size, at=32)
        await client.set_tensor(tensor, data)
        assert bytes(await client.get_tensor(tensor, 0, size)) == data.tobytes()


async def test_parts_of_a_tensor_are_set_and_read_by_offset() -> None:
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(16)
        tensor = record(buffer, 16)
        await buffer.clear(0xAA)
        await client.set_tensor(tensor, b"abcd", offset=4)
        await client.memset_tensor(tensor, 6, 4, 0x21)
        assert bytes(await client.get_tensor(tensor, 2, 10)) == b"\xaa\xaaab!!!!\xaa\xaa"


async def test_fresh_memory_shows_nothing_of_another_client() -> None:
    async with running() as node:
        async with connect(node.endpoint) as first:
            buffer = await first.devices[0].allocate(1000)
            await buffer.clear(7)
            await first.barrier()
        async with connect(node.endpoint) as second:
            buffer = await second.devices[0].allocate(1000)
            assert bytes(await second.get_tensor(record(buffer, 1000), 0, 1000)) == bytes(1000)


async def test_copy_is_answered_also_for_nothing_at_the_end_of_a_buffer() -> None:
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(8)
        await client.set_tensor(record(buffer, 4), b"wxyz")
        assert await client.copy_tensor(record(buffer, 4), record(buffer, 4, at=4))
        assert await client.copy_tensor(record(buffer, 0, at=8), record(buffer, 0, at=8))
        assert bytes(await client.get_tensor(record(buffer, 8), 0, 8)) == b"wxyzwxyz"


async def test_more_memory_than_there_is_is_an_answer_not_an_end() -> None:
    async with running() as node, connect(node.endpoint) as client:
        for size in (node.device.capacity + 1, 1 << 60, (1 << 64) - 1):
            with pytest.raises(OutOfMemory, match=str(size)):
                await client.devices[0].allocate(size)
        await client.barrier()


async def test_buffers_are_bounded_in_number() -> None:
    async with running(limits=Limits(buffers=2)) as node, connect(node.endpoint) as client:
        first = await client.devices[0].allocate(10)
        await client.devices[0].allocate(10)
        with pytest.raises(OutOfMemory):
            await client.devices[0].allocate(10)
        await first.free()
        await client.devices[0].allocate(10)


async def test_alloc_size_is_the_plain_byte_size() -> None:
    async with running() as node, connect(node.endpoint) as client:
        tensor = record(None, 0, type=0, ne=(64, 64, 1, 1), nb=(4, 256, 16384, 16384), op=29)
        assert await client.devices[0].alloc_size(tensor) == 16384


async def test_a_graph_computes_and_recomputes_with_new_inputs() -> None:
    async with running() as node, connect(node.endpoint) as client:
        graph = await sum_graph(client)
        await graph.set(1, 10)
        await graph.compute()
        assert await graph.get() == [11.0] * 4
        await graph.set(2, 20)
        await graph.recompute()
        assert await graph.get() == [22.0] * 4


async def test_the_same_graph_is_compiled_once() -> None:
    async with running() as node, connect(node.endpoint) as client:
        graph, other = await sum_graph(client), await sum_graph(client, length=8)
        for _ in range(3):
            await client.devices[0].compute(graph.nodes, graph.records)
            await client.devices[0].compute(other.nodes, other.records)
        await client.barrier()
        assert node.device.compiled == 2
        assert [event.fresh for event in node.trace.of(GraphRan)] == [True, True, False, False, False, False]


async def test_programs_are_bounded_and_the_last_is_kept() -> None:
    async with running(limits=Limits(programs=2)) as node, connect(node.endpoint) as client:
        graphs = [await sum_graph(client, length) for length in (4, 5, 6)]
        for graph in (*graphs, graphs[0]):
            await graph.set(1, 2)
            await graph.compute()
        await graphs[0].recompute()
        assert await graphs[0].get() == [3.0] * 4
        assert node.device.compiled == 4


async def test_recompute_works_after_freeing_an_unrelated_buffer() -> None:
    async with running() as node, connect(node.endpoint) as client:
        unrelated = await client.devices[0].allocate(100)
        graph = await sum_graph(client)
        await graph.set(1, 2)
        await graph.compute()
        await unrelated.free()
        await graph.recompute()
        assert await graph.get() == [3.0] * 4


async def test_a_disconnect_frees_everything() -> None:
    async with running() as node:
        async with connect(node.endpoint) as client:
            graph = await sum_graph(client)
            await client.devices[0].compute(graph.nodes, graph.records)
            await client.devices[0].allocate(1 << 20)
            await client.barrier()
            assert node.device.used > 1 << 20
        await node.trace.seen(ConnectionClosed)
        assert node.device.used == 0


async def test_a_burst_of_messages_without_replies_takes_effect_in_order() -> None:
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(1000)
        tensor = record(buffer, 1000)
        for index in range(1000):
            await client.set_tensor(tensor, bytes([index & 0xFF]) * (1000 - index))
        expected = bytes([index & 0xFF for index in range(999, -1, -1)])
        assert bytes(await client.get_tensor(tensor, 0, 1000)) == expected


async def test_clients_compute_in_turn_and_keep_their_own_bytes() -> None:
    async with running() as node:

        async def work(seed: int) -> None:
            async with connect(node.endpoint) as client:
                graph = await sum_graph(client, length=64)
                for step in range(20):
                    await graph.set(seed, step)
                    await client.devices[0].compute(graph.nodes, graph.records)
                    assert await graph.get() == [float(seed + step)] * 64

        async with trio.open_nursery() as nursery:
            for seed in range(5):
                nursery.start_soon(work, 100 * seed)
        assert node.device.most_in_run == 1
        assert not node.trace.of(ConnectionRefused)


async def test_a_client_that_leaves_during_its_graph_stops_it() -> None:
    async with running() as node, connect(node.endpoint) as bystander:
        node.device.hold.clear()
        async with connect(node.endpoint) as client:
            graph = await sum_graph(client)
            await client.devices[0].compute(graph.nodes, graph.records)
            await trio.to_thread.run_sync(node.device.running.wait, PATIENCE)
        await node.trace.seen(ConnectionClosed)
        assert node.device.stopped == 1
        assert node.device.used == 0
        node.device.hold.set()
        graph = await sum_graph(bystander)
        await graph.set(1, 1)
        await bystander.devices[0].compute(graph.nodes, graph.records)
        assert await graph.get() == [2.0] * 4


async def test_a_killed_client_stops_its_graph_although_more_of_it_is_buffered() -> None:
    async with running(limits=Limits(read_ahead=4096)) as node:
        node.device.hold.clear()
        peer = Peer(await node.stream())
        async with connect(node.endpoint) as client:
            graph = await sum_graph(client)
            await client.devices[0].compute(graph.nodes, graph.records)
            for _ in range(100):
                await graph.set(1, 2)
            await trio.to_thread.run_sync(node.device.running.wait, PATIENCE)
        await node.trace.until(lambda event: isinstance(event, ConnectionClosed) and "graph ran" in event.note)
        assert node.device.stopped == 1
        assert node.device.used == 0
        await peer.say(wire.Hello())
        assert len(await peer.hear(36)) == 36


async def test_a_client_that_leaves_while_it_waits_for_its_turn_leaves_the_queue() -> None:
    async with running() as node, connect(node.endpoint) as first:
        node.device.hold.clear()
        graph = await sum_graph(first)
        await graph.set(3, 4)
        await first.devices[0].compute(graph.nodes, graph.records)
        await trio.to_thread.run_sync(node.device.running.wait, PATIENCE)
        async with connect(node.endpoint) as second:
            waiting = await sum_graph(second)
            await second.devices[0].compute(waiting.nodes, waiting.records)
        await node.trace.seen(ConnectionClosed)
        assert node.device.runs == 1
        node.device.hold.set()
        assert await graph.get() == [7.0] * 4


async def test_ending_the_server_stops_running_graphs_and_frees_everything() -> None:
    device = FakeDevice()
    device.hold.clear()
    async with running(device) as node, connect(node.endpoint) as client:
        graph = await sum_graph(client)
        await client.devices[0].compute(graph.nodes, graph.records)
        await trio.to_thread.run_sync(device.running.wait, PATIENCE)
        node.scope.cancel()
    assert device.stopped == 1
    assert device.used == 0


async def test_a_fault_of_the_device_ends_one_connection_only() -> None:
    class Faulty(FakeDevice):
        def compile(self, *arguments: object) -> object:  # type: ignore[override]
            raise ZeroDivisionError("a bug")

    async with running(Faulty()) as node, connect(node.endpoint) as bystander:
        async with connect(node.endpoint) as client:
            graph = await sum_graph(client)
            await client.devices[0].compute(graph.nodes, graph.records)
            with pytest.raises(NodeClosed, match="GRAPH_COMPUTE or DEVICE_COUNT"):
                await client.barrier()
        await node.trace.seen(ConnectionFailed)
        assert "ZeroDivisionError" in node.trace.of(ConnectionFailed)[0].report
        await bystander.barrier()


async def test_connections_are_bounded() -> None:
    async with running(limits=Limits(connections=1)) as node, connect(node.endpoint) as client:
        assert await Peer(await node.stream()).end() == b""
        await client.barrier()


async def test_a_peer_that_never_says_hello_is_closed() -> None:
    async with running(limits=Limits(hello_timeout=0.02)) as node:
        assert await Peer(await node.stream()).end() == b""


async def test_silence_inside_a_message_ends_and_between_messages_does_not() -> None:
    async with running(limits=Limits(message_timeout=0.02)) as node:
        peer, idle = Peer(await node.stream()), Peer(await node.stream())
        await idle.say(wire.Hello())
        assert len(await idle.hear(36)) == 36
        await peer.say(wire.Hello(), b"\x00\x0c")
        assert len(await peer.end()) == 36
        await idle.say(wire.DeviceCount())
        assert len(await idle.hear(12)) == 12


async def test_a_peer_that_takes_in_no_reply_is_closed() -> None:
    async with running(limits=Limits(send_timeout=0.02)) as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(64 << 20)
        await client.channel.push(wire.GetTensor(record(buffer, 64 << 20), 0, 64 << 20))
        await node.trace.until(lambda event: isinstance(event, ConnectionClosed) and "silent" in event.note)
        assert node.device.used == 0
