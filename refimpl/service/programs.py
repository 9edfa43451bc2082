"""The graphs of one connection: compiled ones, found again by their content, and remembered ones, found by their uid.

Rules of this file:
- Two messages describe one graph if their device, nodes and records are the same; comparing is cheaper than any hash of
  them. Their uids may differ.
- What GRAPH_RECOMPUTE means is remembered per device: without uids (until 8.0.0) the last graph, whose message carries
  uid 0, with uids the graph of each uid but 0. A remembered graph that has no program any more sleeps: its message is
  kept packed, and `body` gives it back to be compiled again.
- The uids of a device are counted as the client counts them (GRAPH-26): freeing a buffer, or want of room, makes a
  graph forgotten but not its uid uncounted, or the two ends would clear their sets at different times.
- Freeing a buffer destroys the programs and the remembered graphs that use it, and no others.
- Bounded: `limits.programs` for each device, `limits.program_bytes` for all compiled, `limits.sleeping_bytes` for all
  sleeping graphs; least recently used first out. What sleeps and is thrown out is forgotten (GRAPH-34). What all
  connections may have is graph_room.py's; it asks the one that has most to `give_way`.
- Everything here happens on the event loop, in between awaits of others: whoever has waited for a thread looks again
  whether the graph is still what it was.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import numpy as np
import trio

from refimpl.device.protocol import Program
from refimpl.errors import GraphError
from refimpl.limits import Limits
from refimpl.service.bounds.shared import Shared
from refimpl.wire.messages import GraphCompute

__all__ = ["Graph", "Programs"]

PACKING = 1
"""zlib's fastest level: records are mostly zeros, a tenth of their size is left"""
FREED = "one of its buffers has been freed"
NO_ROOM = "there was no room to remember it (limits.sleeping_bytes, limits.graph_memory_in_all)"


@attrs.define(eq=False)
class Graph:
    """One graph: awake with a program and its message, or asleep with its packed body. `uses` counts uids of it."""

    device: int
    handles: frozenset[int]
    message: GraphCompute | None
    program: Program | None
    body_bytes: int
    """of its message, unpacked"""
    packed: bytes = b""
    uses: int = 0

    @property
    def nbytes(self) -> int:
        """Memory that it takes, awake or asleep."""
        program = self.program.nbytes if self.program else 0
        return program + (len(self.message.body) if self.message else len(self.packed))


class Programs:
    """See the module's rules. `remembered` is how many uids a device may have, 0 where there are no uids."""

    def __init__(self, limits: Limits, remembered: int, shared: Shared) -> None:
        self._limits = limits
        self._uids = remembered
        self._shared = shared
        self._awake: list[Graph] = []
        """least recently used first"""
        self._known: dict[int, dict[int, Graph | str]] = {}
        """by device and uid, least recently used first; a text says why a graph is forgotten"""
        self._in_use: Graph | None = None
        shared.graph_room.join(self)

    def __len__(self) -> int:
        return len(self._awake)

    @property
    def awake_bytes(self) -> int:
        """Memory of the compiled graphs."""
        return sum(graph.nbytes for graph in self._awake)

    @property
    def nbytes(self) -> int:
        """Memory of all graphs."""
        return self.awake_bytes + sum(graph.nbytes for graph in self._sleeping())

    def match(self, message: GraphCompute) -> Graph | None:
        """The same graph as it was compiled from another message. Changes nothing; may be called in a thread."""
        for graph in reversed(tuple(self._awake)):
            known = graph.message
            if known is not None and _same(known, message):
                return graph
        return None

    def use(self, graph: Graph, message: GraphCompute) -> bool:
        """From now on the message's uid means this graph; False if it is no longer compiled."""
        if graph.program is None or graph not in self._awake:
            return False
        self._touch(graph)
        self._remember(message.device, message.uid, graph)
        return True

    def add(self, message: GraphCompute, program: Program) -> Graph:
        """Keep a program, and its graph under the message's uid. `settle` then makes room for it."""
        graph = Graph(message.device, program.handles, message, program, len(message.body))
        self._awake.append(graph)
        self._remember(message.device, message.uid, graph)
        return graph

    def recall(self, device: int, uid: int) -> Graph:
        """What GRAPH_RECOMPUTE runs; it may be asleep. Raises GraphError (GRAPH-23, GRAPH-34, LIFE-8)."""
        known = self._known.get(device, {})
        name = f"graph {uid}" if self._uids else "the last graph"
        match graph := known.get(uid):
            case None:
                raise GraphError("GRAPH-23", f"GRAPH_RECOMPUTE: {name} of device {device} is not remembered")
            case str():
                no_room = "GRAPH-34" if self._uids else "LIFE-8"
                clause = no_room if graph is NO_ROOM else "GRAPH-23"
                raise GraphError(clause, f"GRAPH_RECOMPUTE: {name} of device {device} is forgotten: {graph}")
        known[uid] = known.pop(uid)
        if graph.program is not None:
            self._touch(graph)
        return graph

    def body(self, graph: Graph) -> bytes:
        """The body of a graph's message, to be compiled again. Changes nothing; may be called in a thread."""
        message = graph.message
        return zlib.decompress(graph.packed) if message is None else message.body

    def woken(self, graph: Graph, message: GraphCompute, program: Program) -> None:
        """Keep the new program of a sleeping graph and its message, which may name another of its uids."""
        graph.message, graph.program, graph.packed = message, program, b""
        self._awake.append(graph)

    @contextmanager
    def in_use(self, graph: Graph) -> Iterator[None]:
        """Keep a graph as it is during the block, whoever wants room."""
        self._in_use = graph
        try:
            yield
        finally:
            self._in_use = None

    async def settle(self) -> None:
        """Put to sleep and forget what there is no room for, here or at the connection that has most.

        Raises OutOfMemory if there is none for the graph in use.
        """
        while (graph := self._excess()) is not None:
            await self._put_to_sleep(graph)
        while self._sleeping_bytes() > self._limits.sleeping_bytes:
            self._forget()
        await self._shared.graph_room.settle(self)

    @property
    def can_give_way(self) -> bool:
        """Whether there is a graph that is not in use."""
        return any(graph is not self._in_use for graph in (*self._awake, *self._sleeping()))

    async def give_way(self) -> None:
        """Put the least recently used graph to sleep, or forget one that sleeps."""
        for graph in self._awake:
            if graph is not self._in_use:
                await self._put_to_sleep(graph)
                return
        self._forget()

    def drop(self, handle: int) -> None:
        """Forget the graphs that use a buffer."""
        self._awake = [graph for graph in self._awake if handle not in graph.handles]
        for known in self._known.values():
            for uid, graph in known.items():
                if isinstance(graph, Graph) and handle in graph.handles:
                    _let_go(graph)
                    known[uid] = FREED

    def clear(self) -> None:
        """Forget all."""
        self._awake.clear()
        self._known.clear()
        self._shared.graph_room.leave(self)

    def _touch(self, graph: Graph) -> None:
        self._awake.remove(graph)
        self._awake.append(graph)

    def _remember(self, device: int, uid: int, graph: Graph) -> None:
        if self._uids and not uid:
            return
        known = self._known.setdefault(device, {})
        if uid not in known and len(known) >= max(self._uids, 1):
            for old in known.values():
                _let_go(old)
            known.clear()
        graph.uses += 1
        _let_go(known.pop(uid, None))
        known[uid] = graph

    def _excess(self) -> Graph | None:
        """The compiled graph that has to go, never the last one."""
        spare = self._awake[:-1]
        for graph in spare:
            if sum(other.device == graph.device for other in self._awake) > self._limits.programs:
                return graph
        return spare[0] if spare and self.awake_bytes > self._limits.program_bytes else None

    async def _put_to_sleep(self, graph: Graph) -> None:
        self._awake.remove(graph)
        graph.program = None
        message = graph.message
        if message is None or not graph.uses:
            graph.message = None
            return
        moving = self._shared.threads.moving
        packed = await trio.to_thread.run_sync(zlib.compress, message.body, PACKING, limiter=moving)
        if _sleeps(graph) and graph.message is message:
            graph.packed, graph.message = packed, None

    def _sleeping(self) -> Iterator[Graph]:
        """Graphs that are remembered without a program, each once, least recently used first."""
        graphs = (graph for known in self._known.values() for graph in known.values() if isinstance(graph, Graph))
        return iter({id(graph): graph for graph in graphs if _sleeps(graph)}.values())

    def _sleeping_bytes(self) -> int:
        return sum(len(graph.packed) for graph in self._sleeping())

    def _forget(self) -> None:
        """Forget the sleeping graph that was used least recently."""
        forgotten = next((graph for graph in self._sleeping() if graph is not self._in_use), None)
        for known in self._known.values():
            for uid, graph in known.items():
                if isinstance(graph, Graph) and graph is forgotten:
                    _let_go(graph)
                    known[uid] = NO_ROOM


def _same(one: GraphCompute, other: GraphCompute) -> bool:
    return (
        one.device == other.device
        and len(one.nodes) == len(other.nodes)
        and len(one.tensors) == len(other.tensors)
        and np.array_equal(one.nodes, other.nodes)
        and np.array_equal(one.tensors.view(np.uint8), other.tensors.view(np.uint8))
    )


def _sleeps(graph: Graph) -> bool:
    return graph.program is None


def _let_go(graph: Graph | str | None) -> None:
    """One uid less means the graph."""
    if isinstance(graph, Graph):
        graph.uses -= 1
