"""A device of a node as a backend: memory, weights, and a step that costs one round trip."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import numpy as np
import pytest

from refimpl.errors import OutOfMemory, UsageError
from refimpl.graph.define import GraphBuilder
from refimpl.host.backends.graphs import RememberedGraphs
from refimpl.host.backends.protocol import Block, Work, byte_record, tensor_record
from refimpl.host.backends.remote import RemoteBackend
from refimpl.host.nodes import NodeDevice, choose, connect_all, device_lines
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.service.harness import Running, running
from refimpl.trace import CommandTaken
from spec.names import Type

N = 8
BYTES = N * 4


@attrs.frozen
class Bench:
    node: Running
    devices: tuple[NodeDevice, ...]
    backend: RemoteBackend

    def commands(self, since: int = 0) -> list[str]:
        return [event.command for event in self.node.trace.of(CommandTaken)][since:]


@asynccontextmanager
async def bench(device: FakeDevice | None = None, proto: str = "8.0.0") -> AsyncIterator[Bench]:
    async with running(device, proto=proto) as node, AsyncExitStack() as stack:
        devices = await connect_all(stack, [node.endpoint], proto)
        yield Bench(node, devices, RemoteBackend(devices[0]))


def doubling(block: Block) -> Work:
    """y = 2 x + 1 for N numbers: x at the front of the block, y behind it."""
    b = GraphBuilder()
    x = b.leaf("x", Type.F32, (N,))
    y = b.output(b.scale(x, 2.0, 1.0))
    b.place(x, block.handle, block.base)
    b.place(y, block.handle, block.base + BYTES)
    nodes, records = b.message()
    return Work(
        nodes=nodes,
        records=records,
        inputs=byte_record(block, 0, BYTES),
        output=tensor_record(Type.F32, y.ne, block, BYTES),
        output_size=BYTES,
    )


@pytest.mark.parametrize("proto", ["7.0.0", "8.0.0"])
async def test_a_step_is_one_round_trip_and_repeats_the_graph_without_sending_it(proto: str) -> None:
    async with bench(proto=proto) as on:
        work = doubling(await on.backend.allocate(2 * BYTES, "computing"))
        x = np.arange(N, dtype=np.float32)
        before = len(on.commands())
        for factor in (1, 10):
            y = np.frombuffer(await on.backend.step(work, (x * factor).tobytes()), np.float32)
            assert y.tolist() == (2 * x * factor + 1).tolist()
        assert on.commands(before) == [
            "SET_TENSOR",
            "GRAPH_COMPUTE",
            "GET_TENSOR",
            "SET_TENSOR",
            "GRAPH_RECOMPUTE",
            "GET_TENSOR",
        ]


@pytest.mark.parametrize(("proto", "sent"), [("7.0.0", 4), ("8.0.0", 2)])
async def test_graphs_that_take_turns_are_sent_again_only_where_there_are_no_uids(proto: str, sent: int) -> None:
    async with bench(proto=proto) as on:
        block = await on.backend.allocate(2 * BYTES, "computing")
        first, second = doubling(block), doubling(block)
        before = len(on.commands())
        for work in (first, second, first, second):
            await on.backend.step(work, bytes(BYTES))
        assert on.commands(before).count("GRAPH_COMPUTE") == sent
        assert on.commands(before).count("GRAPH_RECOMPUTE") == 4 - sent


@pytest.mark.parametrize("proto", ["7.0.0", "8.0.0"])
async def test_after_a_buffer_was_freed_every_graph_is_sent_once_more(proto: str) -> None:
    async with bench(proto=proto) as on:
        other = RemoteBackend(on.devices[0])
        spare = await other.allocate(BYTES, "nothing")
        work = doubling(await on.backend.allocate(2 * BYTES, "computing"))
        before = len(on.commands())
        await on.backend.step(work, bytes(BYTES))
        await other.free(spare)
        for _ in range(2):
            await on.backend.step(work, bytes(BYTES))
        graphs = [command for command in on.commands(before) if command.startswith("GRAPH")]
        assert graphs == ["GRAPH_COMPUTE", "GRAPH_COMPUTE", "GRAPH_RECOMPUTE"]


def test_uids_are_few_and_the_least_recently_used_is_given_away() -> None:
    graphs = RememberedGraphs(3)
    works = [doubling(Block(1, 4096, 2 * BYTES)) for _ in range(4)]
    assert [graphs.uid_of(work, 0) for work in works[:3]] == [(1, False), (2, False), (3, False)]
    assert graphs.uid_of(works[0], 0) == (1, True)
    assert graphs.uid_of(works[3], 0) == (2, False)
    assert graphs.uid_of(works[1], 0) == (3, False)
    assert graphs.uid_of(works[0], 1) == (1, False)
    assert graphs.uid_of(works[3], 1) == (2, False)


async def test_weights_arrive_piece_by_piece() -> None:
    async with bench() as on:
        block = await on.backend.allocate(2 * BYTES, "weights")
        await on.backend.clear(block)
        record = tensor_record(Type.F32, (N, 1, 1, 1), block, BYTES, "w")
        await on.backend.write(record, b"\1" * 16)
        await on.backend.write(record, b"\2" * 16, 16)
        await on.backend.settle()
        (allocation,) = on.node.device.live
        assert bytes(allocation.data) == bytes(BYTES) + b"\1" * 16 + b"\2" * 16


@pytest.mark.parametrize(("type", "ne0", "asked"), [(Type.Q4_0, 576, 1), (Type.Q4_0, 1024, 0), (Type.F32, 576, 0)])
async def test_rows_that_may_need_padding_are_asked_about_once(type: Type, ne0: int, asked: int) -> None:
    async with bench() as on:
        record = tensor_record(type, (ne0, 4, 1, 1), Block(0, 0, 0), 0)
        sizes = [await on.backend.alloc_size(record) for _ in range(2)]
        assert sizes == [ne0 // (32 if type == Type.Q4_0 else 1) * (18 if type == Type.Q4_0 else 4) * 4] * 2
        assert on.commands().count("GET_ALLOC_SIZE") == asked


async def test_too_little_memory_names_device_purpose_and_sizes() -> None:
    async with bench(FakeDevice(capacity=3 << 20)) as on:
        with pytest.raises(OutOfMemory) as caught:
            await on.backend.allocate(4 << 20, "the KV cache")
        line = str(caught.value)
        for part in ("RPC0", on.node.endpoint, "4.0 MiB for the KV cache", "3.0 MiB free", "-c", "-ts"):
            assert part in line


async def test_devices_are_numbered_by_endpoint_and_listed_as_llama_cpp_does() -> None:
    async with running() as first, running() as second, AsyncExitStack() as stack:
        devices = await connect_all(stack, [second.endpoint, first.endpoint])
        assert await device_lines(devices) == [
            "Available devices:",
            f"  RPC0: {second.endpoint} (256 MiB, 256 MiB free)",
            f"  RPC1: {first.endpoint} (256 MiB, 256 MiB free)",
        ]
        assert [device.name for device in choose(devices, ["RPC1", "RPC0"])] == ["RPC1", "RPC0"]
        assert choose(devices, None) == devices
        with pytest.raises(UsageError, match="no device RPC2; known: RPC0, RPC1"):
            choose(devices, ["RPC2"])


async def test_no_devices_are_listed_as_none() -> None:
    assert await device_lines([]) == ["Available devices:", "  (none)"]
