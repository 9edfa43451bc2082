"""GRAPH-18 for every op: operands that are missing, extents that do not fit, types that the op does not have.

Rules
- Each op has one case of each kind, in which one thing after the other is wrong, each on a connection of its own; the
  first that is not refused fails the case and is named.
- Each op has one case that is sound. Where it passes, the others cannot have been refused for another reason. A testee
  without a kernel for the op closes the connection in all of them (GRAPH-19); the sound one then says so.
- A server may have kernels for more operand types than upstream's (ops.md), so another type is refused or computed. The
  type of a result is the op's own, so another one is refused.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import attrs

from conformance.cases.graph.build import Graph, Tensor
from conformance.cases.graph.malformed.extents import RESULT, Wrong, wrong_extents
from conformance.cases.graph.malformed.sound import SOUND, Sound
from conformance.cases.graph.placed import Placed, closed_or_served, placed
from conformance.cases.samples import slug
from conformance.cases.talk import greet, refused
from conformance.judge.case import Case, Script, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import MAIN, End, Leave, Mismatch, NotOffered, Receive, Reply, Send, Talk, require
from spec.dialect import OpDef
from spec.load import load

__all__ = ["CASES", "Variant", "each_refused", "since"]

_section = Section()
CASES = _section.cases

MISSING_OPERAND = "llama.cpp#13167"
OTHER_TYPES = ("I8", "F64")
"""one with smaller elements than any that ops compute with, one with larger"""
SHAPE_REPORTS = {"GET_ROWS": "llama.cpp#26825", "SET_ROWS": "llama.cpp#26912"}

Variant = tuple[str, Graph]
"""what is wrong, and the graph"""
Variants = Callable[[Codec], Iterable[Variant]]


def each_refused(variants: Variants, codec: Codec) -> Talk[None]:
    """Each graph, on a connection of its own, has to close it."""
    yield from _each(variants, codec, lambda request, on: refused(codec, request, on))


def _each_tolerated(variants: Variants, codec: Codec) -> Talk[None]:
    """Each graph, on a connection of its own, may be computed or close it."""

    def tolerated(request: bytes, on: str) -> Talk[None]:
        yield Send(request, on)
        yield from closed_or_served(codec, on)

    yield from _each(variants, codec, tolerated)


def _each(variants: Variants, codec: Codec, judge: Callable[[bytes, str], Talk[None]]) -> Talk[None]:
    for wrong, graph in variants(codec):
        try:
            yield from greet(codec, wrong)
            there = yield from _of_zeros(codec, graph, wrong)
            yield from judge(there.message(), wrong)
        except Mismatch as other:
            raise Mismatch(f"{wrong}: {other.expected}", other.came, other.silent) from other
        yield Leave(wrong)


def _of_zeros(codec: Codec, graph: Graph, on: str = MAIN) -> Talk[Placed]:
    """The graph in a buffer of zeros: fresh memory need not be that, and indices have to be in range."""
    there = yield from placed(codec, graph, on)
    yield Send(codec.request("BUFFER_CLEAR", handle=there.buffer.handle, value=0), on)
    return there


def _sound(sound: Sound, codec: Codec) -> Talk[None]:
    """Run it; a testee that closes the connection has no kernel."""
    yield from greet(codec)
    there = yield from _of_zeros(codec, sound.graph())
    yield Send(there.message() + codec.request("DEVICE_COUNT"))
    answer = yield Receive()
    if isinstance(answer, End) and not answer.rest:
        raise NotOffered(f"no kernel for {sound.op}")
    is_served = isinstance(answer, Reply) and answer.declared == codec.size("device_count_rsp")
    require(is_served, "a reply to DEVICE_COUNT, the graph's next command", answer)


def _missing(sound: Sound, op: OpDef) -> Iterator[Variant]:
    """Each operand that has to be there is not, in turn."""
    for operand in op.operands:
        if not operand.optional:
            yield f"without {operand.name}", _with_node(sound, partial(_emptied, operand.slot))


def _emptied(slot: int, node: Tensor) -> Tensor:
    return attrs.evolve(node, srcs=tuple(None if at == slot else source for at, source in enumerate(node.srcs)))


def _with_node(sound: Sound, change: Callable[[Tensor], Tensor]) -> Graph:
    whole = sound.graph()
    (node,) = whole.results
    return whole.replacing(node, change(node))


def _of_other_extents(sound: Sound, op: OpDef) -> Iterator[Variant]:
    for wrong in wrong_extents(op, sound):
        yield str(wrong), _changed(sound, op, wrong.tensor, partial(_extended, wrong))


def _extended(wrong: Wrong, tensor: Tensor) -> Tensor:
    ne = [*tensor.ne, *(1,) * (wrong.dimension + 1 - len(tensor.ne))]
    ne[wrong.dimension] = wrong.extent
    return attrs.evolve(tensor, ne=tuple(ne))


def _changed(sound: Sound, op: OpDef, name: str, change: Callable[[Tensor], Tensor]) -> Graph:
    """The graph whose operand of that name, or result, is another."""
    if name == RESULT:
        return _with_node(sound, change)
    whole = sound.graph()
    slot = next(operand.slot for operand in op.operands if operand.name == name)
    (node,) = whole.results
    source = node.srcs[slot]
    return whole if source is None else whole.replacing(source, change(source))


def _retyped(kind: str, tensor: Tensor) -> Tensor:
    return attrs.evolve(tensor, type=kind)


def _operands_of_other_types(sound: Sound, op: OpDef) -> Iterator[Variant]:
    for operand in op.operands[: len(sound.operands)]:
        named = set(re.findall(r"\w+", operand.types))
        for kind in OTHER_TYPES:
            if not named & {"any", kind}:
                yield f"{operand.name} of type {kind}", _changed(sound, op, operand.name, partial(_retyped, kind))


def _result_of_other_types(sound: Sound, op: OpDef) -> Iterator[Variant]:
    """Where the op says what its result's type is."""
    is_said = re.search(r"\btype (?:and extents )?of\b|\b[FI]\d\d\b", op.shape) and "as sent" not in op.shape
    for kind in OTHER_TYPES if is_said else ():
        yield f"a result of type {kind}", _changed(sound, op, RESULT, partial(_retyped, kind))


Make = Callable[[Sound, OpDef], Iterator[Variant]]


def _variants(make: Make, sound: Sound, codec: Codec) -> Iterable[Variant]:
    return make(sound, codec.dialect.op(sound.op))


def since(op: str) -> str | None:
    """The version that brought the op."""
    return next(entry.since for entry in load().ops if entry.name == op)


def _add(op: str, name: str, title: str, script: Script, upstream: str = "", ordinary: bool = False) -> None:
    _section.add(
        Case(
            id=f"GRAPH-18/{slug(op)}-{name}",
            title=title,
            script=script,
            since=since(op),
            upstream=upstream,
            ordinary=ordinary,
        )
    )


def _declare(sound: Sound, op: OpDef) -> None:
    name = op.name
    _add(name, "sound", f"A sound {name} node is taken", partial(_sound, sound), ordinary=True)
    for kind, what, make, upstream in (
        ("operands-missing", "without one of its operands", _missing, MISSING_OPERAND),
        ("extents", "of extents that its rule does not allow", _of_other_extents, SHAPE_REPORTS.get(name, "")),
        ("result-type", "whose result has another type", _result_of_other_types, ""),
    ):
        if any(make(sound, op)):
            title = f"A {name} node {what} closes the connection"
            _add(name, kind, title, partial(each_refused, partial(_variants, make, sound)), upstream)
    if any(_operands_of_other_types(sound, op)):
        title = f"A {name} node with an operand of a type that it does not list is computed, or closes the connection"
        _add(
            name, "operand-types", title, partial(_each_tolerated, partial(_variants, _operands_of_other_types, sound))
        )


for _op in load().dialect(load().newest).ops:
    if _op.name in SOUND:
        _declare(SOUND[_op.name], _op)
