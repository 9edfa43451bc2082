"""A device of a node as a backend, over the public client.

A step is one round trip: the inputs and the graph are sent without waiting, only the output is asked for. A graph that
the node remembers is not sent again, GRAPH_RECOMPUTE goes instead of it: since 8.0.0 several
of them, before only the one that ran last. Buffers live as long as the connection.
"""

from collections.abc import Callable

import numpy as np

from refimpl.errors import OutOfMemory
from refimpl.graph.layout import span, type_layouts
from refimpl.host.backends.protocol import MIB, Block, Data, Work
from refimpl.host.nodes import NodeDevice
from refimpl.service.client import RemoteBuffer

__all__ = ["RemoteBackend"]

PADDED_ROW = 512
"""a row of quantised blocks that is no multiple of it may take more room on a device than its bytes (ALLOC-13)"""


class RemoteBackend:
    """See refimpl.host.backends.protocol.Backend."""

    remote = True

    def __init__(self, device: NodeDevice) -> None:
        self.name = device.name
        self.place = device.place
        self.alignment = device.device.alignment
        self.max_size = device.device.max_size
        self._node = device.node
        self._device = device.device
        self._buffers: dict[int, RemoteBuffer] = {}
        self._sizes: dict[bytes, int] = {}
        self._remembered = device.graphs
        self._output = memoryview(b"")

    async def memory(self) -> tuple[int, int]:
        return await self._device.memory()

    async def alloc_size(self, record: np.void) -> int:
        own = span(int(record["type"]), record["ne"].tolist(), record["nb"].tolist())
        if not _padded(record):
            return own
        key = record.tobytes()
        if key not in self._sizes:
            self._sizes[key] = await self._device.alloc_size(record)
        return max(own, self._sizes[key])

    async def allocate(self, size: int, purpose: str) -> Block:
        try:
            buffer = await self._device.allocate(size)
        except OutOfMemory as error:
            free, _ = await self._device.memory()
            raise OutOfMemory(
                f"{self.name} {self.place}: {size / MIB:.1f} MiB for {purpose} asked, {free / MIB:.1f} MiB free; "
                "shorten the context (-c), give it fewer layers (-ts, -ngl) or add a node (--rpc)"
            ) from error
        self._buffers[buffer.handle] = buffer
        return Block(buffer.handle, buffer.base, buffer.size)

    async def clear(self, block: Block) -> None:
        await self._buffers[block.handle].clear(0)

    async def free(self, block: Block) -> None:
        await self._buffers.pop(block.handle).free()

    async def write(self, record: np.void, data: Data, offset: int = 0) -> None:
        if offset == 0 and _padded(record):
            await self._node.init_tensor(record)
        await self._node.set_tensor(record, data, offset)

    async def recall(self, record: np.void, digest: int) -> bool:
        if _padded(record):
            await self._node.init_tensor(record)
        return await self._node.set_tensor_hash(record, digest)

    async def write_kept(self, record: np.void, data: Data, progress: Callable[[int], None]) -> None:
        await self._node.set_tensor(record, data, cache=True, progress=progress)

    async def settle(self) -> None:
        """Ask something that has an answer: it comes after everything that was sent."""
        await self._node.barrier()

    async def prepare(self, work: Work) -> None:
        """Nothing: this protocol sends a graph only to run it."""

    async def step(self, work: Work, inputs: Data) -> memoryview:
        await self._node.set_tensor(work.inputs, inputs)
        uid, known = self._remembered.uid_of(work, self._node.buffers_freed)
        if known:
            await self._device.recompute(uid)
        else:
            await self._device.compute(work.nodes, work.records, uid)
        if len(self._output) != work.output_size:
            self._output = memoryview(bytearray(work.output_size))
        await self._node.get_tensor_into(work.output, self._output)
        return self._output


def _padded(record: np.void) -> bool:
    """Whether a device may want room behind the rows of this weight."""
    return bool(type_layouts().block[int(record["type"])] > 1 and record["ne"][0] % PADDED_ROW)
