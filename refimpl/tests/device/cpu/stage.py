"""Graphs on a device, and the same graphs over the same bytes on the device that computes with the oracle."""

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.protocol import Allocation, Device, Program
from refimpl.graph.build import build
from refimpl.graph.checked import CheckedGraph
from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.kernels.cases.build import normal, off_ties
from refimpl.limits import Limits
from refimpl.tests.graph.samples import DIALECT, buffer_table
from refimpl.tests.oracle_device import OracleDevice
from spec.names import Type

__all__ = ["ALIGNMENT", "Stage", "activations", "assert_right", "nmse", "random_blocks"]

ALIGNMENT = 64
BASE_BITS = 40
"""a buffer's synthetic base is its handle, moved up by this"""


@attrs.frozen(eq=False)
class Stage:
    """Buffers of one device by handle, from 1 on. Tensors of a builder are named by where they lie."""

    device: Device
    memory: dict[int, Allocation] = attrs.field(factory=dict)

    def buffer(self, size: int) -> int:
        """A new buffer's handle."""
        handle = len(self.memory) + 1
        self.memory[handle] = self.device.allocate(size)
        return handle

    def lay(self, b: GraphBuilder, *tensors: Tensor) -> int:
        """Place tensors one behind the other in a buffer of their own; its handle."""
        ends = np.cumsum([0, *(-(-tensor.nbytes // ALIGNMENT) * ALIGNMENT for tensor in tensors)]).tolist()
        handle = self.buffer(ends[-1])
        for tensor, start in zip(tensors, ends, strict=False):
            self.place(b, tensor, handle, start)
        return handle

    def place(self, b: GraphBuilder, tensor: Tensor, handle: int, offset: int) -> None:
        b.place(tensor, handle, (handle << BASE_BITS) + offset)

    def plan(self, b: GraphBuilder) -> None:
        """Lay the intermediates, if there are any without a place, into a buffer of their own."""
        if b._intermediates is None and (need := b.plan_memory(ALIGNMENT)):
            handle = self.buffer(need)
            b.place_intermediates(handle, handle << BASE_BITS)

    def check(self, b: GraphBuilder) -> CheckedGraph:
        """The graph as a server would hand it to the device."""
        self.plan(b)
        nodes, records = b.message()
        sizes = {handle: (handle << BASE_BITS, allocation.size) for handle, allocation in self.memory.items()}
        return build(nodes, records, buffer_table(sizes), Limits(), DIALECT)

    def compile(self, b: GraphBuilder) -> Program:
        return self.device.compile(self.check(b), self.memory)

    def run(self, program: Program) -> None:
        self.device.run(program, self.device.new_stop_word())

    def where(self, b: GraphBuilder, tensor: Tensor) -> tuple[Allocation, int]:
        """Allocation and first byte."""
        handle, address = b.address_of(tensor)
        return self.memory[handle], address - (handle << BASE_BITS)

    def write(self, b: GraphBuilder, tensor: Tensor, data: NDArray | bytes) -> None:
        """By command, as SET_TENSOR does."""
        raw = data if isinstance(data, bytes) else data.tobytes()
        self.device.writable(*self.where(b, tensor), len(raw))[:] = raw

    def read(self, b: GraphBuilder, tensor: Tensor) -> bytes:
        """By command, as GET_TENSOR does."""
        return bytes(self.device.read(*self.where(b, tensor), tensor.nbytes))

    def floats(self, b: GraphBuilder, tensor: Tensor) -> NDArray[np.float32]:
        """The elements of a contiguous F32 tensor."""
        return np.frombuffer(self.read(b, tensor), np.float32)

    def twin(self) -> "Stage":
        """The same buffers with the same bytes, on the oracle's device. Reads everything by command."""
        other = Stage(OracleDevice())
        for handle, allocation in self.memory.items():
            other.buffer(allocation.size)
            view = other.device.writable(other.memory[handle], 0, allocation.size)
            view[:] = self.device.read(allocation, 0, allocation.size)
        return other


def assert_right(stage: Stage, b: GraphBuilder, outputs: Sequence[Tensor], bound: float = 1e-6) -> Program:
    """Compile and run a graph, and find the oracle's numbers in `outputs`; the program."""
    stage.plan(b)
    other = stage.twin()
    other.run(other.compile(b))
    program = stage.compile(b)
    stage.run(program)
    for output in outputs:
        assert nmse(stage.floats(b, output), other.floats(b, output)) <= bound, b.label(output)
    return program


def nmse(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """sum((got - expected)^2) / sum(expected^2); infinite if a value is not finite, or all expected ones are 0."""
    wide = expected.astype(np.float64)
    power = float((wide**2).sum())
    error = float(((got.astype(np.float64) - wide) ** 2).sum())
    return error / power if power and np.isfinite(error) else float("inf")


def random_blocks(seed: int, type_: Type, ne: tuple[int, int]) -> bytes:
    """A matrix (columns, rows) of small numbers; nothing for no rows."""
    if 0 in ne:
        return b""
    return normal(np.random.default_rng(seed), type_, (*ne, 1, 1)).data.tobytes()


def activations(seed: int, *shape: int) -> NDArray[np.float32]:
    """Of about unit size, none of them near a rounding tie; the fastest dimension last."""
    return off_ties(np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)
