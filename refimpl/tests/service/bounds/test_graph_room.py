"""Room for graphs of all connections: who has most gives way, who has little never pays."""

from collections.abc import Mapping

import numpy as np
import pytest

from refimpl.device.protocol import Allocation
from refimpl.errors import OutOfMemory
from refimpl.graph.checked import CheckedGraph
from refimpl.limits import Limits
from refimpl.service.bounds.shared import Shared
from refimpl.service.client import RemoteNode, connect
from refimpl.service.programs import Graph, Programs
from refimpl.tests.fake_device import FakeDevice, FakeProgram
from refimpl.tests.service.harness import Sum, running, sum_graph
from refimpl.trace import ConnectionClosed, ConnectionRefused
from refimpl.wire.messages import GraphCompute
from refimpl.wire.tensor import RPC_TENSOR

UIDS = 1024
FREE = 1000
LIMITS = Limits(graph_memory_free=FREE, graph_memory_in_all=10_000, programs=100)


def message(uid: int) -> GraphCompute:
    """A graph of a single record, which no other is like."""
    raw = np.random.default_rng(uid).bytes(RPC_TENSOR.itemsize)
    return GraphCompute(0, uid, np.zeros(0, np.uint64), np.frombuffer(raw, RPC_TENSOR), raw)


class Client:
    """The graphs of one connection."""

    def __init__(self, shared: Shared) -> None:
        self.programs = Programs(LIMITS, UIDS, shared)
        self._uid = 0

    async def add(self, size: int) -> Graph:
        """A graph whose program takes `size` bytes, and that is in use while it asks for room."""
        self._uid += 1
        graph = self.programs.add(message(self._uid), FakeProgram(frozenset([1]), size, None, {}))  # type: ignore[arg-type]
        with self.programs.in_use(graph):
            await self.programs.settle()
        return graph


@pytest.fixture
def shared() -> Shared:
    return Shared.of(LIMITS)


async def test_who_has_most_gives_way_to_who_has_little(shared: Shared) -> None:
    greedy, modest = Client(shared), Client(shared)
    for _ in range(8):
        await greedy.add(1000)
    mine = [await modest.add(1000) for _ in range(4)]
    assert all(graph.program is not None for graph in mine)
    assert len(greedy.programs) < 8
    assert shared.graph_room.taken <= LIMITS.graph_memory_in_all


async def test_the_least_recently_used_go_first_and_can_be_woken(shared: Shared) -> None:
    greedy, modest = Client(shared), Client(shared)
    first, second, *_ = [await greedy.add(2000) for _ in range(4)]
    greedy.programs.recall(0, 1)
    await modest.add(4000)
    assert first.program is not None
    assert second.program is None
    assert greedy.programs.body(second) == message(2).body


async def test_a_graph_in_use_stays_and_the_new_one_is_refused_by_name(shared: Shared) -> None:
    busy, late = Client(shared), Client(shared)
    graph = await busy.add(8000)
    with busy.programs.in_use(graph):
        with pytest.raises(OutOfMemory, match=r"limits\.graph_memory_in_all"):
            await late.add(9000)
        assert graph.program is not None
        late.programs.clear()
        small = Client(shared)
        assert (await small.add(FREE // 2)).program is not None
    third = Client(shared)
    assert (await third.add(9000)).program is not None
    assert graph.program is None


async def test_who_asks_for_its_share_gets_it_although_others_cannot_give(shared: Shared) -> None:
    busy, modest = Client(shared), Client(shared)
    graph = await busy.add(10_000)
    with busy.programs.in_use(graph):
        assert (await modest.add(4000)).program is not None
    assert shared.graph_room.taken > LIMITS.graph_memory_in_all
    await modest.add(100)
    assert graph.program is None
    assert shared.graph_room.taken <= LIMITS.graph_memory_in_all


async def test_what_is_free_for_each_never_counts(shared: Shared) -> None:
    clients = [Client(shared) for _ in range(100)]
    graphs = [await client.add(FREE - RPC_TENSOR.itemsize) for client in clients]
    assert shared.graph_room.taken == 0
    assert all(graph.program is not None for graph in graphs)


async def test_sleeping_graphs_count_and_are_forgotten_in_the_end(shared: Shared) -> None:
    """Records of random bytes do not pack: forty of them are over the limit."""
    greedy, modest = Client(shared), Client(shared)
    for _ in range(60):
        await greedy.add(100)
    assert shared.graph_room.taken <= LIMITS.graph_memory_in_all
    await modest.add(5000)
    assert shared.graph_room.taken <= LIMITS.graph_memory_in_all
    with pytest.raises(OutOfMemory):
        await modest.add(9500)


async def test_who_has_left_counts_no_more(shared: Shared) -> None:
    first, second = Client(shared), Client(shared)
    await first.add(9000)
    first.programs.clear()
    graph = await second.add(9000)
    assert graph.program is not None


class Fat(FakeDevice):
    """Programs that take much memory."""

    def compile(self, graph: CheckedGraph, allocations: Mapping[int, Allocation]) -> FakeProgram:
        made = super().compile(graph, allocations)
        assert isinstance(made, FakeProgram)
        return FakeProgram(made.handles, 4000, made.graph, made.allocations)


async def graphs(client: RemoteNode, count: int, length: int) -> list[Sum]:
    made = []
    for uid in range(1, count + 1):
        graph = await sum_graph(client, length + uid)
        await graph.set(uid, 1)
        await graph.compute(uid)
        made.append(graph)
    await client.barrier()
    return made


async def test_a_client_that_had_to_give_way_finds_its_graphs_again() -> None:
    async with running(Fat(), LIMITS) as node, connect(node.endpoint) as greedy, connect(node.endpoint) as modest:
        await graphs(greedy, 3, 4)
        mine = await graphs(modest, 2, 40)
        for uid, graph in enumerate(mine, start=1):
            await graph.recompute(uid)
            assert await graph.get() == [uid + 1.0] * graph.length
        await greedy.barrier()
        assert not node.trace.of(ConnectionRefused)


async def test_a_graph_for_which_there_is_never_room_costs_its_connection_only() -> None:
    limits = Limits(graph_memory_free=FREE, graph_memory_in_all=2000)
    async with running(Fat(), limits) as node, connect(node.endpoint) as client, connect(node.endpoint) as bystander:
        graph = await sum_graph(client)
        await graph.compute()
        closed = await node.trace.seen(ConnectionClosed)
        assert "limits.graph_memory_in_all" in closed.note
        await bystander.barrier()
