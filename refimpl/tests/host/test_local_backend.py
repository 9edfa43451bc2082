"""The local CPU as a backend: the same steps as a node's, and runs that end when nobody waits for them any more."""

import gc
from collections.abc import Mapping
from weakref import WeakSet

import numpy as np
import pytest
import trio

from refimpl.device.protocol import Allocation, Program, StopWord
from refimpl.errors import ComputeFault, OutOfMemory
from refimpl.graph.checked import CheckedGraph
from refimpl.host.backends.local import LocalBackend
from refimpl.limits import Limits
from refimpl.tests.fake_device import FakeDevice
from refimpl.tests.host.test_remote_backend import BYTES, N, doubling


async def test_a_step_computes_and_its_program_is_kept() -> None:
    device = FakeDevice()
    backend = LocalBackend(device, Limits())
    work = doubling(await backend.allocate(2 * BYTES, "computing"))
    for factor in (1.0, 3.0):
        x = np.arange(N, dtype=np.float32) * np.float32(factor)
        assert np.frombuffer(await backend.step(work, x.tobytes()), np.float32).tolist() == (2 * x + 1).tolist()
    assert (device.compiled, device.runs) == (1, 2)


class CountedDevice(FakeDevice):
    """Knows which of its programs still exist."""

    def compile(self, graph: CheckedGraph, allocations: Mapping[int, Allocation]) -> Program:
        program = super().compile(graph, allocations)
        self.programs: WeakSet[Program] = getattr(self, "programs", WeakSet())
        self.programs.add(program)
        return program


async def test_a_program_lives_as_long_as_its_work() -> None:
    device = CountedDevice()
    backend = LocalBackend(device, Limits())
    block = await backend.allocate(2 * BYTES, "computing")
    works = [doubling(block) for _ in range(20)]
    for work in (*works, *works):
        await backend.step(work, bytes(BYTES))
    assert (device.compiled, len(device.programs)) == (20, 20)
    del work, works[1:]
    gc.collect()
    assert len(device.programs) == 1


async def test_freed_memory_is_given_back() -> None:
    device = FakeDevice()
    backend = LocalBackend(device, Limits())
    block = await backend.allocate(2 * BYTES, "computing")
    await backend.step(doubling(block), bytes(BYTES))
    await backend.free(block)
    assert device.used == 0


async def test_too_little_memory_names_purpose_and_sizes() -> None:
    backend = LocalBackend(FakeDevice(capacity=3 << 20), Limits())
    with pytest.raises(OutOfMemory, match=r"CPU: 4\.0 MiB for weights asked, 3\.0 MiB free.*-c"):
        await backend.allocate(4 << 20, "weights")


async def test_cancelling_a_step_stops_the_run() -> None:
    device = FakeDevice()
    device.hold.clear()
    backend = LocalBackend(device, Limits())
    work = doubling(await backend.allocate(2 * BYTES, "computing"))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(backend.step, work, bytes(BYTES))
            await trio.to_thread.run_sync(device.running.wait)
            scope.cancel()
    assert scope.cancelled_caught
    assert (device.stopped, device.in_run) == (1, 0)


class FaultyDevice(FakeDevice):
    def run(self, program: Program, stop: StopWord) -> None:
        raise ComputeFault("GRAPH-20", "row 7 of 4")


async def test_a_fault_of_a_run_arrives_as_it_is() -> None:
    backend = LocalBackend(FaultyDevice(), Limits())
    work = doubling(await backend.allocate(2 * BYTES, "computing"))
    with pytest.raises(ComputeFault, match="row 7 of 4"):
        await backend.step(work, bytes(BYTES))
