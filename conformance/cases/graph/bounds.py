"""GRAPH-14, 15, 28 and 31 to 33: where records lie, and how large they are.

Every graph is y = x + x of four numbers with a leaf beside it that nobody reads, in a buffer that has a neighbour on
the same connection; a case says something else of one record. What is wrong with a result or an operand is
wrong with an idle leaf as well. Extents are said of operand and result alike, so that they fit each other still.
"""

from collections.abc import Callable, Mapping
from functools import partial

import attrs

from conformance.cases.graph.build import Graph, Tensor, graph, held, leaf, node, view
from conformance.cases.graph.placed import (
    Placed,
    changed,
    closed_or_served,
    computed,
    equals,
    message,
    placed,
    refuses,
    results,
    tolerates,
)
from conformance.cases.sums import NUMBERS
from conformance.cases.talk import Buffer, allocate, greet, opened, put, refused, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import Send, Talk

__all__ = ["CASES", "OVERLAPPING"]

_section = Section()
_case = _section.case
CASES = _section.cases

TOP = 1 << 64
HALF = 1 << 31
ALL_ONES = (1 << 32) - 1
FLOAT = 4
ROW = 16
"""bytes of four numbers"""
ROLES = {"operand": (0,), "result": (1,), "both": (0, 1), "leaf": (2,)}
"""whose record says something else > places of those records"""
NAMED = {
    "operand": "The operand",
    "result": "The result",
    "both": "The operand and the result",
    "leaf": "A leaf that nobody reads",
}
ONE_OF_THEM = ("operand", "result", "leaf")
OF_OTHER_EXTENTS = ("both", "leaf")
AGAINST_BOUNDS = "llama.cpp#20908"

Fields = Mapping[str, Value]
Say = Callable[[Buffer], Fields]
"""the buffer of the graph > what its record says instead"""


def _graph() -> Graph:
    """x (1), y = x + x (2), idle (3)."""
    x = held(NUMBERS)
    y = node("ADD", "F32", (4,), x, x)
    return Graph(tensors=(x, y, leaf("F32", (4,))), nodes=(y,), results=(y,))


def _ready(codec: Codec) -> Talk[Placed]:
    """The graph in a buffer between two others."""
    yield from greet(codec)
    yield from allocate(codec)
    there = yield from placed(codec, _graph())
    yield from allocate(codec)
    return there


def _said(there: Placed, role: str, say: Say) -> bytes:
    records = list(there.records())
    for at in ROLES[role]:
        records[at] = changed(there.codec, records[at], **say(there.buffer))
    return message(there.codec, (2,), records)


def _refuse(role: str, say: Say, codec: Codec) -> Talk[None]:
    there = yield from _ready(codec)
    yield from refused(codec, _said(there, role, say))


def _tolerate(role: str, say: Say, codec: Codec) -> Talk[None]:
    there = yield from _ready(codec)
    yield Send(_said(there, role, say))
    yield from closed_or_served(codec)


def _shape(ne: tuple[int, ...], nb: tuple[int, ...]) -> Say:
    return lambda buffer: {"ne": ne, "nb": nb}


OUTSIDE: Mapping[str, tuple[Say, str]] = {
    "begins-before": (lambda b: {"data": b.base - FLOAT}, "begins 4 bytes before its buffer"),
    "lies-before": (lambda b: {"data": b.base - ROW}, "lies before its buffer"),
    "ends-behind": (lambda b: {"data": b.base + b.size - ROW + FLOAT}, "ends 4 bytes behind its buffer"),
    "lies-behind": (lambda b: {"data": b.base + b.size}, "lies behind its buffer"),
    "address-zero": (lambda b: {"data": 0}, "names its buffer and address 0"),
    "address-wraps": (lambda b: {"data": TOP - FLOAT}, "has an end that wraps around 2^64"),
    "long-step": (lambda b: {"nb": (b.size // 2, b.size, b.size, b.size)}, "has numbers behind its buffer"),
}
"""slug > what the record says, and what is wrong with it"""

TOO_LARGE: Mapping[str, tuple[Say, str]] = {
    "long-row": (
        lambda b: {"ne": (b.size // FLOAT + 1, 1, 1, 1), "nb": (FLOAT, b.size + FLOAT, b.size + FLOAT, b.size + FLOAT)},
        "is longer than its buffer",
    ),
    "long-stride": (
        lambda b: {"ne": (2, 2, 1, 1), "nb": (FLOAT, b.size, 2 * b.size, 2 * b.size)},
        "has a second row behind its buffer",
    ),
    "far-batch": (_shape((2, 1, 1, 2), (FLOAT, 8, 8, ALL_ONES - 3)), "has a last batch 4 GiB behind the first"),
}

WRAPPING: Mapping[str, tuple[Say, str]] = {
    "span-wraps-2-32": (_shape((1, (1 << 16) + 1, 1, 1), (4, 1 << 16, 4, 4)), "has a span of 2^32 + 4 bytes"),
    "span-wraps-2-64": (
        _shape((1, ALL_ONES, 6 * (1 << 28) + 1, 1), (FLOAT, ALL_ONES - 3, 16, 16)),
        "has a span of 2^64 + 12 bytes",
    ),
    "elements-wrap-2-32": (_shape((1 << 16, 1 << 16, 1, 1), (4, 0, 0, 0)), "has 2^32 elements"),
    "elements-wrap-2-64": (_shape((1 << 16,) * 4, (4, 0, 0, 0)), "has 2^64 elements"),
    "elements-2-63": (_shape((1 << 31, 1 << 16, 1 << 16, 1), (4, 0, 0, 0)), "has 2^63 elements"),
}

ELSEWHERE: Mapping[str, tuple[Say, str]] = {
    "address-without-buffer": (lambda b: {"buffer": 0}, "has an address and no buffer"),
    "unknown-buffer": (lambda b: {"buffer": b.handle ^ HALF}, "names a buffer that was never allocated"),
}
NOT_HERE: Mapping[str, tuple[Say, str]] = {
    "elsewhere": (lambda b: {"buffer": 0, "data": 0}, "lives elsewhere"),
    "unknown-buffer-address-zero": (
        lambda b: {"buffer": b.handle ^ HALF, "data": 0},
        "names a buffer that was never allocated, and address 0",
    ),
}
"""what is right for a leaf that nobody reads"""

ODD: Mapping[str, tuple[Say, str]] = {
    "operand-address": (lambda b: {"data": b.base + 2 * ROW + 1}, "begins between two numbers"),
    "result-address": (lambda b: {"data": b.base + 2 * ROW + 1}, "begins between two numbers"),
    "operand-step": (lambda b: {"nb": (5, 20, 20, 20)}, "has its numbers 5 bytes apart"),
    "result-step": (lambda b: {"nb": (5, 20, 20, 20)}, "has its numbers 5 bytes apart"),
    "operand-half-a-step": (lambda b: {"nb": (2, 8, 8, 8)}, "has its numbers 2 bytes apart"),
    "both-stride": (_shape((2, 2, 1, 1), (4, 9, 18, 18)), "has its rows 9 bytes apart"),
}
"""role and slug > what the record says, and what is wrong with it"""


def _declare(
    clause: str, table: Mapping[str, tuple[Say, str]], roles: tuple[str, ...] = ONE_OF_THEM, upstream: str = ""
) -> None:
    for name, (say, wrong) in table.items():
        for role in roles:
            _section.add(
                Case(
                    id=f"{clause}/{role}-{name}",
                    title=f"{NAMED[role]} {wrong}: the connection is closed",
                    script=partial(_refuse, role, say),
                    upstream=upstream,
                )
            )


_declare("GRAPH-14", ELSEWHERE, upstream=AGAINST_BOUNDS)
_declare("GRAPH-14", NOT_HERE, ("operand", "result"))
_declare("GRAPH-15", OUTSIDE)
_declare("GRAPH-15", TOO_LARGE, OF_OTHER_EXTENTS)
_declare("GRAPH-28", WRAPPING, OF_OTHER_EXTENTS)

for _name, (_say, _wrong) in ODD.items():
    _role = _name.partition("-")[0]
    _section.add(
        Case(
            id=f"GRAPH-32/{_name}",
            title=f"{NAMED[_role]} {_wrong}: it is taken as it stands, or closes the connection",
            script=partial(_tolerate, _role, _say),
        )
    )


@_case("GRAPH-14/freed-buffer")
def _freed(codec: Codec) -> Talk[None]:
    """An operand in a buffer that has been freed closes the connection"""
    there = yield from _ready(codec)
    other = yield from allocate(codec)
    yield Send(codec.request("FREE_BUFFER", handle=other.handle))
    yield from refused(codec, _said(there, "operand", lambda _: {"buffer": other.handle, "data": other.base}))


@_case("GRAPH-14/other-connection", clients=2)
def _of_others(codec: Codec) -> Talk[None]:
    """An operand in another connection's buffer closes the connection"""
    there = yield from _ready(codec)
    other = yield from opened(codec, on="other")
    yield from refused(codec, _said(there, "operand", lambda _: {"buffer": other.handle, "data": other.base}))
    yield from still_served(codec, on="other")


@_case("GRAPH-14/view-elsewhere-is-read")
def _view_elsewhere(codec: Codec) -> Talk[None]:
    """A node that reads a view which lives elsewhere closes the connection"""
    yield from greet(codec)
    away = leaf("F32", (4,)).saying(buffer=0, data=0)
    seen = view(away, (4,)).saying(buffer=0, data=0)
    there = yield from placed(codec, graph(node("ADD", "F32", (4,), held(NUMBERS), seen)))
    yield from refused(codec, there.message())


@_case("GRAPH-15/two-buffers", ordinary=True)
def _two_buffers(codec: Codec) -> Talk[None]:
    """Operands and results may lie in different buffers"""
    there = yield from _ready(codec)
    other = yield from allocate(codec)
    x, y, idle = there.records()
    moved = changed(codec, x, buffer=other.handle, data=other.base + other.size - ROW)
    yield from put(codec, moved, (3 * NUMBERS).tobytes())
    yield Send(message(codec, (2,), (moved, y, idle)))
    (body,) = yield from results(there)
    equals(body, 6 * NUMBERS)


def _through_a_view(seen: Tensor, codec: Codec) -> Talk[None]:
    yield from greet(codec)
    there = yield from placed(codec, graph(node("ADD", "F32", (4,), seen, seen)))
    yield Send(there.message())
    yield from closed_or_served(codec)


OUT_OF_SOURCE = {
    "GRAPH-31/behind-its-source": (ROW, "begins where its source ends"),
    "GRAPH-31/half-outside": (ROW // 2, "ends behind its source"),
}

for _id, (_at, _wrong) in OUT_OF_SOURCE.items():
    _section.add(
        Case(
            id=_id,
            title=f"A view {_wrong}, inside the buffer: it is taken as it stands, or closes the connection",
            script=partial(_through_a_view, view(held(NUMBERS), (4,), at=_at)),
        )
    )


@_case("GRAPH-31/in-another-buffer")
def _view_in_another(codec: Codec) -> Talk[None]:
    """A view in another buffer than its source is taken as it stands, or closes the connection"""
    yield from greet(codec)
    seen = view(held(NUMBERS), (4,))
    there = yield from placed(codec, graph(node("ADD", "F32", (4,), seen, seen)))
    other = yield from allocate(codec)
    records = list(there.records())
    records[1] = changed(codec, records[1], buffer=other.handle, data=other.base)
    yield Send(message(codec, there.node_ids(), records))
    yield from closed_or_served(codec)


OVERLAPPING = {
    "GRAPH-33/all-on-one": ((4, 1, 1), (0, 0, 0, 0), "All numbers of a result lie in one place"),
    "GRAPH-33/rows-on-one": ((2, 2, 1), (4, 0, 8, 8), "Two rows of a result lie in one place"),
    "GRAPH-33/rows-overlap": ((2, 2, 1), (4, 4, 8, 8), "Rows of two numbers lie one number apart"),
    "GRAPH-33/batches-overlap": ((1, 2, 2), (4, 8, 8, 16), "Batches of two rows lie one row apart"),
}


def _onto_itself(ne: tuple[int, ...], nb: tuple[int, ...], codec: Codec) -> Graph:
    x = held(NUMBERS.reshape(ne[::-1]))
    return graph(attrs.evolve(node("ADD", "F32", ne, x, x), nb=nb))


for _id, (_ne, _nb, _wrong) in OVERLAPPING.items():
    _section.add(
        Case(
            id=_id,
            title=f"{_wrong}: the connection is closed",
            script=partial(refuses, partial(_onto_itself, _ne, _nb)),
        )
    )


@_case("GRAPH-33/gaps", ordinary=True)
def _gaps(codec: Codec) -> Talk[None]:
    """Rows of a result may have gaps between them"""
    x = held(NUMBERS.reshape(2, 2))
    y = attrs.evolve(node("ADD", "F32", (2, 2), x, x), nb=(4, 16, 32, 32))
    (body,) = yield from computed(codec, graph(y))
    equals(body[:8] + body[16:24], 2 * NUMBERS)


@_case("GRAPH-33/operand-on-itself", ordinary=True)
def _operand_on_itself(codec: Codec) -> Talk[None]:
    """Rows of an operand may lie in one place"""
    x = held(NUMBERS.reshape(2, 2))
    first = attrs.evolve(view(x, (2, 2)), nb=(4, 0, 8, 8))
    (body,) = yield from computed(codec, graph(node("ADD", "F32", (2, 2), x, first)))
    equals(body, NUMBERS.reshape(2, 2) + NUMBERS[:2])


@_case("GRAPH-32/blocks-apart")
def _blocks_apart(codec: Codec) -> Talk[None]:
    """Blocks of a quantised operand with gaps between them are taken as they stand, or close the connection"""
    kind = codec.dialect.type("Q8_0")
    weights = attrs.evolve(leaf("Q8_0", (2 * kind.block, 1)), nb=(2 * kind.bytes, 4 * kind.bytes) * 2)
    product = node("MUL_MAT", "F32", (1, 1), weights, leaf("F32", (2 * kind.block, 1)))
    yield from tolerates(lambda _: graph(product), codec)
