"""Graphs of one connection: known already or checked and compiled, and run while the peer may leave.

Rules of this file:
- Devices compute in turn: whoever came first runs first, and a connection has one graph in the queue at most. So a
  client with many or long graphs delays another by one graph.
- Checking and compiling a graph of some size happens in a thread, and so does comparing a large one with those that are
  known.
"""

import time

import trio

from refimpl.device.protocol import Program
from refimpl.graph.build import build
from refimpl.service.bounds.arrivals import Arrival
from refimpl.service.holdings import Holdings, Seat
from refimpl.service.node import Node
from refimpl.service.programs import Graph
from refimpl.service.watched import Gone, run_watched
from refimpl.trace import GraphRan
from refimpl.wire import messages as wire
from spec.names import Command

__all__ = ["Computing"]

LARGE_GRAPH = 64 << 10
"""bytes of a GRAPH_COMPUTE body whose check and compilation are worth a thread"""
LARGE_COMPARISON = 4 << 20
"""bytes of a body that are worth a thread to be compared"""


class Computing:
    """What GRAPH_COMPUTE and GRAPH_RECOMPUTE do for the connection that owns `own` and takes in `arrival`."""

    def __init__(self, node: Node, own: Holdings, arrival: Arrival, endpoint: str) -> None:
        self._node = node
        self._own = own
        self._arrival = arrival
        self._endpoint = endpoint

    async def compute(self, message: wire.GraphCompute, gone: Gone) -> None:
        """Run a graph, compiled or known. Raises ProtocolError, DeviceError; ComputeStopped for a peer that left."""
        seat = self._own.seat(message.device)
        graph = await self._known(message)
        fresh = graph is None
        if graph is None:
            graph = self._own.programs.add(message, await self._compiled(seat, message))
        await self._run(seat, graph, fresh, gone)

    async def recompute(self, message: wire.GraphRecompute, gone: Gone) -> None:
        """Run a remembered graph once more; raises as `compute` does."""
        seat = self._own.seat(message.device)
        graph = self._own.programs.recall(message.device, message.uid)
        fresh = graph.program is None
        if fresh:
            with self._own.programs.in_use(graph):
                await self._wake(seat, graph)
        await self._run(seat, graph, fresh, gone)

    async def _known(self, message: wire.GraphCompute) -> Graph | None:
        programs = self._own.programs
        if len(message.body) <= LARGE_COMPARISON:
            graph = programs.match(message)
        else:
            graph = await trio.to_thread.run_sync(programs.match, message, limiter=self._node.shared.threads.moving)
        return graph if graph is not None and programs.use(graph, message) else None

    async def _compiled(self, seat: Seat, message: wire.GraphCompute) -> Program:
        """Check and compile. While it waits for that, a large message may still have to go in favour of others."""
        size, threads = len(message.body), self._node.shared.threads
        if size <= LARGE_GRAPH:
            return self._compile(seat, message)
        program: Program | None = None
        with self._arrival.waiting():
            async with threads.compiling(size):
                self._arrival.complete()
                program = await trio.to_thread.run_sync(self._compile, seat, message, limiter=threads.unqueued)
        if program is None:
            raise self._arrival.refusal()
        return program

    def _compile(self, seat: Seat, message: wire.GraphCompute) -> Program:
        node, own = self._node, self._own
        graph = build(message.nodes, message.tensors, own.ledger.table(), node.limits, node.dialect)
        return seat.device.compile(graph, own.memory_of(graph.handles))

    async def _wake(self, seat: Seat, graph: Graph) -> None:
        """Compile once more a graph that is remembered without its program."""
        threads = self._node.shared.threads
        async with threads.compiling(graph.body_bytes):
            made = await trio.to_thread.run_sync(self._unpacked, seat, graph, limiter=threads.unqueued)
        self._own.programs.woken(graph, *made)

    def _unpacked(self, seat: Seat, graph: Graph) -> tuple[wire.GraphCompute, Program]:
        body = self._own.programs.body(graph)
        message = self._node.codec.decode_request(Command.GRAPH_COMPUTE, body)
        if not isinstance(message, wire.GraphCompute):
            raise TypeError(f"{message!r} was remembered as a graph")
        return message, self._compile(seat, message)

    async def _run(self, seat: Seat, graph: Graph, fresh: bool, gone: Gone) -> None:
        programs, program = self._own.programs, graph.program
        if program is None:
            raise RuntimeError("a graph without its program is to run")
        with programs.in_use(graph):
            self._arrival.check()
            self._arrival.done()
            if fresh:
                await programs.settle()
            start = time.perf_counter()
            await run_watched(seat, program, gone)
        self._node.trace(GraphRan(self._endpoint, seat.device.name, time.perf_counter() - start, fresh))
