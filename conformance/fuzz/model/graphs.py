"""GRAPH_COMPUTE and GRAPH_RECOMPUTE by the model: what the message says, and whether it may run at all.

Rules
- What is checked here holds for all records, or for all nodes that execute, whatever their ops: GRAPH-1 to GRAPH-10,
  GRAPH-13 to GRAPH-15, GRAPH-31 to GRAPH-33. Ops and their operands are nodes.py's.
- Where records live may change between two runs, so a graph that runs again is placed again.
"""

from collections.abc import Iterator, Mapping

import attrs
import numpy as np

from conformance.fuzz.model.memory import Held, Region
from conformance.fuzz.model.nodes import run
from conformance.fuzz.model.ruling import Answer, Doubts, must
from conformance.fuzz.model.session import Ask, Handler, Remembered, Session, World
from conformance.fuzz.model.tensors import Owned, Tensor, placed, sized
from conformance.judge.codec import number

__all__ = ["HANDLERS", "Graph"]

ID_BYTES = 8
COUNT_BYTES = 4
COMPUTE = 16
COUNTED_ELEMENTS = 1 << 16
"""of a result whose strides are strange: so many are looked at one by one"""

Places = dict[int, Region | None]
"""by record id; None for what lives elsewhere or has no elements"""


@attrs.frozen(kw_only=True, eq=False)
class Graph:
    """A message that can be read: records by id, node ids in order; doubts that it raised by itself."""

    tensors: Mapping[int, Tensor]
    nodes: tuple[int, ...]
    doubts: tuple[str, ...]


def _read(world: World, ask: Ask) -> Graph:
    """GRAPH-1 to GRAPH-8, GRAPH-10."""
    count, size = ask.number("n_nodes"), world.structs["rpc_tensor"].size
    begin = count * ID_BYTES + COUNT_BYTES
    must(len(ask.tail) >= begin, "GRAPH-2")
    ids = tuple(number(ask.tail[at : at + ID_BYTES]) for at in range(0, count * ID_BYTES, ID_BYTES))
    records = number(ask.tail[begin - COUNT_BYTES : begin])
    must(len(ask.tail) >= begin + records * size, "GRAPH-2")
    doubts = Doubts()
    doubts.unless(len(ask.tail) == begin + records * size, "GRAPH-3")
    listed = [world.tensor(ask.tail, begin + at * size) for at in range(records)]
    tensors = {tensor.id: tensor for tensor in listed}
    must(0 not in tensors and len(tensors) == len(listed), "GRAPH-5")
    must(len(set(ids)) == len(ids) and all(each in tensors for each in ids), "GRAPH-6")
    for tensor in listed:
        must(all(each in tensors for each in _references(tensor)), "GRAPH-7")
        must(tensor.op < len(world.dialect.ops), "GRAPH-10")
        sized(tensor, doubts)
    _ordered(world, tensors, ids, doubts)
    for each in ids:
        must(not world.dialect.ops[tensors[each].op].never_accepted, "GRAPH-10")
    return Graph(tensors=tensors, nodes=ids, doubts=tuple(doubts.clauses))


def _references(tensor: Tensor) -> Iterator[int]:
    yield from (each for each in tensor.src if each)
    if tensor.view_src:
        yield tensor.view_src


def _ordered(world: World, tensors: Mapping[int, Tensor], ids: tuple[int, ...], doubts: Doubts) -> None:
    """GRAPH-8, GRAPH-9: no circles, and nodes behind what they refer to."""
    place = {each: at for at, each in enumerate(ids)}
    named_by: dict[int, set[int]] = {}
    for tensor in tensors.values():
        named = list(_references(tensor))
        if tensor.id in named:
            cast = world.dialect.ops[tensor.op].name == "CPY" and tensor.src[1] == tensor.id
            must(cast and named.count(tensor.id) == 1, "GRAPH-8")
            doubts.unless(tensor.id in place, "GRAPH-9")
        others = {each for each in named if each != tensor.id}
        if tensor.id in place:
            must(all(place.get(each, -1) < place[tensor.id] for each in others), "GRAPH-8")
        named_by[tensor.id] = others
    _no_circle(named_by)


def _no_circle(named: Mapping[int, set[int]]) -> None:
    """Take away what refers to nothing that is left, until nothing is left."""
    left = {each: len(others) for each, others in named.items()}
    readers: dict[int, list[int]] = {each: [] for each in named}
    for each, others in named.items():
        for other in others:
            readers[other].append(each)
    ready = [each for each, count in left.items() if count == 0]
    taken = 0
    while ready:
        taken += 1
        for reader in readers[ready.pop()]:
            left[reader] -= 1
            if left[reader] == 0:
                ready.append(reader)
    must(taken == len(named), "GRAPH-8")


def _places(graph: Graph, owned: Owned, doubts: Doubts) -> Places:
    """GRAPH-14, GRAPH-15, GRAPH-31."""
    places = {each.id: _place(each, owned, doubts) for each in graph.tensors.values()}
    for tensor in graph.tensors.values():
        here, home = places[tensor.id], places.get(tensor.view_src)
        if tensor.view_src and here is not None:
            inside = home is not None and home.held is here.held and home.begin <= here.begin and here.end <= home.end
            doubts.unless(inside, "GRAPH-31")
    return places


def _place(tensor: Tensor, owned: Owned, doubts: Doubts) -> Region | None:
    if tensor.buffer in owned:
        held: Held = owned[tensor.buffer]
        return placed(tensor, held, tensor.span) if tensor.elements else None
    if tensor.data:
        must(not tensor.elements, "GRAPH-14")
        doubts.unless(False, "GRAPH-14")
    doubts.unless(tensor.buffer == 0, "GRAPH-14")
    return None


def _executes(world: World, tensor: Tensor) -> bool:
    return bool(tensor.flags & COMPUTE) and world.dialect.ops[tensor.op].executes and tensor.elements > 0


def _whole(tensor: Tensor, place: Region, doubts: Doubts) -> None:
    """GRAPH-32."""
    if tensor.kind is None:
        return
    if tensor.kind.quantised:
        doubts.unless(tensor.nb[0] == tensor.kind.bytes, "GRAPH-32")
        return
    steps = [nb for ne, nb in zip(tensor.ne, tensor.nb, strict=True) if ne > 1]
    doubts.unless(all(each % tensor.kind.bytes == 0 for each in (place.begin, *steps)), "GRAPH-32")


def _distinct(tensor: Tensor, doubts: Doubts) -> None:
    """GRAPH-33: by strides where they tell, else one by one."""
    if tensor.kind is None or tensor.packed:
        return
    extents = (-(-tensor.ne[0] // tensor.kind.block), *tensor.ne[1:])
    steps = sorted((nb, ne) for ne, nb in zip(extents, tensor.nb, strict=True) if ne > 1)
    reach = tensor.kind.bytes
    for step, extent in steps:
        if step < reach:
            break
        reach = step * (extent - 1) + reach
    else:
        return
    must(all(step for step, _ in steps), "GRAPH-33")
    if tensor.elements > COUNTED_ELEMENTS:
        doubts.unless(False, "GRAPH-33")
        return
    starts = np.zeros(1, np.int64)
    for step, extent in steps:
        starts = (starts[:, None] + np.arange(extent, dtype=np.int64) * step).ravel()
    starts.sort()
    must(bool(np.all(np.diff(starts) >= tensor.kind.bytes)), "GRAPH-33")


def _ruled(session: Session, graph: Graph, ask: Ask) -> frozenset[Held]:
    """Place the graph, check what executes, and run it; the buffers that it has tensors in."""
    world, doubts = session.world, ask.doubts
    doubts.clauses += graph.doubts
    places = _places(graph, session.owned, doubts)
    running = [graph.tensors[each] for each in graph.nodes if _executes(world, graph.tensors[each])]
    for node in running:
        for tensor in (node, *(graph.tensors[each] for each in node.src if each)):
            place = places[tensor.id]
            must(place is not None or not tensor.elements, "GRAPH-14")
            if place is not None:
                _whole(tensor, place, doubts)
        _distinct(node, doubts)
    run(world, graph.tensors, running, places, doubts)
    ask.executed = len(running)
    used = {session.owned[each.buffer] for each in graph.tensors.values() if each.buffer in session.owned}
    return frozenset(used)


def _compute(session: Session, ask: Ask) -> Answer:
    graph = _read(session.world, ask)
    buffers = _ruled(session, graph, ask)
    uid = ask.number("uid") if session.world.has_uids else 0
    if uid or not session.world.has_uids:
        session.graphs[ask.number("device"), uid] = Remembered(graph, buffers)
    return Answer()


def _recompute(session: Session, ask: Ask) -> Answer:
    uid = ask.number("uid") if session.world.has_uids else 0
    found = session.graphs.get((ask.number("device"), uid))
    must(found is not None, "GRAPH-23")
    if found is not None:
        ask.doubts.unless(not found.shaky, "GRAPH-24")
        _ruled(session, found.graph, ask)
    return Answer()


HANDLERS: Mapping[str, Handler] = {"GRAPH_COMPUTE": _compute, "GRAPH_RECOMPUTE": _recompute}
