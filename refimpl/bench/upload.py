"""How fast a server takes in weights: one connection, tensors of a few sizes, until the server has stored them all."""

import time

import numpy as np

from refimpl.bench.line import bytes_at
from refimpl.service.client import connect

__all__ = ["upload_seconds"]


async def upload_seconds(endpoint: str, dialect: str, sizes: tuple[int, ...]) -> float:
    """Allocate one buffer, set a tensor of each of `sizes` bytes in it, and wait for a reply behind them all.

    Random bytes, made before the clock starts; only the sending counts. Raises NodeError.
    """
    data = np.random.default_rng(0).bytes(max(sizes))
    async with connect(endpoint, dialect=dialect) as node:
        buffer = await node.devices[0].allocate(sum(sizes))
        begin = time.perf_counter()
        address = buffer.base
        for size in sizes:
            await node.set_tensor(bytes_at(buffer.handle, address, size), memoryview(data)[:size])
            address += size
        await node.barrier()
        return time.perf_counter() - begin
