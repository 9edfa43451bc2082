"""Add two vectors on a node: python -m refimpl.tests.service.example_client 127.0.0.1:50052"""

import sys

import numpy as np
import trio

from refimpl.graph.define import GraphBuilder
from refimpl.service.client import connect
from spec.names import Type


async def main(endpoint: str) -> None:
    async with connect(endpoint) as node:
        device, graph = node.devices[0], GraphBuilder()
        x, y = graph.leaf("x", Type.F32, (4,)), graph.leaf("y", Type.F32, (4,))
        total = graph.output(graph.add(x, y))
        buffer = await device.allocate(3 * device.alignment)
        for slot, tensor in enumerate((x, y, total)):
            graph.place(tensor, buffer.handle, buffer.base + slot * device.alignment)
        nodes, records = graph.message()
        await node.set_tensor(records[0], np.array([1, 2, 3, 4], np.float32))
        await node.set_tensor(records[1], np.array([10, 20, 30, 40], np.float32))
        await device.compute(nodes, records)
        print(np.frombuffer(await node.get_tensor(records[2], 0, 16), np.float32))


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
