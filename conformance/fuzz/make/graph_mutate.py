"""Mutators of graphs: their records, the ids by which these refer to each other, and the list of nodes.

They are asked only about graphs that have records.
"""

from collections.abc import Callable, Sequence
from typing import cast

import attrs

from conformance.fuzz.make.changes import changed, harmless, shown
from conformance.fuzz.make.recipes import RECIPES
from conformance.fuzz.make.scene import Quad, Scene, packed
from conformance.fuzz.make.source import Source, pick
from conformance.fuzz.request import TENSOR, Field, Nodes, Record, Request

__all__ = ["GRAPH_MUTATORS", "MILD_GRAPH_MUTATORS"]

Mutator = Callable[[Source, Scene, Request], Request | None]

TOP64 = 1 << 64
COUNTS = (0, 1, 2, 1 << 16, 1 << 31, (1 << 32) - 1)


def _edited(
    request: Request, words: str, ids: Sequence[int] | None = None, records: Sequence[Record] | None = None
) -> Request:
    """A graph with another node list or other records; n_nodes follows."""
    graph = cast(Nodes, request.graph)
    nodes = graph.ids if ids is None else tuple(ids)
    other = attrs.evolve(graph, ids=nodes, records=graph.records if records is None else tuple(records))
    return request.saying(words, graph=other, fields={**request.fields, "n_nodes": len(nodes)})


def _one(source: Source, request: Request) -> tuple[int, Record]:
    """One of the records; the last ones, which are results, are the simpler choice."""
    records = cast(Nodes, request.graph).records
    at = len(records) - 1 - source.below(len(records))
    return at, records[at]


def _with(request: Request, at: int, said: dict[str, Field], words: str) -> Request:
    """Fields of a record said otherwise."""
    records = list(cast(Nodes, request.graph).records)
    records[at] = cast(Record, {**records[at], **said})
    return _edited(request, f"record {at} (id {shown(records[at]['id'])}): {words}", records=records)


def _record(source: Source, scene: Scene, request: Request) -> Request | None:
    """Any field of a record."""
    at, record = _one(source, request)
    said, words = changed(source, scene, scene.dialect.structs[TENSOR], record, NODE_NAMES, record)
    return _with(request, at, said, words)


def _params(source: Source, scene: Scene, request: Request) -> Request | None:
    """A parameter word of a node: whether that is wrong depends on the op alone."""
    at, record = _one(source, request)
    said, words = changed(source, scene, scene.dialect.structs[TENSOR], record, ("op_params",), record)
    return _with(request, at, said, words)


def _harmless(source: Source, scene: Scene, request: Request) -> Request | None:
    """What a server ignores in a record: TENSOR-12 to TENSOR-14."""
    at, _ = _one(source, request)
    return _with(request, at, harmless(source), "another name, use_count and view_offs")


def _permuted(source: Source, scene: Scene, request: Request) -> Request | None:
    """Two dimensions exchanged, with their strides: the same bytes, seen otherwise."""
    at, record = _one(source, request)
    ne, nb = list(cast(Quad, record["ne"])), list(cast(Quad, record["nb"]))
    a, b = source.below(len(ne)), source.below(len(ne))
    ne[a], ne[b], nb[a], nb[b] = ne[b], ne[a], nb[b], nb[a]
    return _with(request, at, {"ne": tuple(ne), "nb": tuple(nb)}, f"dimensions {a} and {b} exchanged")


def _reshaped(source: Source, scene: Scene, request: Request) -> Request | None:
    """As many elements or fewer, in other extents, without gaps."""
    at, record = _one(source, request)
    kind, ne = scene.dialect.types.get(cast(int, record.get("type", 0))), list(cast(Quad, record["ne"]))
    if kind is None:
        return None
    dim = source.below(len(ne))
    if source.below(2):
        ne[dim] = max(ne[dim] - 1, 0)
    else:
        ne[dim], ne[(dim + 1) % len(ne)] = 1, ne[dim] * ne[(dim + 1) % len(ne)]
    shape: Quad = (ne[0], ne[1], ne[2], ne[3])
    return _with(request, at, {"ne": shape, "nb": packed(kind, shape)}, f"extents {shape} without gaps")


def _repeated(source: Source, scene: Scene, request: Request) -> Request | None:
    """A dimension whose elements are all the same, and as many as one likes."""
    at, record = _one(source, request)
    ne, nb = list(cast(Quad, record["ne"])), list(cast(Quad, record["nb"]))
    dim = source.below(len(ne))
    nb[dim], ne[dim] = 0, pick(source, (ne[dim], 2, 1 << 10, 1 << 20, 1 << 30))
    return _with(request, at, {"ne": tuple(ne), "nb": tuple(nb)}, f"dimension {dim} is {ne[dim]} times the same")


def _other_op(source: Source, scene: Scene, request: Request) -> Request | None:
    """Another op with the same operands."""
    at, _ = _one(source, request)
    op = scene.dialect.op(pick(source, list(RECIPES)))
    return _with(request, at, {"op": op.number}, f"op {op.name}")


def _other_type(source: Source, scene: Scene, request: Request) -> Request | None:
    """Another type of the same size, so that all bounds hold."""
    at, record = _one(source, request)
    kind = scene.dialect.types.get(cast(int, record.get("type", 0)))
    alike = [
        each for each in scene.dialect.types.values() if kind and (each.block, each.bytes) == (kind.block, kind.bytes)
    ]
    if not alike:
        return None
    other = pick(source, alike)
    return _with(request, at, {"type": other.number}, f"type {other.name}")


def _swapped(source: Source, scene: Scene, request: Request) -> Request | None:
    """Two records exchanged, or two nodes."""
    graph = cast(Nodes, request.graph)
    if len(graph.ids) > 1 and source.below(2):
        ids = list(graph.ids)
        a, b = source.below(len(ids)), source.below(len(ids))
        ids[a], ids[b] = ids[b], ids[a]
        return _edited(request, f"nodes {a} and {b} exchanged", ids=ids)
    records = list(graph.records)
    a, b = source.below(len(records)), source.below(len(records))
    records[a], records[b] = records[b], records[a]
    return _edited(request, f"records {a} and {b} exchanged", records=records)


def _ids_swapped(source: Source, scene: Scene, request: Request) -> Request | None:
    """Two records under each other's ids."""
    records = list(cast(Nodes, request.graph).records)
    a, b = source.below(len(records)), source.below(len(records))
    first, second = records[a], records[b]
    records[a], records[b] = {**first, "id": second["id"]}, {**second, "id": first["id"]}
    return _edited(request, f"ids of records {a} and {b} exchanged", records=records)


def _without(source: Source, scene: Scene, request: Request) -> Request | None:
    """A record less, or a node less."""
    graph = cast(Nodes, request.graph)
    if graph.ids and source.below(2):
        at = source.below(len(graph.ids))
        return _edited(request, f"node {at} left away", ids=graph.ids[:at] + graph.ids[at + 1 :])
    at = source.below(len(graph.records))
    return _edited(request, f"record {at} left away", records=graph.records[:at] + graph.records[at + 1 :])


def _twice(source: Source, scene: Scene, request: Request) -> Request | None:
    """A record twice, a node twice, or a node that has no record."""
    graph = cast(Nodes, request.graph)
    how = source.below(3)
    if how == 0:
        at = source.below(len(graph.records))
        return _edited(request, f"record {at} twice", records=(*graph.records, graph.records[at]))
    known = cast(int, pick(source, graph.records)["id"])
    other = known if how == 1 else pick(source, (0, 7, TOP64 - 1))
    return _edited(request, f"node {shown(other)} listed besides", ids=(*graph.ids, other))


def _counts(source: Source, scene: Scene, request: Request) -> Request | None:
    """n_nodes or n_tensors that is not how many there are."""
    graph, count = cast(Nodes, request.graph), pick(source, COUNTS)
    if source.below(2):
        return request.saying(f"n_nodes {count}", fields={**request.fields, "n_nodes": count})
    return request.saying(f"n_tensors {count}", graph=attrs.evolve(graph, n_tensors=count))


NODE_NAMES = (
    *("ne", "nb", "op_params", "data", "type", "op", "src", "ne", "nb", "op_params", "src", "data", "type"),
    *("buffer", "flags", "view_src", "view_offs", "id", "use_count"),
)


MILD_GRAPH_MUTATORS: Sequence[Mutator] = (_harmless, _params, _params, _permuted, _reshaped, _other_type)
GRAPH_MUTATORS: Sequence[Mutator] = (
    *(_record,) * 16,
    *(_params,) * 4,
    *(_reshaped, _permuted, _repeated, _other_op, _other_type) * 3,
    *(_swapped, _ids_swapped, _without, _twice, _counts),
)
"""as often as each stands there"""
