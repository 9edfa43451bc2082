"""The CPU device as a backend of the kernel contract: a case becomes a graph of one node over the case's own bytes."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu import CpuDevice
from refimpl.device.cpu.memory import CpuAllocation
from refimpl.graph.checked import ABSENT, CheckedGraph, TensorTable
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.views import byte_index
from spec.names import Op, TensorFlag

__all__ = ["run_case"]

SOURCES = 10


class _Borrowed(CpuAllocation):
    """An allocation over an array that somebody else owns."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        super().__init__(None, 0, data.size)
        self.address = data.ctypes.data
        self._data = data

    def view(self, offset: int, size: int) -> memoryview:
        return self._data.data[offset : offset + size]


@cache
def device(threads: int) -> CpuDevice:
    return CpuDevice(threads)


def run_case(case: Case, threads: int) -> None:
    """A contract.Backend. Empty nodes are none that a graph would run."""
    operands = [case.dst, *(source for source in case.srcs if source is not None)]
    if any(0 in operand.ne for operand in operands):
        return
    arrays = list({id(operand.data): operand.data for operand in operands}.values())
    allocations = {number: _Borrowed(data) for number, data in enumerate(arrays)}
    graph = _graph(case, operands, arrays)
    chosen = device(threads)
    try:
        chosen.run(chosen.compile(graph, allocations), chosen.new_stop_word())
    finally:
        for allocation in allocations.values():
            chosen.read(allocation, 0, allocation.size)  # weights lie as they were sent again


def _graph(case: Case, operands: list[Operand], arrays: list[NDArray[np.uint8]]) -> CheckedGraph:
    count = len(operands)
    src = np.full((count, SOURCES), ABSENT, np.int32)
    present = [slot for slot, source in enumerate(case.srcs) if source is not None]
    src[0, present] = np.arange(1, count)
    op = np.full(count, int(Op.NONE), np.int32)
    op[0] = case.op
    params = np.zeros((count, 16), np.int32)
    params[0] = case.params
    places = {id(data): number for number, data in enumerate(arrays)}
    index = [byte_index(operand) for operand in operands]
    table = TensorTable(
        type=np.array([operand.type for operand in operands], np.int32),
        ne=np.array([operand.ne for operand in operands], np.int64),
        nb=np.array([operand.nb for operand in operands], np.int64),
        nbytes=np.array([at.max() - at.min() + 1 for at in index], np.int64),
        buffer=np.array([places[id(operand.data)] for operand in operands], np.int64),
        offset=np.array([operand.offset for operand in operands], np.int64),
        op=op,
        params=params,
        flags=np.full(count, int(TensorFlag.COMPUTE), np.int32),
        src=src,
        view_src=np.full(count, ABSENT, np.int32),
        use_count=np.ones(count, np.int32),
        name=np.full(count, case.op.name.encode(), "S64"),
    )
    return CheckedGraph(tensors=table, nodes=np.zeros(1, np.int32), handles=tuple(range(len(arrays))))
