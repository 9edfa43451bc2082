"""GRAPH_COMPUTE and GRAPH_RECOMPUTE that are valid in a session: recipes, placed in its buffers, with what they need.

Rules
- What a graph reads is uploaded before it, so a graph is several requests: the last one is the message itself.
- Every tensor has a place of its own, unless its op may work in place and it does, or the recipe writes it over an
  operand. A session's buffers may be too small: then there is no graph.
- The order of records is operands first, as clients send them. Ids are small numbers, times STEP.
"""

import struct
from collections.abc import Sequence

import attrs

from conformance.fuzz.make.recipes import RECIPES, Operand, Param, Recipe, strange
from conformance.fuzz.make.scene import ALIGNMENT, DIMENSIONS, Laid, Quad, Scene, packed, span_of
from conformance.fuzz.make.source import Source, often, pick, seldom
from conformance.fuzz.model.memory import Held
from conformance.fuzz.request import Nodes, Record, Request
from spec.dialect import OpDef, TypeDef
from spec.schema import ParamEntry

__all__ = ["computing", "recomputing"]

STEP = 16
COMPUTE, OUTPUT = 16, 2
NODES = 3
UIDS = (1, 2, 0, (1 << 64) - 1)
UPLOADED = 1 << 14
FORMATS = {"i32": "<i", "f32": "<f", "u64": "<Q"}
WORD = 4
SLOTS = 10
FEW_FLOATS = (1.0, -2.0, 0.5, 3.0, 0.0, 7.25, -0.125, 100.0)


@attrs.define(eq=False)
class _Draft:
    """A graph that is being made."""

    source: Source
    scene: Scene
    room: dict[str, int] = attrs.field(factory=dict)
    """where the free bytes of each buffer begin"""
    records: list[Record] = attrs.field(factory=list)
    nodes: list[int] = attrs.field(factory=list)
    uploads: list[Request] = attrs.field(factory=list)
    results: list[tuple[Laid, int]] = attrs.field(factory=list)

    def next_id(self) -> int:
        return STEP * (len(self.records) + 1)

    def place(self, kind: TypeDef, ne: Quad) -> Laid | None:
        """A place of its own for a tensor without gaps."""
        nb = packed(kind, ne)
        span = span_of(kind, ne, nb)
        fitting: list[Held] = [h for h in self.scene.buffers if self.room.get(h.name, 0) + span <= h.size]
        if not fitting:
            return None
        held = pick(self.source, fitting)
        begin = self.room.get(held.name, 0)
        self.room[held.name] = -(-(begin + span) // ALIGNMENT) * ALIGNMENT
        return Laid(kind=kind, ne=ne, nb=nb, held=held.name, begin=begin, span=span)


def _quad(ne: Sequence[int]) -> Quad:
    a, b, c, d = (*ne, *(1,) * (DIMENSIONS - len(ne)))
    return a, b, c, d


def computing(source: Source, scene: Scene, odd: bool = False) -> list[Request] | None:
    """Uploads and GRAPH_COMPUTE of one to NODES nodes; None where nothing fits. odd: the first is a strange one."""
    draft, known = _Draft(source, scene), list(RECIPES.values())
    for at in range(1 + source.below(NODES)):
        recipe = strange(source, scene.dialect) if odd and at == 0 else pick(source, known)(source)
        if not _add(draft, recipe):
            break
    if not draft.nodes:
        return None
    fields: dict[str, int] = {"device": 0, "n_nodes": len(draft.nodes)}
    if scene.session.world.has_uids:
        fields["uid"] = pick(source, UIDS)
    graph = Nodes(ids=tuple(draft.nodes), records=tuple(draft.records))
    words = ("an op with operands of one shape, whatever it needs",) if odd else ()
    return [*draft.uploads, Request(command="GRAPH_COMPUTE", fields=fields, graph=graph, words=words)]


def _add(draft: _Draft, recipe: Recipe) -> bool:
    dialect, source = draft.scene.dialect, draft.source
    op = dialect.op(recipe.op)
    srcs: list[tuple[Laid, int] | None] = []
    for operand in recipe.srcs:
        found = None if operand is None else _operand(draft, operand)
        if operand is not None and found is None:
            return False
        srcs.append(found)
    kind, ne = dialect.type(recipe.kind), _quad(recipe.ne)
    home = srcs[recipe.onto] if recipe.onto is not None else None
    if home is None and op.in_place and srcs and srcs[0] is not None and seldom(source):
        home = srcs[0] if (srcs[0][0].kind, srcs[0][0].ne) == (kind, ne) else None
    there = home[0] if home is not None else draft.place(kind, ne)
    if there is None:
        return False
    id_ = draft.next_id()
    record = there.record(id_) | {
        "op": op.number,
        "op_params": _words(op, recipe),
        "flags": (0 if seldom(source) and seldom(source) else COMPUTE) | (OUTPUT if seldom(source) else 0),
        "src": tuple(src[1] if src is not None else 0 for src in srcs) + (0,) * (SLOTS - len(srcs)),
        "view_src": home[1] if home is not None else 0,
    }
    draft.records.append(record)
    draft.nodes.append(id_)
    draft.results.append((there, id_))
    return True


def _operand(draft: _Draft, wanted: Operand) -> tuple[Laid, int] | None:
    """A leaf, or an earlier result of that type and shape; once in a while through a view."""
    kind, ne = draft.scene.dialect.type(wanted.kind), _quad(wanted.ne)
    if not wanted.below and often(draft.source):
        fitting = [each for each in draft.results if (each[0].kind, each[0].ne) == (kind, ne)]
        if fitting:
            return _viewed(draft, pick(draft.source, fitting))
    there = draft.place(kind, ne)
    if there is None:
        return None
    id_ = draft.next_id()
    draft.records.append(there.record(id_))
    draft.uploads.append(_upload(draft, there, wanted, id_))
    return _viewed(draft, (there, id_))


def _viewed(draft: _Draft, of: tuple[Laid, int]) -> tuple[Laid, int]:
    if not seldom(draft.source):
        return of
    id_ = draft.next_id()
    op = draft.scene.dialect.op(pick(draft.source, ("VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE")))
    src = (of[1],) + (0,) * (SLOTS - 1)
    draft.records.append(of[0].record(id_) | {"op": op.number, "src": src, "view_src": of[1]})
    draft.nodes.append(id_)
    return of[0], id_


def _upload(draft: _Draft, there: Laid, wanted: Operand, id_: int) -> Request:
    return Request(
        command="SET_TENSOR", fields={"tensor": there.record(id_), "offset": 0}, tail=_content(draft, there, wanted)
    )


def _content(draft: _Draft, there: Laid, wanted: Operand) -> bytes:
    """Index values, a few floats over and over, or any bytes."""
    source = draft.source
    if wanted.below:
        count = there.span // there.kind.bytes
        return b"".join(source.below(wanted.below).to_bytes(there.kind.bytes, "little") for _ in range(count))
    if there.kind.name == "F32" and not seldom(source):
        shift = source.below(len(FEW_FLOATS))
        turned = FEW_FLOATS[shift:] + FEW_FLOATS[:shift]
        row = struct.pack(f"<{len(turned)}f", *turned)
        return (row * (there.span // len(row) + 1))[: there.span]
    return source.data(there.span)


def _words(op: OpDef, recipe: Recipe) -> tuple[int, ...]:
    """op_params, by the words that spec/data gives to the op's parameters."""
    words = bytearray(WORD * 16)
    for param in op.params:
        if param.name in recipe.params:
            data = _packed(param, recipe.params[param.name])
            words[param.word * WORD : param.word * WORD + len(data)] = data
    return struct.unpack("<16I", bytes(words))


def _packed(param: ParamEntry, value: Param) -> bytes:
    values = value if isinstance(value, tuple) else (value,)
    return b"".join(struct.pack(FORMATS[param.type], each) for each in values)


def recomputing(source: Source, scene: Scene) -> Request | None:
    """GRAPH_RECOMPUTE of a graph that is remembered."""
    if not scene.session.graphs:
        return None
    device, uid = pick(source, list(scene.session.graphs))
    fields = {"device": device} | ({"uid": uid} if scene.session.world.has_uids else {})
    return Request(command="GRAPH_RECOMPUTE", fields=fields)
