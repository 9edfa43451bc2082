"""From a checked graph to a program: nodes in execution order become steps, one after the other.

A product with quantised weights needs its activations as blocks of 8-bit quants, in a form that the weights' type
decides. They are made once for all products that follow with the same activations in the same form, as long as nobody
writes to those, and kept in one of two places in turn, so that making the next ones need not wait for those who still
read the last.

A product by experts (MUL_MAT_ID) needs a list of which slots go to which expert besides, made once for all products
that follow with the same ids; then it calls the kernel that MUL_MAT would have.
"""

import weakref
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu.choices.node import Choice, Node
from refimpl.device.cpu.choices.products import PRODUCTS, ActivationForm
from refimpl.device.cpu.memory import ALIGNMENT, CpuAllocation, CpuMemory
from refimpl.device.cpu.plan import Footprint, PlannedStep, Range, records
from refimpl.device.cpu.program import CpuProgram, Product, Workspace
from refimpl.device.cpu.select import choose
from refimpl.device.cpu.weights import Weight, packable
from refimpl.errors import OutOfMemory
from refimpl.graph.checked import ABSENT, CheckedGraph
from refimpl.kernels.cpu.matmul import experts
from refimpl.kernels.cpu.step import EXTRA, SOURCES, WORD
from spec.names import Op, Type

__all__ = ["lower"]

PLACES = 2
PRODUCT_OPS = (Op.MUL_MAT, Op.MUL_MAT_ID)
F32_BYTES = 4
CALLED = EXTRA // WORD + experts.KERNEL_WORD
"""word of a MUL_MAT_ID step: the kernel that it calls"""
SMALL = 32 << 10
"""bytes of operands up to which a step is done by one thread sooner than two threads can meet"""
CHECKS_INDICES = (Op.GET_ROWS, Op.SET_ROWS, Op.ADD_ID, Op.MUL_MAT_ID)
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
        each, listed = self._activation_room(), self._list_room()
        self.workspace = self._workspace(PLACES * each + listed)
        start = self.workspace.allocation.address
        self.activations = _Made(start, each, PLACES)
        self.lists = _Made(start + PLACES * each, listed, 1)

    def program(self) -> CpuProgram:
        graph = self.graph
        sources = graph.tensors.src[graph.nodes].tolist()
        ops = graph.tensors.op[graph.nodes].tolist()
        labels = {}
        for index, op, operands in zip(graph.nodes.tolist(), ops, sources, strict=True):
            node = self._node(Op(op), index, operands)
            if node.op == Op.MUL_MAT and node.types[0] in PRODUCTS and node.types[1] == Type.F32:
                self._product(node)
            elif node.op == Op.MUL_MAT_ID:
                self._product_by_expert(node)
            else:
                self._add(node, choose(node, graph.label))
            if node.op in CHECKS_INDICES:
                labels[index] = graph.label(index)
            self.activations.written(self._range(index))
            self.lists.written(self._range(index))
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
            workspace=self.workspace,
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
        kernels = PRODUCTS[Type(self.types[weights])]
        place = self._activations(node.index, x, kernels.activations)
        weight: Weight | None = self.weights.get(weights)
        if weight is not None and kernels.packed is not None:
            self.products.append(Product(len(self.steps), weight, kernels.packed, kernels.plain))
        self.steps.append(
            PlannedStep(kernels.plain, node.index, node.index, (weights, x), extra=(place[0],), reads=(place,))
        )

    def _activations(self, node: int, x: int, form: ActivationForm) -> Range:
        """Where the activations made of the tensor x lie, behind a step that makes them if need be."""
        place, fresh = self.activations.place((form, *self._key(x)), _aligned(form.size(self.ne[x])), self._range(x))
        if fresh:
            self.steps.append(PlannedStep(form.kernel, node, ABSENT, (x,), extra=(place[0],), writes=(place,)))
        return place

    def _product_by_expert(self, node: Node) -> None:
        """Activations and list, if they are not there yet, and the product."""
        weights, x, ids = node.sources
        listed = self._list(node.index, ids, self.ne[weights][2])
        blocks, row, reads = 0, F32_BYTES * self.ne[x][0], [listed]
        kernels = PRODUCTS.get(Type(self.types[weights])) if self.types[x] == Type.F32 else None
        if kernels is None:
            single = attrs.evolve(node, op=Op.MUL_MAT, sources=node.sources[:2], types=node.types[:2])
            called = choose(single, self.graph.label)
        else:
            place = self._activations(node.index, x, kernels.activations)
            called, blocks, row = Choice(kernels.plain), place[0], kernels.activations.size((self.ne[x][0], 1, 1, 1))
            reads.append(place)
            weight = self.weights.get(weights)
            if weight is not None and kernels.packed is not None:
                self.products.append(Product(len(self.steps), weight, kernels.packed, kernels.plain, CALLED))
        own = experts.scratch_bytes(row)
        self.steps.append(
            PlannedStep(
                experts.mul_mat_by_expert,
                node.index,
                node.index,
                (weights, x),
                extra=(blocks, row, listed[0], called.kernel.address, own),
                scratch=own + called.scratch,
                reads=tuple(reads),
            )
        )

    def _list(self, node: int, ids: int, count: int) -> Range:
        """Where the list of the slots of each of `count` experts lies, behind a step that makes it if need be."""
        size = experts.list_bytes(count, self.ne[ids][0] * self.ne[ids][1])
        place, fresh = self.lists.place((*self._key(ids), count), size, self._range(ids))
        if fresh:
            step = PlannedStep(experts.deal_slots, node, ABSENT, (ids,), extra=(place[0], count), writes=(place,))
            self.steps.append(step)
        return place

    def _key(self, x: int) -> tuple[int, ...]:
        return (self.first[x], *self.ne[x], *self.nb[x])

    def _range(self, tensor: int) -> Range:
        return self.first[tensor], self.last[tensor]

    def _footprint(self, step: PlannedStep) -> Footprint:
        reads = [*step.reads, *(self._range(source) for source in step.sources if source != ABSENT)]
        writes = [*step.writes, *([] if step.dst == ABSENT else [self._range(step.dst)])]
        touched = sum(end - start for start, end in (*reads, *writes))
        return Footprint(reads, writes, solo=touched <= SMALL)

    def _activation_room(self) -> int:
        """Bytes of the largest activations."""
        table, nodes = self.graph.tensors, self.graph.nodes
        products = nodes[np.isin(table.op[nodes], PRODUCT_OPS)]
        products = products[np.isin(table.type[table.src[products, 0]], list(PRODUCTS))]
        met = np.unique(np.stack([table.type[table.src[products, 0]], table.src[products, 1]]), axis=1)
        sizes = [_aligned(PRODUCTS[Type(kind)].activations.size(self.ne[x])) for kind, x in met.T.tolist()]
        return max(sizes, default=0)

    def _list_room(self) -> int:
        """Bytes of the largest list of slots."""
        table, nodes = self.graph.tensors, self.graph.nodes
        sources = table.src[nodes[table.op[nodes] == Op.MUL_MAT_ID]][:, (0, 2)].tolist()
        return max(
            (experts.list_bytes(self.ne[w][2], self.ne[ids][0] * self.ne[ids][1]) for w, ids in sources), default=0
        )

    def _workspace(self, size: int) -> Workspace:
        allocation = self.memory.allocate(size)
        workspace = Workspace(allocation)
        weakref.finalize(workspace, self.memory.release, allocation)
        return workspace


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


_Key = tuple[object, ...]
"""what decides about something that is made of a tensor: the tensor's place and shape, and into what it is made"""


class _Made:
    """What was made of which tensor and lies where in the workspace, while the steps are being planned."""

    def __init__(self, start: int, each: int, places: int) -> None:
        self._start, self._each = start, each
        self._held: list[tuple[_Key, Range] | None] = [None] * places
        self._next = 0

    def place(self, key: _Key, size: int, source: Range) -> tuple[Range, bool]:
        """Where that lies which is made of the tensor `key`, and whether it has yet to be made there."""
        for number, held in enumerate(self._held):
            if held is not None and held[0] == key:
                return self._range(number, size), False
        number = self._next
        self._next = (number + 1) % len(self._held)
        self._held[number] = key, source
        return self._range(number, size), True

    def written(self, changed: Range) -> None:
        """Forget what was made of bytes that have changed since."""
        for number, held in enumerate(self._held):
            if held is not None and held[1][0] < changed[1] and changed[0] < held[1][1]:
                self._held[number] = None

    def _range(self, number: int, size: int) -> Range:
        start = self._start + number * self._each
        return start, start + size
