"""Turns: a client with many graphs, a long one or a large one delays another by one graph at most, and no message."""

import socket
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trio

from refimpl.device.protocol import Allocation, Program, Run, StopWord
from refimpl.graph.checked import CheckedGraph
from refimpl.service.cache.tensors import TensorCache
from refimpl.service.client import RemoteNode, connect
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.service.harness import PATIENCE, Running, record, running, sum_graph
from refimpl.trace import GraphRan
from refimpl.wire import messages as wire
from refimpl.wire.tensor import RPC_TENSOR
from spec.names import Op, Type

MANY = 10
LARGE = 32 << 20


class Stepwise(FakeDevice):
    """Each run ends when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.step = threading.Semaphore(0)

    def wait(self) -> None:
        if not self.step.acquire(timeout=PATIENCE):
            raise TimeoutError("the test has not let go")

    def run(self, program: Program, stop: StopWord) -> None:
        self.wait()
        super().run(program, stop)


class BegunRun:
    """A run without a thread of its own."""

    def __init__(self, device: Stepwise, program: Program, stop: StopWord) -> None:
        self._end, told = socket.socketpair()
        self._rest = partial(FakeDevice.run, device, program, stop)
        threading.Thread(target=self._tell, args=(device, told)).start()

    def _tell(self, device: Stepwise, told: socket.socket) -> None:
        with told:
            device.wait()
            told.send(b"over")

    def fileno(self) -> int:
        return self._end.fileno()

    def finish(self) -> None:
        self._end.close()
        self._rest()


class Beginning(Stepwise):
    """Begins its runs at once."""

    def begin(self, program: Program, stop: StopWord) -> Run:
        return BegunRun(self, program, stop)


async def all_waiting(node: Running, waiting: int, ran: int = 0) -> None:
    """So many graphs have run, another one runs, and so many clients wait for their turn."""
    (seat,) = node.server._node.seats
    with trio.fail_after(PATIENCE):
        while len(node.trace.of(GraphRan)) < ran or seat.turn.statistics().tasks_waiting < waiting:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("kind", [Stepwise, Beginning])
async def test_after_each_graph_the_device_goes_to_whoever_waits_longest(kind: type[Stepwise]) -> None:
    """Two clients send many graphs each, one behind the other without waiting; a third sends one."""
    device = kind()
    async with (
        running(device) as node,
        connect(node.endpoint) as one,
        connect(node.endpoint) as two,
        connect(node.endpoint) as late,
    ):
        for waiting, (client, count) in enumerate([(one, MANY), (two, MANY), (late, 1)]):
            graph = await sum_graph(client)
            for _ in range(count):
                await graph.compute()
            await all_waiting(node, waiting)
        for step in range(2 * MANY + 1):
            clients = 3 if step < 3 else 2 if step < 2 * MANY else 1
            await all_waiting(node, clients - 1, step)
            device.step.release()
        for client in (one, two, late):
            await client.barrier()
        order = [event.endpoint for event in node.trace.of(GraphRan)]
        first, second, third = order[:3]
        assert len({first, second, third}) == 3
        assert order[3:] == [first, second] * (MANY - 1)


class Held(FakeDevice):
    """Whose method named `slow` takes until `go` is set; `begun` says that it has begun."""

    def __init__(self, slow: str) -> None:
        super().__init__()
        self.slow = slow
        self.begun = threading.Event()
        self.go = threading.Event()

    def _wait(self, name: str) -> None:
        if name == self.slow:
            self.begun.set()
            if not self.go.wait(PATIENCE):
                raise TimeoutError("the test has not let go")

    def compile(self, graph: CheckedGraph, allocations: Mapping[int, Allocation]) -> Program:
        self._wait("compile")
        return super().compile(graph, allocations)

    def fill(self, allocation: Allocation, offset: int, size: int, value: int) -> None:
        self._wait("fill")
        super().fill(allocation, offset, size, value)

    def copy(self, src: Allocation, src_offset: int, dst: Allocation, dst_offset: int, size: int) -> None:
        self._wait("copy")
        super().copy(src, src_offset, dst, dst_offset, size)

    def release(self, allocation: Allocation) -> None:
        self._wait("release")
        super().release(allocation)

    def pending(self, allocation: Allocation, offset: int, size: int) -> int:
        return LARGE if self.slow in ("read", "writable") else 0

    def read(self, allocation: Allocation, offset: int, size: int) -> memoryview:
        self._wait("read")
        return super().read(allocation, offset, size)

    def writable(self, allocation: Allocation, offset: int, size: int) -> memoryview:
        self._wait("writable")
        return super().writable(allocation, offset, size)


def large_graph(handle: int, base: int) -> wire.GraphCompute:
    """One addition, and records that nothing needs, enough of them to be worth a thread."""
    records = np.zeros(400, RPC_TENSOR)
    records["id"] = np.arange(1, 401)
    records["type"], records["ne"], records["nb"] = Type.F32, (4, 1, 1, 1), (4, 16, 16, 16)
    records["buffer"], records["data"] = handle, base + 16 * np.arange(400) % 4096
    records["flags"][2], records["op"][2], records["src"][2, :2] = 1 << 4, Op.ADD, (1, 2)
    return wire.GraphCompute(0, 1, np.array([3], np.uint64), records, b"")


async def slow_work(client: RemoteNode, slow: str) -> None:
    """Make the node do what takes long, without waiting for it."""
    buffer = await client.devices[0].allocate(LARGE)
    tensor = record(buffer, LARGE)
    match slow:
        case "compile":
            await client.channel.push(large_graph(buffer.handle, buffer.base))
        case "fill":
            await buffer.clear(1)
        case "copy":
            await client.channel.push(wire.CopyTensor(tensor, tensor))
        case "release":
            await buffer.free()
        case "read":
            await client.channel.push(wire.GetTensor(tensor, 0, 1))
        case "writable":
            await client.set_tensor(tensor, b"x")


@pytest.fixture(params=["compile", "fill", "copy", "release", "read", "writable"])
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    device = Held(request.param)
    yield device
    device.go.set()


async def test_what_takes_long_keeps_no_other_connection_waiting(held: Held) -> None:
    async with running(held) as node, connect(node.endpoint) as busy, connect(node.endpoint) as other:
        await slow_work(busy, held.slow)
        await trio.to_thread.run_sync(held.begun.wait, PATIENCE)
        held.slow, slow = "", held.slow
        for _ in range(5):
            await other.barrier()
        graph = await sum_graph(other)
        await graph.set(1, 2)
        await graph.compute()
        assert await graph.get() == [3.0] * 4
        held.go.set()
        if slow not in ("copy", "read"):
            await busy.barrier()


async def test_what_a_disconnect_has_to_give_back_keeps_nobody_waiting() -> None:
    held = Held("release")
    async with running(held) as node, connect(node.endpoint) as other:
        async with connect(node.endpoint) as busy:
            await busy.devices[0].allocate(LARGE)
            await busy.barrier()
        await trio.to_thread.run_sync(held.begun.wait, PATIENCE)
        for _ in range(5):
            await other.barrier()
        held.go.set()


async def test_a_disk_that_hangs_keeps_no_graph_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More clients hang on the disk than threads are there for it."""
    hanging, go = threading.Semaphore(0), threading.Event()

    def hang(cache: TensorCache, data: memoryview, host: str) -> None:
        hanging.release()
        go.wait(PATIENCE)

    monkeypatch.setattr(TensorCache, "store", hang)
    async with running(cache=TensorCache(tmp_path)) as node, trio.open_nursery() as nursery:
        leave = trio.Event()

        async def uploads() -> None:
            async with connect(node.endpoint) as client:
                buffer = await client.devices[0].allocate(10)
                await client.set_tensor(record(buffer, 10), bytes(10), cache=True)
                await leave.wait()

        for _ in range(50):
            nursery.start_soon(uploads)
        await trio.to_thread.run_sync(hanging.acquire)
        async with connect(node.endpoint) as client:
            graph = await sum_graph(client)
            await graph.set(1, 2)
            await graph.compute()
            assert await graph.get() == [3.0] * 4
            await client.channel.push(large_graph(graph.buffer.handle, graph.buffer.base))
        go.set()
        leave.set()
