"""What nodes that execute must satisfy by their ops, and what is in memory afterwards (GRAPH-16, GRAPH-18 to GRAPH-20).

Rules
- Of a few ops the model knows the arithmetic: F32 by IEEE 754, and copies. A result is exact or not known: elements
  that are not a number, and zeros where their sign is open, are not.
- Every other op may be refused (GRAPH-19). If it is served, its result's bytes are not known, and all other bytes are
  what they were.
- A result that shares some bytes with an operand, but not all, in place, and as the op allows, is not known either.
"""

from collections.abc import Callable, Mapping, Sequence

import attrs

from conformance.fuzz.model.arithmetic import Outcome, binary, copied, gathered, scaled, scattered
from conformance.fuzz.model.memory import Region
from conformance.fuzz.model.ruling import Doubts, must
from conformance.fuzz.model.session import World
from conformance.fuzz.model.tensors import Tensor
from spec.dialect import OpDef

__all__ = ["Node", "run"]

OUTPUT = 2
SCALAR_KINDS = ("F32", "F16")


@attrs.frozen(eq=False)
class Node:
    """A node that executes with its operands by slot, and where they lie."""

    op: OpDef
    dst: Tensor
    srcs: tuple[Tensor | None, ...]
    places: Mapping[int, Region | None]

    def src(self, slot: int) -> Tensor:
        """An operand that is there."""
        found = self.srcs[slot]
        must(found is not None, "GRAPH-18")
        return found if found is not None else self.dst

    def at(self, tensor: Tensor) -> Region:
        """The bytes of a tensor; of none, none."""
        place = self.places[tensor.id]
        return place if place is not None else Region(self._dst.held, 0, 0)

    @property
    def _dst(self) -> Region:
        place = self.places[self.dst.id]
        if place is None:
            raise ValueError("a result that executes lives here")
        return place

    def are(self, *kinds: str) -> bool:
        """Whether result and operands have those types, in that order."""
        found = [self.dst, *(src for src in self.srcs if src is not None)]
        return len(found) == len(kinds) and all(t.kind and t.kind.name == k for t, k in zip(found, kinds, strict=True))

    def packed(self) -> bool:
        """Whether the result and all operands have no gaps."""
        return self.dst.packed and all(src.packed for src in self.srcs if src is not None)

    def apart(self, *home: int) -> bool:
        """Whether the result shares bytes with no operand, but for those in the slots `home`, whose bytes it has."""
        for slot, src in enumerate(self.srcs):
            if src is None or src.elements == 0 or not self.at(src).meets(self._dst):
                continue
            same = self.at(src).begin == self._dst.begin and (src.ne, src.nb) == (self.dst.ne, self.dst.nb)
            if slot not in home or not same:
                return False
        return True


def run(
    world: World,
    tensors: Mapping[int, Tensor],
    running: Sequence[Tensor],
    places: Mapping[int, Region | None],
    doubts: Doubts,
) -> None:
    """Do to memory what the server has to do; raises Violation where it must not."""
    nodes = [_node(world, tensors, each, places) for each in running]
    for node in nodes:
        for operand in node.op.operands:
            must(operand.optional or node.srcs[operand.slot] is not None, "GRAPH-18")
        listed = {operand.slot for operand in node.op.operands}
        strange = any(src is not None and slot not in listed for slot, src in enumerate(node.srcs))
        doubts.unless(not strange, "GRAPH-18")
    for node in nodes:
        place = places[node.dst.id]
        outcome = RULES.get(node.op.name, _unfollowed)(node, doubts)
        if place is not None:
            _write(node, place, outcome)
    _fused(nodes, places)


def _node(world: World, tensors: Mapping[int, Tensor], tensor: Tensor, places: Mapping[int, Region | None]) -> Node:
    srcs = tuple(tensors[each] if each else None for each in tensor.src)
    return Node(world.dialect.ops[tensor.op], tensor, srcs, places)


def _write(node: Node, place: Region, outcome: Outcome | None) -> None:
    if outcome is None:
        place.blur()
    else:
        outcome.write(node.dst, place)


def _fused(nodes: Sequence[Node], places: Mapping[int, Region | None]) -> None:
    """GRAPH-17: what one later node reads need not be in memory."""
    for at, node in enumerate(nodes):
        read = any(node.dst in later.srcs for later in nodes[at + 1 :])
        place = places[node.dst.id]
        if read and node.dst.use_count == 1 and not node.dst.flags & OUTPUT and not node.dst.view_src and place:
            place.blur()


def _unfollowed(node: Node, doubts: Doubts) -> None:
    doubts.unless(False, "GRAPH-19")


def _known(node: Node, doubts: Doubts, followed: bool, *home: int) -> bool:
    """Whether the arithmetic can be followed. Where the clauses leave open whether it is served, a doubt is noted."""
    doubts.unless(followed, "GRAPH-19")
    apart = node.apart(*home)
    doubts.unless(apart, "GRAPH-16")
    doubts.unless(node.packed(), "GRAPH-19")
    operands = [src for src in node.srcs if src is not None]
    return followed and apart and all(node.at(src).clear() for src in operands)


def _binary(node: Node, doubts: Doubts) -> Outcome | None:
    """OP-ADD, OP-SUB, OP-MUL, OP-DIV."""
    a, b, dst = node.src(0), node.src(1), node.dst
    must(a.ne == dst.ne, "GRAPH-18")
    must(all(m and n % m == 0 for n, m in zip(a.ne, b.ne, strict=True)), "GRAPH-18")
    if not _known(node, doubts, node.are("F32", "F32", "F32"), 0, 1):
        return None
    return binary(node.op.name, (a, node.at(a)), (b, node.at(b)))


def _scale(node: Node, doubts: Doubts) -> Outcome | None:
    """OP-SCALE; with a bias the product may be rounded or not before the sum."""
    x = node.src(0)
    must(x.ne == node.dst.ne, "GRAPH-18")
    must(x.kind is node.dst.kind, "GRAPH-18")
    if not _known(node, doubts, node.are("F32", "F32"), 0):
        return None
    return scaled((x, node.at(x)), node.dst.params[0], node.dst.params[1])


def _copy(node: Node, doubts: Doubts) -> Outcome | None:
    """OP-DUP, OP-CONT, OP-CPY."""
    x, dst = node.src(0), node.dst
    must(x.elements == dst.elements, "GRAPH-18")
    if node.op.name == "CPY":
        to = node.src(1)
        must(to.elements == dst.elements, "GRAPH-18")
        there = (to.ne, to.nb, to.kind, to.data) == (dst.ne, dst.nb, dst.kind, dst.data)
        doubts.unless(there, "GRAPH-18")
    same = x.kind is dst.kind and x.kind is not None and not x.kind.quantised
    cast = {t.kind.name for t in (x, dst) if t.kind} <= set(SCALAR_KINDS)
    if not _known_copy(node, x, doubts, same or cast):
        return None
    return copied((x, node.at(x)), dst)


def _known_copy(node: Node, x: Tensor, doubts: Doubts, followed: bool) -> bool:
    doubts.unless(followed, "GRAPH-19")
    apart = not node.at(x).meets(node.at(node.dst))
    doubts.unless(apart, "GRAPH-16")
    doubts.unless(x.packed and node.dst.packed, "GRAPH-19")
    return followed and apart and node.at(x).clear()


def _get_rows(node: Node, doubts: Doubts) -> Outcome | None:
    """OP-GET_ROWS."""
    x, ids, dst = node.src(0), node.src(1), node.dst
    must(dst.ne == (x.ne[0], *ids.ne[:3]), "GRAPH-18")
    must((ids.ne[1], ids.ne[2], ids.ne[3]) == (x.ne[2], x.ne[3], 1), "GRAPH-18")
    indexed = _indices(node, ids, x.ne[1], ("I32",), doubts)
    if not _known(node, doubts, node.are("F32", "F32", "I32")) or not indexed:
        return None
    return gathered((x, node.at(x)), (ids, node.at(ids)))


def _set_rows(node: Node, doubts: Doubts) -> Outcome | None:
    """OP-SET_ROWS: the result is written over `to`, whose other rows stay; of no rows, none need be checked."""
    rows, ids, to, dst = node.src(0), node.src(1), node.src(2), node.dst
    if rows.elements == 0:
        doubts.unless(False, "GRAPH-18")
        return None
    must(to.ne == dst.ne, "GRAPH-18")
    must((rows.ne[0], rows.ne[2], rows.ne[3]) == (dst.ne[0], dst.ne[2], dst.ne[3]), "GRAPH-18")
    must(ids.ne[0] == rows.ne[1] and ids.ne[3] == 1, "GRAPH-18")
    must(all(m and n % m == 0 for n, m in zip(rows.ne[2:], ids.ne[1:3], strict=True)), "GRAPH-18")
    doubts.unless((to.nb, to.kind, to.data) == (dst.nb, dst.kind, dst.data), "GRAPH-18")
    indexed = _indices(node, ids, dst.ne[1], ("I64", "I32"), doubts)
    followed = node.are("F32", "F32", "I64", "F32") or node.are("F32", "F32", "I32", "F32")
    there = [node.at(src).clear() for src in (rows, ids)]
    doubts.unless(followed, "GRAPH-19")
    apart = node.apart(2)
    doubts.unless(apart, "GRAPH-16")
    doubts.unless(node.packed(), "GRAPH-19")
    if not (followed and apart and indexed and all(there)):
        return None
    return scattered((rows, node.at(rows)), (ids, node.at(ids)))


def _indices(node: Node, ids: Tensor, rows: int, kinds: Sequence[str], doubts: Doubts) -> bool:
    """GRAPH-20, as far as the values are known; whether they are."""
    kind = ids.kind.name if ids.kind else ""
    doubts.unless(kind in kinds, "GRAPH-19")
    if kind not in kinds or not ids.elements:
        return kind in kinds
    if not node.at(ids).clear() or node.at(ids).meets(node.at(node.dst)):
        doubts.unless(False, "GRAPH-20")
        return False
    values = Outcome.elements(ids, node.at(ids))
    must(bool(((values >= 0) & (values < rows)).all()), "GRAPH-20")
    return True


Rule = Callable[[Node, Doubts], Outcome | None]
RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV"), _binary),
    **dict.fromkeys(("DUP", "CONT", "CPY"), _copy),
    "SCALE": _scale,
    "GET_ROWS": _get_rows,
    "SET_ROWS": _set_rows,
}
"""ops whose arithmetic the model follows"""
