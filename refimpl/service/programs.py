"""The graphs of one connection: compiled ones, found again by their content, and remembered ones, found by their uid.

Rules of this file:
- Two messages describe one graph if their device, nodes and records are the same; comparing is cheaper than any hash of
  them. Their uids may differ.
- What GRAPH_RECOMPUTE means is remembered per device: without uids (until 8.0.0) the last graph, whose message carries
  uid 0, with uids the graph of each uid but 0. A remembered graph that has no program any more sleeps: its message is
  kept packed, and `wake` gives it back to be compiled again.
- The uids of a device are counted as the client counts them (GRAPH-26): freeing a buffer, or want of room, makes a
  graph forgotten but not its uid uncounted, or the two ends would clear their sets at different times.
- Freeing a buffer destroys the programs and the remembered graphs that use it, and no others.
- Bounded: `limits.programs` for each device, `limits.program_bytes` for all compiled, `limits.sleeping_bytes` for all
  sleeping graphs; least recently used first out. What sleeps and is thrown out is forgotten (GRAPH-34).
"""

import zlib

import attrs
import numpy as np

from refimpl.device.protocol import Program
from refimpl.errors import GraphError
from refimpl.limits import Limits
from refimpl.wire.messages import GraphCompute

__all__ = ["Programs"]

PACKING = 1
"""zlib's fastest level: records are mostly zeros, a tenth of their size is left"""
FREED = "one of its buffers has been freed"
NO_ROOM = "there was no room to remember it (limits.sleeping_bytes)"


@attrs.define(eq=False)
class _Graph:
    """One graph: awake with a program and its message, or asleep with its packed body. `uses` counts uids of it."""

    device: int
    handles: frozenset[int]
    message: GraphCompute | None
    program: Program | None
    packed: bytes = b""
    uses: int = 0

    @property
    def awake_bytes(self) -> int:
        program = self.program.nbytes if self.program else 0
        return program + (len(self.message.body) if self.message else 0)


class Programs:
    """See the module's rules. `remembered` is how many uids a device may have, 0 where there are no uids."""

    def __init__(self, limits: Limits, remembered: int = 0) -> None:
        self._limits = limits
        self._uids = remembered
        self._awake: list[_Graph] = []
        """least recently used first"""
        self._known: dict[int, dict[int, _Graph | str]] = {}
        """by device and uid, least recently used first; a text says why a graph is forgotten"""

    def __len__(self) -> int:
        return len(self._awake)

    def crowded(self, device: int) -> bool:
        """Whether the next `add` may have to put a graph to sleep, which takes time."""
        return sum(graph.device == device for graph in self._awake) >= self._limits.programs

    def find(self, message: GraphCompute) -> Program | None:
        """The program compiled from the same graph, which from now on is what the message's uid means."""
        for at in range(len(self._awake) - 1, -1, -1):
            graph = self._awake[at]
            if graph.message is not None and _same(graph.message, message):
                self._awake.append(self._awake.pop(at))
                self._remember(message.device, message.uid, graph)
                return graph.program
        return None

    def add(self, message: GraphCompute, program: Program) -> None:
        """Keep a program, and its graph under the message's uid; others may have to go."""
        graph = _Graph(message.device, program.handles, message, program)
        self._awake.append(graph)
        self._remember(message.device, message.uid, graph)
        self._make_room(message.device)

    def recall(self, device: int, uid: int) -> Program | None:
        """What GRAPH_RECOMPUTE runs; None if that graph sleeps. Raises GraphError (GRAPH-23, GRAPH-34)."""
        graph = self._graph(device, uid)
        if graph.program is not None:
            self._awake.remove(graph)
            self._awake.append(graph)
        return graph.program

    def wake(self, device: int, uid: int) -> bytes:
        """The body of the message of a sleeping graph, which is to be compiled; raises as `recall` does."""
        return zlib.decompress(self._graph(device, uid).packed)

    def woken(self, device: int, uid: int, message: GraphCompute, program: Program) -> None:
        """Keep the new program of a sleeping graph and its message, which may name another of its uids."""
        graph = self._graph(device, uid)
        graph.message, graph.program, graph.packed = message, program, b""
        self._awake.append(graph)
        self._make_room(device)

    def drop(self, handle: int) -> None:
        """Forget the graphs that use a buffer."""
        self._awake = [graph for graph in self._awake if handle not in graph.handles]
        for known in self._known.values():
            for uid, graph in known.items():
                if isinstance(graph, _Graph) and handle in graph.handles:
                    known[uid] = FREED

    def clear(self) -> None:
        """Forget all."""
        self._awake.clear()
        self._known.clear()

    def _graph(self, device: int, uid: int) -> _Graph:
        known = self._known.get(device, {})
        name = f"graph {uid}" if self._uids else "the last graph"
        match graph := known.get(uid):
            case None:
                raise GraphError("GRAPH-23", f"GRAPH_RECOMPUTE: {name} of device {device} is not remembered")
            case str():
                clause = "GRAPH-34" if graph is NO_ROOM else "GRAPH-23"
                raise GraphError(clause, f"GRAPH_RECOMPUTE: {name} of device {device} is forgotten: {graph}")
        known[uid] = known.pop(uid)
        return graph

    def _remember(self, device: int, uid: int, graph: _Graph) -> None:
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

    def _make_room(self, device: int) -> None:
        """Put the least recently used programs to sleep, never the last one."""
        spare = self._awake[:-1]
        of_device = [graph for graph in spare if graph.device == device]
        going = of_device[: max(0, len(of_device) + 1 - self._limits.programs)]
        total = sum(graph.awake_bytes for graph in self._awake) - sum(graph.awake_bytes for graph in going)
        for graph in spare:
            if total <= self._limits.program_bytes:
                break
            if graph not in going:
                going.append(graph)
                total -= graph.awake_bytes
        self._awake = [graph for graph in self._awake if graph not in going]
        for graph in going:
            _put_to_sleep(graph)
        if going:
            self._forget_sleepers()

    def _forget_sleepers(self) -> None:
        sleeping = {id(graph): graph for known in self._known.values() for graph in known.values() if _sleeps(graph)}
        total = sum(len(graph.packed) for graph in sleeping.values() if isinstance(graph, _Graph))
        for known in self._known.values():
            for uid, graph in known.items():
                if total <= self._limits.sleeping_bytes:
                    return
                if isinstance(graph, _Graph) and _sleeps(graph):
                    total -= len(graph.packed) if graph.uses == 1 else 0
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


def _sleeps(graph: _Graph | str) -> bool:
    return isinstance(graph, _Graph) and graph.program is None


def _put_to_sleep(graph: _Graph) -> None:
    if graph.uses and graph.message is not None:
        graph.packed = zlib.compress(graph.message.body, PACKING)
    graph.message = graph.program = None


def _let_go(graph: _Graph | str | None) -> None:
    """One uid less means the graph."""
    if isinstance(graph, _Graph):
        graph.uses -= 1
