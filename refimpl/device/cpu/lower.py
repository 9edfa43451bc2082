"""From a checked graph to a program: nodes in execution order become steps, one after the other.

A product with quantised weights needs its activations as Q8 blocks. They are made once for all products that follow
with the same activations, as long as nobody writes to those, and kept in one of two places in turn, so that making
the next ones need not wait for those who still read the last.
"""

import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu.memory import ALIGNMENT, CpuAllocation, CpuMemory
from refimpl.device.cpu.plan import Footprint, PlannedStep, Range, records
from refimpl.device.cpu.program import CpuProgram, Product, Workspace
from refimpl.device.cpu.select import PRODUCTS, Choice, Node, choose
from refimpl.device.cpu.weights import Weight, packable
from refimpl.errors import OutOfMemory
from refimpl.graph.checked import ABSENT, CheckedGraph
from refimpl.kernels.cpu.matmul.activations import quantise_q8
from refimpl.kernels.cpu.matmul.layout import ACTIVATION, BLOCK
from refimpl.kernels.cpu.step import SOURCES
from spec.names import Op, Type

__all__ = ["lower"]

PLACES = 2
SMALL = 32 << 10
"""bytes of operands up to which a step is done by one thread sooner than two threads can meet"""
CHECKS_INDICES = (Op.GET_ROWS, Op.SET_ROWS)
"""ops that can find a fault"""


def lower(graph: CheckedGraph, allocations: Sequence[CpuAllocation], memory: CpuMemory) -> CpuProgram:
    """Compile; `allocations` in the order of `graph.handles`.

    Raises UnsupportedError where no kernel exists, OutOfMemory where there is no room for activations.
    """
    return _Lowering(graph, allocations, memory).program()


class _Lowering:
    def __init__(self, graph: CheckedGraph, allocations: Sequence[CpuAllocation], memory: CpuMemory) -> None:
        self.graph = graph
        self.allocations = allocations
        self.memory = memory
        table = graph.tensors
        bases = np.array([allocation.address for allocation in allocations] + [0], np.int64)
        self.addresses: NDArray[np.int64] = np.where(table.buffer == ABSENT, 0, bases[table.buffer] + table.offset)
        self.first = self.addresses.tolist()
        self.last = (self.addresses + table.nbytes).tolist()
        self.ne = table.ne.tolist()
        self.nb = table.nb.tolist()
        self.types = table.type.tolist()
        self.steps: list[PlannedStep] = []
        self.products: list[Product] = []
        self.weights, self.touched = packable(table, graph.nodes, allocations)
        self.activations = _Activations(self._workspace())

    def program(self) -> CpuProgram:
        graph = self.graph
        sources = graph.tensors.src[graph.nodes].tolist()
        ops = graph.tensors.op[graph.nodes].tolist()
        labels = {}
        for index, op, operands in zip(graph.nodes.tolist(), ops, sources, strict=True):
            node = self._node(Op(op), index, operands)
            if node.op == Op.MUL_MAT and node.types[0] in PRODUCTS and node.types[1] == Type.F32:
                self._product(node)
            else:
                self._add(node, choose(node, graph.label))
            if node.op in CHECKS_INDICES:
                labels[index] = graph.label(index)
            self.activations.written((self.first[index], self.last[index]))
        scratch = max((step.scratch for step in self.steps), default=0)
        if scratch > self.memory.state().free:
            raise OutOfMemory(f"{scratch} bytes of scratch for each thread")
        return CpuProgram(
            handles=frozenset(graph.handles),
            steps=records(self.steps, graph.tensors, self.addresses, [self._footprint(step) for step in self.steps]),
            scratch=scratch,
            labels=labels,
            products=self.products,
            touched=self.touched,
            workspace=self.activations.workspace,
        )

    def _node(self, op: Op, index: int, operands: Sequence[int]) -> Node:
        used = tuple(operands[:SOURCES])
        while used and used[-1] == ABSENT:
            used = used[:-1]
        return Node(
            op=op,
            index=index,
            sources=used,
            types=tuple(None if source == ABSENT else Type(self.types[source]) for source in used),
            shapes=tuple(() if source == ABSENT else tuple(self.ne[source]) for source in used),
            dst_type=Type(self.types[index]),
            dst_shape=tuple(self.ne[index]),
            params=self.graph.tensors.params[index],
        )

    def _add(self, node: Node, choice: Choice) -> None:
        self.steps.append(
            PlannedStep(choice.kernel, node.index, node.index, node.sources, choice.extra, choice.scratch)
        )

    def _product(self, node: Node) -> None:
        """The activations of a product with quantised weights, if they are not there yet, and the product."""
        weights, x = node.sources[0], node.sources[1]
        place, fresh = self.activations.place(self._key(x), _activation_bytes(self.ne[x]), self._range(x))
        if fresh:
            self.steps.append(PlannedStep(quantise_q8, node.index, ABSENT, (x,), extra=(place[0],), writes=(place,)))
        kernels = PRODUCTS[Type(self.types[weights])]
        weight: Weight | None = self.weights.get(weights)
        if weight is not None:
            self.products.append(Product(len(self.steps), weight, kernels.packed, kernels.plain))
        self.steps.append(
            PlannedStep(kernels.plain, node.index, node.index, (weights, x), extra=(place[0],), reads=(place,))
        )

    def _key(self, x: int) -> tuple[int, ...]:
        return (self.first[x], *self.ne[x], *self.nb[x])

    def _range(self, tensor: int) -> Range:
        return self.first[tensor], self.last[tensor]

    def _footprint(self, step: PlannedStep) -> Footprint:
        reads = [*step.reads, *(self._range(source) for source in step.sources if source != ABSENT)]
        writes = [*step.writes, *([] if step.dst == ABSENT else [self._range(step.dst)])]
        touched = sum(end - start for start, end in (*reads, *writes))
        return Footprint(reads, writes, solo=touched <= SMALL)

    def _workspace(self) -> Workspace:
        """Room for the largest activations, as often as there are places."""
        table, nodes = self.graph.tensors, self.graph.nodes
        products = nodes[(table.op[nodes] == Op.MUL_MAT) & np.isin(table.type[table.src[nodes, 0]], list(PRODUCTS))]
        sizes = [_activation_bytes(self.ne[x]) for x in np.unique(table.src[products, 1]).tolist()]
        allocation = self.memory.allocate(PLACES * max(sizes, default=0))
        workspace = Workspace(allocation)
        weakref.finalize(workspace, self.memory.release, allocation)
        return workspace


def _activation_bytes(ne: Sequence[int]) -> int:
    blocks = ne[0] // BLOCK * ne[1] * ne[2] * ne[3]
    return -(-blocks * ACTIVATION // ALIGNMENT) * ALIGNMENT


class _Activations:
    """Which Q8 activations lie where in the workspace while the steps are being planned."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._each = workspace.allocation.size // PLACES
        self._held: list[tuple[tuple[int, ...], Range] | None] = [None] * PLACES
        self._next = 0

    def place(self, key: tuple[int, ...], size: int, source: Range) -> tuple[Range, bool]:
        """Where the activations made of the tensor `key` lie, and whether they have yet to be made there."""
        for number, held in enumerate(self._held):
            if held is not None and held[0] == key:
                return self._range(number, size), False
        number = self._next
        self._next = (number + 1) % PLACES
        self._held[number] = key, source
        return self._range(number, size), True

    def written(self, changed: Range) -> None:
        """Forget what was made of bytes that have changed since."""
        for number, held in enumerate(self._held):
            if held is not None and held[1][0] < changed[1] and changed[0] < held[1][1]:
                self._held[number] = None

    def _range(self, number: int, size: int) -> Range:
        start = self.workspace.allocation.address + number * self._each
        return start, start + size
