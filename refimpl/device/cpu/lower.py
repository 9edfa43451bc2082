"""From a checked graph to a program: nodes in execution order become steps, one after the other.

A main host sends a new graph whenever its context has grown, and waits for it: so what can be decided for many nodes
at once is, the kernel of a node once for all that are alike.

A product with quantised weights needs its activations as blocks of 8-bit quants, in a form that the weights' type
decides. They are made once for all products that follow with the same activations in the same form, as long as nobody
writes to those, and kept in one of two places in turn, so that making the next ones need not wait for those who still
read the last.

A product by experts (MUL_MAT_ID) needs a list of which slots go to which expert besides, made once for all products
that follow with the same ids; then it calls the kernel that MUL_MAT would have.
"""

import weakref
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu.choices.node import Choice, Node
from refimpl.device.cpu.choices.products import PRODUCTS, ActivationForm, ProductKernels
from refimpl.device.cpu.memory import ALIGNMENT, CpuAllocation, CpuMemory
from refimpl.device.cpu.plan import PlannedStep, Range, footprints, operands_of, records
from refimpl.device.cpu.program import CpuProgram, Product, Workspace
from refimpl.device.cpu.select import choose
from refimpl.device.cpu.weights import packable
from refimpl.errors import OutOfMemory
from refimpl.graph.checked import ABSENT, CheckedGraph
from refimpl.kernels.cpu.matmul import experts
from refimpl.kernels.cpu.step import EXTRA, SOURCES, WORD
from spec.names import Op, Type

__all__ = ["lower"]

PLACES = 2
PRODUCT_OPS = (Op.MUL_MAT, Op.MUL_MAT_ID)
F32_BYTES = 4
NONE_BESIDE_ONE, NONE_BESIDE_TWO = (ABSENT,) * (SOURCES - 1), (ABSENT,) * (SOURCES - 2)
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


@attrs.frozen(eq=False)
class _Kind:
    """What all nodes of one op with the same types, extents and parameters have in common."""

    node: Node
    """one of them"""
    choice: Choice | None
    """None for products that need more than one kernel"""
    checked: bool
    """whether it can find a fault"""
    product: ProductKernels | None = None
    """of MUL_MAT with activations that have a form of their own"""
    room: int = 0
    """bytes of those activations"""


class _Lowering:
    def __init__(self, graph: CheckedGraph, allocations: Sequence[CpuAllocation], memory: CpuMemory) -> None:
        self.graph = graph
        self.allocations = allocations
        self.memory = memory
        table = graph.tensors
        bases = np.array([allocation.address for allocation in allocations] + [0], np.int64)
        self.addresses: NDArray[np.int64] = np.where(table.buffer == ABSENT, 0, bases[table.buffer] + table.offset)
        self.ends: NDArray[np.int64] = self.addresses + table.nbytes
        self.first: list[int] = self.addresses.tolist()
        self.last: list[int] = self.ends.tolist()
        self.shapes = np.ascontiguousarray(np.concatenate((table.ne, table.nb), axis=1))
        self.ne: list[list[int]] = table.ne.tolist()
        self.types: list[int] = table.type.tolist()
        self.sources: NDArray[np.int32] = table.src[graph.nodes][:, :SOURCES]
        self.steps: list[PlannedStep] = []
        self.products: list[Product] = []
        self.weights, self.touched = packable(table, graph.nodes, allocations)
        each, listed = self._activation_room(), self._list_room()
        self.workspace = self._workspace(PLACES * each + listed)
        start = self.workspace.allocation.address
        self.activations = _Made(start, each, PLACES)
        self.lists = _Made(start + PLACES * each, listed, 1)

    def program(self) -> CpuProgram:
        graph, labels = self.graph, {}
        kinds, which = self._kinds()
        for index, operands, number in zip(graph.nodes.tolist(), self.sources.tolist(), which, strict=True):
            kind = kinds[number]
            if kind.choice is not None:
                made = kind.choice
                self.steps.append(PlannedStep(made.kernel, index, index, operands, made.extra, made.scratch))
            elif kind.product is not None:
                self._product(kind.product, kind.room, index, operands)
            else:
                self._product_by_expert(kind.node, index, operands)
            if kind.checked:
                labels[index] = graph.label(index)
            first, last = self.first[index], self.last[index]
            self.activations.written(first, last)
            self.lists.written(first, last)
        scratch = max((step.scratch for step in self.steps), default=0)
        if scratch > self.memory.state().free:
            raise OutOfMemory(f"{scratch} bytes of scratch for each thread")
        operands = operands_of(self.steps)
        touched = footprints(self.steps, operands, (self.addresses, self.ends), SMALL)
        return CpuProgram(
            handles=frozenset(graph.handles),
            steps=records(self.steps, operands, graph.tensors, self.addresses, touched),
            scratch=scratch,
            labels=labels,
            products=self.products,
            touched=self.touched,
            workspace=self.workspace,
        )

    def _kinds(self) -> tuple[list[_Kind], list[int]]:
        """The kinds of nodes, and for each node in order the number of its kind."""
        table, nodes = self.graph.tensors, self.graph.nodes
        operands = np.concatenate((nodes[:, None], self.sources), axis=1)
        shapes = np.where(operands[:, :, None] == ABSENT, ABSENT, table.ne[operands])
        shapes = shapes.reshape(len(nodes), shapes.shape[1] * shapes.shape[2])
        types = np.where(operands == ABSENT, ABSENT, table.type[operands])
        words = np.concatenate((table.op[nodes, None], types, shapes, table.params[nodes]), axis=1)
        numbers: dict[bytes, int] = {}
        kinds: list[_Kind] = []
        which = []
        for at, key in enumerate(_rows(words)):
            number = numbers.setdefault(key, len(kinds))
            if number == len(kinds):
                kinds.append(self._kind(at))
            which.append(number)
        return kinds, which

    def _kind(self, at: int) -> _Kind:
        """The kind of the node that stands at a place in the order of execution."""
        index = int(self.graph.nodes[at])
        node = self._node(Op(int(self.graph.tensors.op[index])), index, self.sources[at].tolist())
        checked = node.op in CHECKS_INDICES
        if node.op == Op.MUL_MAT_ID:
            return _Kind(node, None, checked)
        kernels = PRODUCTS.get(node.given(0)) if node.op == Op.MUL_MAT and node.type(1) == Type.F32 else None
        if kernels is None:
            return _Kind(node, choose(node, self.graph.label), checked)
        return _Kind(node, None, checked, kernels, _aligned(kernels.activations.size(node.shapes[1])))

    def _node(self, op: Op, index: int, operands: Sequence[int]) -> Node:
        used = tuple(operands)
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

    def _product(self, kernels: ProductKernels, room: int, index: int, operands: Sequence[int]) -> None:
        """The activations of a product, `room` bytes, if they are not there yet, and the product."""
        weights, x = operands[0], operands[1]
        place = self._activations(index, x, kernels.activations, room)
        weight = self.weights.get(weights)
        if weight is not None and kernels.packed is not None:
            self.products.append(Product(len(self.steps), weight, kernels.packed, kernels.plain))
        own = (weights, x, *NONE_BESIDE_TWO)
        self.steps.append(PlannedStep(kernels.plain, index, index, own, (place[0],), reads=(place,)))

    def _activations(self, node: int, x: int, form: ActivationForm, room: int) -> Range:
        """Where the activations made of the tensor x lie, `room` bytes, behind a step that makes them if need be."""
        place, fresh = self.activations.place((form.kernel, *self._key(x)), room, (self.first[x], self.last[x]))
        if fresh:
            own = (x, *NONE_BESIDE_ONE)
            self.steps.append(PlannedStep(form.kernel, node, ABSENT, own, (place[0],), writes=(place,)))
        return place

    def _product_by_expert(self, kind: Node, index: int, operands: Sequence[int]) -> None:
        """Activations and list, if they are not there yet, and the product."""
        weights, x, ids = operands[:3]
        listed = self._list(index, ids, self.ne[weights][2])
        blocks, row, reads = 0, F32_BYTES * self.ne[x][0], [listed]
        kernels = PRODUCTS.get(Type(self.types[weights])) if self.types[x] == Type.F32 else None
        if kernels is None:
            single = attrs.evolve(kind, op=Op.MUL_MAT, sources=kind.sources[:2], types=kind.types[:2])
            called = choose(single, self.graph.label)
        else:
            form = kernels.activations
            place = self._activations(index, x, form, _aligned(form.size(self.ne[x])))
            called, blocks, row = Choice(kernels.plain), place[0], form.size((self.ne[x][0], 1, 1, 1))
            reads.append(place)
            weight = self.weights.get(weights)
            if weight is not None and kernels.packed is not None:
                self.products.append(Product(len(self.steps), weight, kernels.packed, kernels.plain, CALLED))
        own = experts.scratch_bytes(row)
        self.steps.append(
            PlannedStep(
                experts.mul_mat_by_expert,
                index,
                index,
                (weights, x, *NONE_BESIDE_TWO),
                extra=(blocks, row, listed[0], called.kernel.address, own),
                scratch=own + called.scratch,
                reads=tuple(reads),
            )
        )

    def _list(self, node: int, ids: int, count: int) -> Range:
        """Where the list of the slots of each of `count` experts lies, behind a step that makes it if need be."""
        size = experts.list_bytes(count, self.ne[ids][0] * self.ne[ids][1])
        place, fresh = self.lists.place((*self._key(ids), count), size, (self.first[ids], self.last[ids]))
        if fresh:
            own = (ids, *NONE_BESIDE_ONE)
            self.steps.append(PlannedStep(experts.deal_slots, node, ABSENT, own, (place[0], count), writes=(place,)))
        return place

    def _key(self, x: int) -> tuple[int, bytes]:
        """Where a tensor is and how it lies there."""
        return self.first[x], self.shapes[x].tobytes()

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


def _rows(words: NDArray[np.int64]) -> Iterator[bytes]:
    """The bytes of each row of words (n, w)."""
    whole, each = np.ascontiguousarray(words).tobytes(), words.shape[1] * words.itemsize
    return (whole[start : start + each] for start in range(0, len(whole), each))


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

    def written(self, first: int, last: int) -> None:
        """Forget what was made of bytes [first, last) that have changed since."""
        for number, held in enumerate(self._held):
            if held is not None and held[1][0] < last and first < held[1][1]:
                self._held[number] = None

    def _range(self, number: int, size: int) -> Range:
        start = self._start + number * self._each
        return start, start + size
