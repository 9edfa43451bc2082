"""What a node must have in its buffers, by a model of bytearrays that knows no server."""

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.tests.state.live import BlockingClient
from refimpl.wire import messages as wire
from refimpl.wire.tensor import RPC_TENSOR
from spec.names import Op, Type

__all__ = ["SLOT", "Buffer", "Client", "Graph", "Slot", "bytes_record"]

SLOT = 128
"""bytes of one operand's place: 32 floats"""
ROWS, COLUMNS = 4, 8
"""of a matrix in a slot"""


@attrs.define(eq=False)
class Buffer:
    """A buffer of the node and the bytes it must have."""

    handle: int
    base: int
    data: bytearray

    def slots(self) -> list["Slot"]:
        """The places for operands in it."""
        return [Slot(self, start) for start in range(0, len(self.data) - SLOT + 1, SLOT)]


@attrs.frozen
class Slot:
    """A place for one operand."""

    buffer: Buffer
    start: int

    def write(self, values: NDArray[np.float32]) -> None:
        """Put floats at its front."""
        self.buffer.data[self.start : self.start + values.nbytes] = values.tobytes()

    def floats(self, count: int) -> NDArray[np.float32]:
        """The floats at its front."""
        return np.frombuffer(bytes(self.buffer.data), np.float32, count, self.start)


@attrs.frozen(eq=False)
class Graph:
    """z = op(x, y) with its message; `operands` are x and, where the op has one, y."""

    op: Op
    length: int
    operands: tuple[Slot, ...]
    result: Slot
    message: wire.GraphCompute
    records: tuple[Any, ...]
    """of the operands"""

    @property
    def alive(self) -> set[Buffer]:
        """The buffers that have to live for it to run again."""
        return {slot.buffer for slot in (*self.operands, self.result)}

    def run(self) -> None:
        """Do to the model what the node must do."""
        x, y = self.operands[0].floats(self.length), self.operands[-1].floats(self.length)
        match self.op:
            case Op.ADD:
                self.result.write(x + y)
            case Op.MUL:
                self.result.write(x * y)
            case Op.SCALE:
                self.result.write(x * np.float32(3))
            case Op.MUL_MAT:
                w = self.operands[0].floats(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
                self.result.write(w @ self.operands[1].floats(COLUMNS))


@attrs.define(eq=False)
class Client:
    """A connection and all that it has on the node."""

    connection: BlockingClient
    buffers: list[Buffer] = attrs.field(factory=list)
    graphs: dict[int, Graph] = attrs.field(factory=dict)
    """what the node remembers, by uid; in versions without uids only the last one, under 0"""

    @property
    def newer(self) -> bool:
        """Whether it speaks a version with uids and strided transfers."""
        return "GRAPHS_PER_DEVICE" in self.connection.dialect.constants

    def compute(self, graph: Graph, uid: int) -> None:
        """Run a graph on the node; `uid` counts only where there are uids."""
        uid = uid if self.newer else 0
        self.connection.push(attrs.evolve(graph.message, uid=uid))
        if uid or not self.newer:
            self.graphs[uid] = graph

    @property
    def size(self) -> int:
        """Bytes it has allocated."""
        return sum(len(buffer.data) for buffer in self.buffers)

    def slots(self) -> list[Slot]:
        """All places for operands."""
        return [slot for buffer in self.buffers for slot in buffer.slots()]

    def check(self) -> None:
        """Every byte of every buffer is what it must be."""
        for buffer in self.buffers:
            size = len(buffer.data)
            assert self.connection.ask(wire.GetTensor(bytes_record(buffer, 0, size), 0, size)) == bytes(buffer.data)


def bytes_record(buffer: Buffer, start: int, size: int) -> Any:
    """A record of `size` bytes of a buffer."""
    record = np.zeros((), RPC_TENSOR)
    record["id"], record["type"], record["ne"], record["nb"] = 1, Type.I8, (size, 1, 1, 1), (1, size, size, size)
    record["buffer"], record["data"] = buffer.handle, buffer.base + start
    return record[()]


def make_graph(op: Op, length: int, slots: tuple[Slot, Slot, Slot]) -> Graph:
    """z = op(x, y) on the slots of x, y and z; SCALE has no y, MUL_MAT has shapes of its own."""
    b = GraphBuilder()
    matrix = op == Op.MUL_MAT
    x = b.leaf("x", Type.F32, (COLUMNS, ROWS) if matrix else (length,))
    y = b.leaf("y", Type.F32, (COLUMNS,) if matrix else (length,))
    makers: dict[Op, Callable[[Tensor, Tensor], Tensor]] = {Op.ADD: b.add, Op.MUL: b.mul, Op.MUL_MAT: b.mul_mat}
    operands: list[tuple[Tensor, Slot]] = [(x, slots[0])]
    if op == Op.SCALE:
        z = b.scale(x, 3.0)
    else:
        z = makers[op](x, y)
        operands.append((y, slots[1]))
    for tensor, slot in (*operands, (b.output(z), slots[2])):
        b.place(tensor, slot.buffer.handle, slot.buffer.base + slot.start)
    nodes, records = b.message()
    return Graph(
        op=op,
        length=length,
        operands=tuple(slot for _, slot in operands),
        result=slots[2],
        message=wire.GraphCompute(0, 0, nodes, records),
        records=tuple(records[: len(operands)]),
    )
