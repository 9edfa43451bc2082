"""The local CPU as a backend: the same records, checks and programs as a node's, without a socket between.

Memory, handles and runs are kept as a node keeps them for one connection: when the task that waits for a run is
cancelled, its stop word is set and its end is waited for, so that nothing runs on behind anyone's back.
"""

from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import trio

from refimpl.device.protocol import Device, Program
from refimpl.errors import ComputeStopped, OutOfMemory
from refimpl.graph.build import build
from refimpl.graph.layout import span
from refimpl.host.backends.protocol import MIB, Block, Data, Work
from refimpl.limits import Limits
from refimpl.service.holdings import Holdings, Seat
from refimpl.service.watched import run_watched
from spec.load import load

__all__ = ["LocalBackend"]


class LocalBackend:
    """See refimpl.host.backends.protocol.Backend. The device is closed by whoever opened it."""

    remote = False

    def __init__(self, device: Device, limits: Limits) -> None:
        self.name = device.name
        self.place = device.description
        self.alignment = device.alignment
        self.max_size = device.max_size
        self._device = device
        self._limits = limits
        self._dialect = load().dialect(load().newest)
        self._seat = Seat(device)
        self._holdings = Holdings([self._seat], limits)
        self._programs: WeakKeyDictionary[Work, Program] = WeakKeyDictionary()
        """as long as somebody may step them again"""

    async def memory(self) -> tuple[int, int]:
        memory = self._device.memory()
        return memory.free, memory.total

    async def alloc_size(self, record: np.void) -> int:
        return span(int(record["type"]), record["ne"].tolist(), record["nb"].tolist())

    async def allocate(self, size: int, purpose: str) -> Block:
        try:
            entry = self._holdings.allocate(0, size)
        except OutOfMemory as error:
            free = self._device.memory().free
            raise OutOfMemory(
                f"local {self.name}: {size / MIB:.1f} MiB for {purpose} asked, {free / MIB:.1f} MiB free; "
                "shorten the context (-c) or place more layers on nodes (--rpc, -ngl)"
            ) from error
        return Block(entry.handle, entry.base, entry.size)

    async def clear(self, block: Block) -> None:
        """Nothing to do: local memory begins as zeros, and a block is cleared only when it is new."""

    async def free(self, block: Block) -> None:
        for work in [work for work, program in self._programs.items() if block.handle in program.handles]:
            del self._programs[work]
        self._holdings.free(block.handle)

    async def write(self, record: np.void, data: Data, offset: int = 0) -> None:
        self._fill(record, data, offset)

    async def recall(self, record: np.void, digest: int) -> bool:
        """There is no cache here: the file is as near."""
        return False

    async def write_kept(self, record: np.void, data: Data, progress: Callable[[int], None]) -> None:
        self._fill(record, data, 0)
        progress(len(memoryview(data).cast("B")))

    async def settle(self) -> None:
        """Nothing to wait for: writes are done when they return."""

    async def prepare(self, work: Work) -> None:
        await trio.to_thread.run_sync(self._program, work)

    async def step(self, work: Work, inputs: Data) -> memoryview:
        self._fill(work.inputs, inputs, 0)
        await self._run(self._program(work))
        return self._holdings.readable(self._holdings.region(work.output, 0, work.output_size))

    def _fill(self, record: np.void, data: Data, offset: int) -> None:
        view = memoryview(data).cast("B")
        self._holdings.writable(self._holdings.region(record, offset, len(view)))[:] = view

    def _program(self, work: Work) -> Program:
        program = self._programs.get(work)
        if program is None:
            graph = build(work.nodes, work.records, self._holdings.ledger.table(), self._limits, self._dialect)
            program = self._device.compile(graph, self._holdings.memory_of(graph.handles))
            self._programs[work] = program
        return program

    async def _run(self, program: Program) -> None:
        try:
            await run_watched(self._seat, program, trio.sleep_forever)
        except ComputeStopped:
            await trio.lowlevel.checkpoint_if_cancelled()
            raise
