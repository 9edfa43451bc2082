"""A device that computes everything with the kernels' oracle: slow, right by definition, no compiled code.

What stands above a device is tested on it without waiting for a compiler, and held to the definition of every op.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from refimpl.device.protocol import Allocation, Program, Run, StopWord
from refimpl.errors import ComputeStopped
from refimpl.graph.checked import ABSENT, CheckedGraph
from refimpl.kernels.cases.build import store
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.evaluate import evaluate
from refimpl.tests.fake_device import FakeAllocation, FakeDevice, FakeProgram, FakeStop
from spec.names import Op, Type

__all__ = ["OracleDevice"]


class OracleDevice(FakeDevice):
    """See refimpl.device.protocol.Device; `hold` and the counts work as in FakeDevice, once per run."""

    def compile(self, graph: CheckedGraph, allocations: Mapping[int, Allocation]) -> Program:
        self.compiled += 1
        own: dict[int, FakeAllocation] = {}
        for handle, allocation in allocations.items():
            assert isinstance(allocation, FakeAllocation)
            own[handle] = allocation
        return FakeProgram(frozenset(graph.handles), 64 * len(graph.nodes), graph, own)

    def begin(self, program: Program, stop: StopWord) -> Run | None:
        return None

    def run(self, program: Program, stop: StopWord) -> None:
        assert isinstance(program, FakeProgram)
        assert isinstance(stop, FakeStop)
        self.runs += 1
        self.running.set()
        while not self.hold.is_set():
            if stop.event.wait(0.001):
                self.stopped += 1
                raise ComputeStopped("stop word set")
        for node in program.graph.nodes:
            case = _case(program, int(node))
            store(case.dst, evaluate(case))


def _case(program: FakeProgram, node: int) -> Case:
    tensors = program.graph.tensors
    sources = [int(source) for source in tensors.src[node]]
    while sources and sources[-1] == ABSENT:
        sources.pop()
    return Case(
        op=Op(int(tensors.op[node])),
        srcs=tuple(None if source == ABSENT else _operand(program, source) for source in sources),
        dst=_operand(program, node),
        params=np.asarray(tensors.params[node], np.int32),
    )


def _operand(program: FakeProgram, index: int) -> Operand:
    tensors = program.graph.tensors
    handle = program.graph.handles[tensors.buffer[index]]
    data: NDArray[np.uint8] = np.frombuffer(program.allocations[handle].data, np.uint8)
    ne, nb = tensors.ne[index].tolist(), tensors.nb[index].tolist()
    kind = Type(int(tensors.type[index]))
    return Operand(data, kind, tuple(ne), tuple(nb), int(tensors.offset[index]))
