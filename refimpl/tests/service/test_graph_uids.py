"""Which graph GRAPH_RECOMPUTE means: since 8.0.0 the one of its uid, before the last one."""

import numpy as np
import pytest

from refimpl.errors import GraphError, NodeClosed
from refimpl.limits import Limits
from refimpl.service.bounds.shared import Shared
from refimpl.service.client import RemoteNode, connect
from refimpl.service.programs import Programs
from refimpl.tests.fake_device import FakeProgram
from refimpl.tests.service.harness import Sum, running, sum_graph
from refimpl.trace import ConnectionRefused, GraphRan
from refimpl.wire.messages import GraphCompute
from refimpl.wire.tensor import RPC_TENSOR
from spec.load import load

UIDS = load().dialect("8.0.0").constant("GRAPHS_PER_DEVICE")


async def sums(node: RemoteNode, *lengths: int) -> list[Sum]:
    """Graphs of these lengths with x = 1 and y = their length."""
    graphs = [await sum_graph(node, length) for length in lengths]
    for graph in graphs:
        await graph.set(1, graph.length)
    return graphs


async def test_graphs_take_turns_without_being_sent_again() -> None:
    async with running() as node, connect(node.endpoint) as client:
        first, second = await sums(client, 4, 5)
        await first.compute(7)
        await second.compute((1 << 64) - 1)
        for step in range(3):
            await first.set(step, 10)
            await first.recompute(7)
            await second.set(step, 20)
            await second.recompute((1 << 64) - 1)
            assert await first.get() == [step + 10.0] * 4
            assert await second.get() == [step + 20.0] * 5
        assert node.device.compiled == 2


async def test_a_uid_that_is_used_again_means_the_new_graph() -> None:
    async with running() as node, connect(node.endpoint) as client:
        first, second = await sums(client, 4, 5)
        await first.compute(1)
        await second.compute(1)
        await second.set(2, 2)
        await first.set(3, 3)
        await second.recompute(1)
        assert await second.get() == [4.0] * 5
        assert await first.get() == [5.0] * 4


async def test_a_graph_of_another_uid_is_not_compiled_again() -> None:
    async with running() as node, connect(node.endpoint) as client:
        (graph,) = await sums(client, 4)
        for uid in (1, 2, 0):
            await graph.compute(uid)
        await graph.recompute(1)
        await graph.recompute(2)
        assert await graph.get() == [5.0] * 4
        assert [event.fresh for event in node.trace.of(GraphRan)] == [True, False, False, False, False]


@pytest.mark.parametrize(("sent", "asked"), [(1, 2), (1, 0), (0, 0), (0, 1)])
async def test_what_was_not_remembered_is_refused(sent: int, asked: int) -> None:
    async with running() as node, connect(node.endpoint) as client:
        (graph,) = await sums(client, 4)
        await graph.compute(sent)
        await graph.recompute(asked)
        assert (await node.trace.seen(ConnectionRefused)).clause == "GRAPH-23"


async def test_a_graph_that_lost_its_program_is_compiled_again_from_what_is_remembered() -> None:
    async with running(limits=Limits(programs=2)) as node, connect(node.endpoint) as client:
        graphs = await sums(client, 4, 5, 6, 7)
        for uid, graph in enumerate(graphs, start=1):
            await graph.compute(uid)
        await graphs[0].set(20, 3)
        await graphs[0].recompute(1)
        assert await graphs[0].get() == [23.0] * 4
        assert node.device.compiled == 5
        assert [event.fresh for event in node.trace.of(GraphRan)] == [True] * 5


async def test_freeing_a_buffer_forgets_the_graphs_that_use_it_asleep_or_awake() -> None:
    for programs in (1, 8):
        async with running(limits=Limits(programs=programs)) as node, connect(node.endpoint) as client:
            first, second = await sums(client, 4, 5)
            await first.compute(1)
            await second.compute(2)
            await first.buffer.free()
            await second.recompute(2)
            assert await second.get() == [6.0] * 5
            await first.recompute(1)
            refused = await node.trace.seen(ConnectionRefused)
            assert refused.clause == "GRAPH-23"
            assert "freed" in refused.detail


async def test_what_there_was_no_room_to_remember_is_refused_by_name() -> None:
    async with running(limits=Limits(programs=1, sleeping_bytes=0)) as node, connect(node.endpoint) as client:
        first, second = await sums(client, 4, 5)
        await first.compute(1)
        await second.compute(2)
        await first.recompute(1)
        refused = await node.trace.seen(ConnectionRefused)
        assert (refused.clause, "limits.sleeping_bytes" in refused.detail) == ("GRAPH-34", True)


@pytest.mark.parametrize("freed", [False, True])
async def test_the_set_is_emptied_when_a_new_uid_finds_it_full(freed: bool) -> None:
    """Uids count although a freed buffer made their graph forgotten: the client counts them too."""
    async with running() as node, connect(node.endpoint) as client:
        graph, other = await sums(client, 4, 5)
        await other.compute(1)
        if freed:
            await other.buffer.free()
        for uid in range(2, UIDS + 1):
            await graph.compute(uid)
        await graph.compute(2)
        await graph.recompute(UIDS)
        assert await graph.get() == [5.0] * 4
        await graph.compute(UIDS + 1)
        await graph.recompute(UIDS + 1)
        assert await graph.get() == [5.0] * 4
        await graph.recompute(2)
        with pytest.raises(NodeClosed):
            await graph.get()
        assert (await node.trace.seen(ConnectionRefused)).clause == "GRAPH-23"


async def test_without_uids_the_last_graph_is_run_again() -> None:
    async with running(proto="7.0.0") as node, connect(node.endpoint, dialect="7.0.0") as client:
        first, second = await sums(client, 4, 5)
        await first.compute(0)
        await second.compute(0)
        await second.set(10, 10)
        await second.recompute(0)
        assert await second.get() == [20.0] * 5
        await second.buffer.free()
        await second.recompute(0)
        assert (await node.trace.seen(ConnectionRefused)).clause == "GRAPH-23"


async def test_without_uids_the_last_graph_survives_the_want_of_room() -> None:
    limits = Limits(programs=1, program_bytes=0)
    async with running(limits=limits, proto="7.0.0") as node, connect(node.endpoint, dialect="7.0.0") as client:
        (graph,) = await sums(client, 4)
        await graph.compute(0)
        await graph.recompute(0)
        assert await graph.get() == [5.0] * 4
        assert node.device.compiled == 1


def message(uid: int, tensors: int) -> GraphCompute:
    """A graph of that many records of random bytes, with the body that carried it."""
    raw = np.random.default_rng(tensors).bytes(tensors * RPC_TENSOR.itemsize)
    return GraphCompute(0, uid, np.zeros(0, np.uint64), np.frombuffer(raw, RPC_TENSOR), raw)


def program(handle: int) -> FakeProgram:
    return FakeProgram(frozenset([handle]), 64, None, {})  # type: ignore[arg-type]


async def test_memory_is_bounded_whatever_is_remembered() -> None:
    limits = Limits(programs=2, sleeping_bytes=40 * RPC_TENSOR.itemsize)
    programs = Programs(limits, UIDS, Shared.of(limits))
    for uid in range(1, 101):
        programs.add(message(uid, 1 + uid % 10), program(uid))
        await programs.settle()
    assert len(programs) == 2
    asleep = [programs.body(programs.recall(0, uid)) for uid in range(99) if remembered(programs, uid)]
    assert 0 < sum(map(len, asleep)) <= limits.sleeping_bytes
    programs.drop(99)
    programs.clear()
    assert len(programs) == 0


def remembered(programs: Programs, uid: int) -> bool:
    try:
        programs.recall(0, uid)
    except GraphError:
        return False
    return True
