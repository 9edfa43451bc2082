"""The CPU device: memory of this machine and compiled kernels on a number of threads.

Commands that touch bytes see weights as they were sent: what a program has packed there is unpacked first. None of
them comes while a program that uses the same allocation runs; other connections' programs may run at any time.
"""

import ctypes
import platform
import time
from collections.abc import Mapping
from pathlib import Path

import llvmlite.binding as llvm

from refimpl.device.cpu.lower import lower
from refimpl.device.cpu.memory import ALIGNMENT, CpuAllocation, CpuMemory
from refimpl.device.cpu.pool import Pool, StopFlag
from refimpl.device.cpu.program import CpuProgram, unpack
from refimpl.device.protocol import Allocation, DeviceMemory, Program, Run, StopWord
from refimpl.errors import ComputeFault, ComputeStopped, DeviceError
from refimpl.graph.checked import CheckedGraph
from refimpl.kernels.cpu.compiled import prepare
from refimpl.kernels.cpu.words import X86

__all__ = ["CpuDevice"]


class CpuDevice:
    """See refimpl.device.protocol.Device.

    limit: bytes that it gives away at most; guard: make memory errors show, at some cost: for tests.
    """

    def __init__(self, threads: int, guard: bool = False, limit: int | None = None) -> None:
        if X86 and not llvm.get_host_cpu_features().get("f16c"):
            raise DeviceError("the CPU device needs a processor that converts F16 (F16C); this one does not")
        prepare()
        self.name = "CPU"
        self.description = _processor()
        self.alignment = ALIGNMENT
        self.max_size = (1 << 64) - 1
        self._memory = CpuMemory(guard, limit)
        self._pool = Pool(threads, self._memory)

    def memory(self) -> DeviceMemory:
        return self._memory.state()

    def allocate(self, size: int) -> Allocation:
        return self._memory.allocate(size)

    def release(self, allocation: Allocation) -> None:
        self._memory.release(_own(allocation))

    def writable(self, allocation: Allocation, offset: int, size: int) -> memoryview:
        own = _own(allocation)
        _as_sent(own, offset, size)
        own.packed.written(offset, offset + size)
        return own.view(offset, size)

    def read(self, allocation: Allocation, offset: int, size: int) -> memoryview:
        own = _own(allocation)
        _as_sent(own, offset, size)
        return own.view(offset, size)

    def pending(self, allocation: Allocation, offset: int, size: int) -> int:
        return sum(region.size for region in _own(allocation).packed.overlapping(offset, offset + size))

    def copy(self, src: Allocation, src_offset: int, dst: Allocation, dst_offset: int, size: int) -> None:
        source, target = self.read(src, src_offset, size), self.writable(dst, dst_offset, size)
        if size:
            # Not by slices, which would keep the GIL for as long as it takes.
            ctypes.memmove(_address(target), _address(source), size)

    def fill(self, allocation: Allocation, offset: int, size: int, value: int) -> None:
        view = self.writable(allocation, offset, size)
        if size:
            ctypes.memset(_address(view), value, size)

    def new_stop_word(self) -> StopWord:
        return StopFlag()

    def compile(self, graph: CheckedGraph, allocations: Mapping[int, Allocation]) -> Program:
        own = [_own(allocations[handle]) for handle in graph.handles]
        return lower(graph, own, self._memory)

    def begin(self, program: Program, stop: StopWord) -> Run | None:
        own, flag = _runnable(program, stop)
        if not own.settled_at_once():
            return None
        return _CpuRun(self._pool, own, flag)

    def run(self, program: Program, stop: StopWord) -> None:
        own, flag = _runnable(program, stop)
        own.settle(self._pool)
        _CpuRun(self._pool, own, flag).finish()

    def close(self) -> None:
        self._pool.close()
        self._memory.close()


class _CpuRun:
    """See refimpl.device.protocol.Run."""

    def __init__(self, pool: Pool, program: CpuProgram, stop: StopFlag) -> None:
        self._pool, self._program, self._stop = pool, program, stop
        self._threads = program.pace.threads(pool.size)
        self._begin = time.perf_counter()
        pool.start(program.steps, program.scratch, stop, self._threads)

    def fileno(self) -> int:
        return self._pool.bell

    def finish(self) -> None:
        fault = self._pool.finish()
        self._program.pace.took(self._threads, time.perf_counter() - self._begin)
        if fault is not None:
            label = self._program.labels.get(fault.node, "")
            raise ComputeFault("GRAPH-20", f"{label}: index {fault.index} of {fault.limit} rows")
        if self._stop.is_set:
            raise ComputeStopped("the stop word was set")


def _runnable(program: Program, stop: StopWord) -> tuple[CpuProgram, StopFlag]:
    """Both, if they are of this kind of device; ComputeStopped if nothing is to be begun any more."""
    if not isinstance(program, CpuProgram) or not isinstance(stop, StopFlag):
        raise TypeError("program and stop word of another device")
    if stop.is_set:
        raise ComputeStopped("the stop word was set before the run")
    return program, stop


def _own(allocation: Allocation) -> CpuAllocation:
    if not isinstance(allocation, CpuAllocation):
        raise TypeError("an allocation of another device")
    return allocation


def _address(view: memoryview) -> int:
    """Of the first byte; the view keeps the memory alive."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def _as_sent(allocation: CpuAllocation, offset: int, size: int) -> None:
    for region in allocation.packed.overlapping(offset, offset + size):
        unpack(allocation, region)


def _processor() -> str:
    """The processor's name, as the system tells it."""
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
