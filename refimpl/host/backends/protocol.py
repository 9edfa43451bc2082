"""What a stage needs of the place it runs on: memory, bytes in, and one step of work.

A backend is one device, local or of a node. Its buffers are named by handle and base address, never by a pointer, so
that the same records describe a tensor in both places. One task uses a backend at a time.
"""

from collections.abc import Callable
from typing import Any, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.graph.layout import natural_strides
from refimpl.wire.tensor import GGML_MAX_NAME, RPC_TENSOR, TensorRecords
from spec.names import Type

__all__ = ["MIB", "Backend", "Block", "Data", "Work", "byte_record", "tensor_record"]

MIB = 1 << 20
MAX_ROW = 1 << 30
"""bytes of one row of a byte record: extents have 32 bits"""

Data = bytes | bytearray | memoryview
"""contiguous bytes to write"""


@attrs.frozen
class Block:
    """Memory of a backend: `size` bytes from address `base` on."""

    handle: int
    base: int
    size: int


@attrs.frozen(eq=False, kw_only=True)
class Work:
    """A graph with all its places: what one step runs. The same object is the same graph."""

    nodes: NDArray[np.uint64]
    """(n,) ids in execution order"""
    records: TensorRecords
    """(t,)"""
    inputs: np.void
    """one record of bytes over all inputs, which lie side by side"""
    output: np.void
    output_size: int
    """bytes"""


class Backend(Protocol):
    """One device for a stage. Everything raises the NodeError of its node, if it has one."""

    name: str
    """as --list-devices shows it: ``CPU``, ``RPC0``"""
    remote: bool
    place: str
    """``127.0.0.1:50052``, or words for the local CPU"""
    alignment: int
    max_size: int
    """largest block in bytes"""

    async def memory(self) -> tuple[int, int]:
        """Free and total bytes."""

    async def alloc_size(self, record: np.void) -> int:
        """Bytes that a tensor takes up here; at least its own byte size."""

    async def allocate(self, size: int, purpose: str) -> Block:
        """A block of `size` bytes. Raises OutOfMemory with device, purpose, MiB asked and free, and what to do."""

    async def clear(self, block: Block) -> None:
        """Set every byte to 0."""

    async def free(self, block: Block) -> None:
        """Give a block back; work that uses it must not be stepped again."""

    async def write(self, record: np.void, data: Data, offset: int = 0) -> None:
        """Bytes of a weight, from byte `offset` of it on."""

    async def recall(self, record: np.void, digest: int) -> bool:
        """Fill a weight from a cache there, by the FNV-1a-64 of all of its bytes; whether that was possible."""

    async def write_kept(self, record: np.void, data: Data, progress: Callable[[int], None]) -> None:
        """All bytes of a weight, to be kept for `recall`; progress(n) is told the bytes written so far."""

    async def settle(self) -> None:
        """Wait until everything written has arrived and was accepted."""

    async def prepare(self, work: Work) -> None:
        """Do what can be done before the first step of this work, so that it does not count as computing."""

    async def step(self, work: Work, inputs: Data) -> memoryview:
        """Write the inputs, run the graph, return its output: one round trip. The view is valid until the next step."""


def tensor_record(type: Type, ne: tuple[int, int, int, int], block: Block, offset: int, name: str = "") -> np.void:
    """Record of a contiguous tensor without an op at byte `offset` of a block."""
    record = np.zeros((), RPC_TENSOR)
    record["id"] = 1
    record["type"] = type
    record["ne"] = ne
    record["nb"] = [stride & 0xFFFF_FFFF for stride in natural_strides(type, ne)]
    record["buffer"], record["data"] = block.handle, block.base + offset
    record["name"] = name.encode()[: GGML_MAX_NAME - 1]
    scalar: Any = record[()]
    assert isinstance(scalar, np.void)
    return scalar


def byte_record(block: Block, offset: int, size: int) -> np.void:
    """Record over plain bytes of a block, whatever lies there. ValueError above 1 GiB."""
    if size > MAX_ROW:
        raise ValueError(f"{size} bytes in one record")
    return tensor_record(Type.I8, (size, 1, 1, 1), block, offset)
