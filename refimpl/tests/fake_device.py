"""A device of plain bytearrays, for tests of what stands above a device.

It computes ADD, MUL and SCALE of contiguous F32 tensors with numpy and refuses all else, as a device without that
kernel does. A test may hold a run inside `run` for as long as it likes (`hold`), learn that one has begun (`running`)
and count what lives.
"""

import threading
from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.protocol import Allocation, DeviceMemory, Program, Run, StopWord
from refimpl.errors import ComputeStopped, OutOfMemory, UnsupportedError
from refimpl.graph.checked import CheckedGraph
from spec.names import Op, Type

__all__ = ["FakeAllocation", "FakeDevice", "FakeProgram", "FakeStop"]

POLL = 0.001
"""seconds between two looks at the stop word in a held run"""


@attrs.frozen(eq=False)
class FakeAllocation:
    address: int
    size: int
    data: bytearray


class FakeStop:
    def __init__(self) -> None:
        self.event = threading.Event()

    def set(self) -> None:
        self.event.set()


@attrs.frozen(eq=False)
class FakeProgram:
    handles: frozenset[int]
    nbytes: int
    graph: CheckedGraph
    allocations: dict[int, FakeAllocation]


class FakeDevice:
    """See refimpl.device.protocol.Device."""

    def __init__(self, capacity: int = 1 << 28) -> None:
        self.name = "CPU"
        self.description = "bytes of a test"
        self.alignment = 32
        self.max_size = (1 << 64) - 1
        self.capacity = capacity
        self.live: set[FakeAllocation] = set()
        self.compiled = 0
        self.runs = 0
        self.stopped = 0
        self.in_run = 0
        self.most_in_run = 0
        self.running = threading.Event()
        self.hold = threading.Event()
        self.hold.set()
        self._next = 1 << 20

    @property
    def used(self) -> int:
        return sum(allocation.size for allocation in self.live)

    def memory(self) -> DeviceMemory:
        return DeviceMemory(free=self.capacity - self.used, total=self.capacity)

    def allocate(self, size: int) -> Allocation:
        if size > self.capacity - self.used:
            raise OutOfMemory(f"{size} bytes on a device with {self.capacity - self.used} free")
        allocation = FakeAllocation(self._next, size, bytearray(size))
        self._next += size + 4096
        self.live.add(allocation)
        return allocation

    def release(self, allocation: Allocation) -> None:
        self.live.remove(_fake(allocation))

    def writable(self, allocation: Allocation, offset: int, size: int) -> memoryview:
        return memoryview(_fake(allocation).data)[offset : offset + size]

    def read(self, allocation: Allocation, offset: int, size: int) -> memoryview:
        return memoryview(_fake(allocation).data)[offset : offset + size]

    def pending(self, allocation: Allocation, offset: int, size: int) -> int:
        return 0

    def copy(self, src: Allocation, src_offset: int, dst: Allocation, dst_offset: int, size: int) -> None:
        piece = bytes(self.read(src, src_offset, size))
        self.writable(dst, dst_offset, size)[:] = piece

    def fill(self, allocation: Allocation, offset: int, size: int, value: int) -> None:
        self.writable(allocation, offset, size)[:] = bytes([value]) * size

    def new_stop_word(self) -> StopWord:
        return FakeStop()

    def compile(self, graph: CheckedGraph, allocations: Mapping[int, Allocation]) -> Program:
        for node in graph.nodes:
            if graph.tensors.op[node] not in (Op.ADD, Op.MUL, Op.SCALE) or graph.tensors.type[node] != Type.F32:
                raise UnsupportedError("GRAPH-19", f"no kernel for {graph.label(int(node))}")
        self.compiled += 1
        own = {handle: _fake(allocation) for handle, allocation in allocations.items()}
        return FakeProgram(frozenset(graph.handles), 64 * len(graph.nodes), graph, own)

    def begin(self, program: Program, stop: StopWord) -> Run | None:
        return None

    def run(self, program: Program, stop: StopWord) -> None:
        assert isinstance(program, FakeProgram)
        assert isinstance(stop, FakeStop)
        self.runs += 1
        self.in_run += 1
        self.most_in_run = max(self.most_in_run, self.in_run)
        self.running.set()
        try:
            while not self.hold.is_set():
                if stop.event.wait(POLL):
                    self.stopped += 1
                    raise ComputeStopped("stop word set")
            for node in program.graph.nodes:
                if stop.event.is_set():
                    self.stopped += 1
                    raise ComputeStopped("stop word set")
                _execute(program, int(node))
        finally:
            self.in_run -= 1

    def close(self) -> None:
        self.live.clear()


def _fake(allocation: Allocation) -> FakeAllocation:
    assert isinstance(allocation, FakeAllocation)
    return allocation


def _values(program: FakeProgram, index: int) -> NDArray[np.float32]:
    tensors = program.graph.tensors
    data = program.allocations[program.graph.handles[tensors.buffer[index]]].data
    return np.frombuffer(data, np.float32, int(tensors.ne[index].prod()), int(tensors.offset[index]))


def _execute(program: FakeProgram, node: int) -> None:
    tensors = program.graph.tensors
    dst = _values(program, node)
    first = _values(program, int(tensors.src[node][0]))
    match tensors.op[node]:
        case Op.ADD:
            dst[:] = first + np.resize(_values(program, int(tensors.src[node][1])), dst.shape)
        case Op.MUL:
            dst[:] = first * np.resize(_values(program, int(tensors.src[node][1])), dst.shape)
        case Op.SCALE:
            scale, bias = tensors.params[node][:2].view(np.float32)
            dst[:] = first * scale + bias
