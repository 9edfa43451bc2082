"""The public client at work with every command that it knows, as a program that `refimpl-conformance client` can judge:

    python -m refimpl.tests.service.every_command 127.0.0.1:50052 8.0.0

It prints what it read, the same at every run. An error of the node's is one line on stderr, and exit code 1.
"""

import sys
from collections.abc import AsyncIterator
from functools import partial

import numpy as np
import trio

from refimpl.errors import RefimplError
from refimpl.graph.define import GraphBuilder
from refimpl.kernels.fnv_lanes import fnv1a64_lanes
from refimpl.service.client import RemoteNode, connect
from refimpl.tests.service.harness import record
from refimpl.wire.strided import Pieces
from spec.names import Type

__all__ = ["main"]

SILENCE, COMPUTING = 2.0, 3.0
LARGE = (10 << 20) + 4096
"""bytes that are worth a hash (CACHE-2)"""
SMALL = 256
ODD_ROW = 64
"""elements of a row of blocks that a device may pad (ALLOC-13)"""
PIECES = Pieces(size=8, count=4, stride=32)


async def main(endpoint: str, version: str) -> None:
    """Ask all that can be asked, and print it line by line."""
    call = partial(connect, endpoint, dialect=version, connect_timeout=SILENCE)
    async with call(reply_timeout=SILENCE, compute_timeout=COMPUTING) as node:
        for part in (_bytes, _weights, _strided, _graphs):
            async for value in part(node):
                print(value)
        await node.barrier()


async def _bytes(node: RemoteNode) -> AsyncIterator[object]:
    device = node.devices[0]
    yield (await device.memory())[1] > 0
    buffer, other = await device.allocate(SMALL), await device.allocate(SMALL)
    await buffer.clear(7)
    await node.set_tensor(record(buffer, SMALL), bytes(range(16)), 16)
    await node.memset_tensor(record(buffer, SMALL), 64, 8, 9)
    if not await node.copy_tensor(record(buffer, SMALL), record(other, SMALL)):
        await node.set_tensor(record(other, SMALL), await node.get_tensor(record(buffer, SMALL), 0, SMALL))
    await buffer.free()
    yield bytes(await node.get_tensor(record(other, SMALL), 0, SMALL)).hex()


async def _weights(node: RemoteNode) -> AsyncIterator[object]:
    device = node.devices[0]
    buffer = await device.allocate(LARGE)
    weight, payload = record(buffer, LARGE), bytes(LARGE - SMALL) + bytes(range(SMALL))
    if not await node.set_tensor_hash(weight, fnv1a64_lanes(payload)):
        await node.set_tensor(weight, payload, cache=True)
    yield bytes(await node.get_tensor(weight, LARGE - 8, 8)).hex()
    row_bytes = ODD_ROW // 32 * 18
    strides = (18, row_bytes, row_bytes, row_bytes)
    odd = record(buffer, ODD_ROW, type=Type.Q4_0, ne=(ODD_ROW, 1, 1, 1), nb=strides)
    yield max(await device.alloc_size(odd), row_bytes) >= row_bytes
    await node.init_tensor(odd)
    await node.set_tensor(odd, bytes(row_bytes))


async def _strided(node: RemoteNode) -> AsyncIterator[object]:
    if not any(command.name == "SET_TENSOR_2D" for command in node.dialect.commands.values()):
        return
    buffer = await node.devices[0].allocate(SMALL)
    await buffer.clear(0)
    await node.set_tensor_2d(record(buffer, SMALL), bytes(range(PIECES.packed_bytes)), PIECES)
    yield bytes(await node.get_tensor_2d(record(buffer, SMALL), PIECES)).hex()


async def _graphs(node: RemoteNode) -> AsyncIterator[object]:
    device, b = node.devices[0], GraphBuilder()
    x, y = b.leaf("x", Type.F32, (4,)), b.leaf("y", Type.F32, (4,))
    total = b.output(b.add(x, y))
    buffer = await device.allocate(3 * device.alignment)
    for slot, tensor in enumerate((x, y, total)):
        b.place(tensor, buffer.handle, buffer.base + slot * device.alignment)
    nodes, records = b.message()
    uid = 1 if "GRAPHS_PER_DEVICE" in node.dialect.constants else 0
    for again in (False, True):
        for operand in records[:2]:
            await node.set_tensor(operand, np.arange(4, dtype=np.float32) + again)
        await (device.recompute(uid) if again else device.compute(nodes, records, uid))
        yield np.frombuffer(await node.get_tensor(records[2], 0, 16), np.float32)


if __name__ == "__main__":
    try:
        trio.run(main, sys.argv[1], sys.argv[2])
    except RefimplError as error:
        sys.exit(f"every_command: {error}")
