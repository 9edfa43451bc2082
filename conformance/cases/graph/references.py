"""GRAPH-7, 8, 9 and 27: what records may refer to, the order of the node list, circles, and chains of any length."""

from collections.abc import Callable
from functools import partial

import numpy as np

from conformance.cases.graph.build import Graph, Tensor, graph, held, leaf, node
from conformance.cases.graph.messages import STRANGER
from conformance.cases.graph.placed import (
    COUNT_BYTES,
    ID_BYTES,
    Placed,
    changed,
    closed_or_served,
    compute_flag,
    computed,
    equals,
    message,
    placed,
    results,
    uid,
)
from conformance.cases.sums import NUMBERS
from conformance.cases.talk import greet, opened, refused, row
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import Send, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

SLOTS = 10
LAST_SLOT = SLOTS - 1
CHAIN = 300_000
"""records, 90 MB of them: deeper than any thread's stack"""
SHORTER_CHAIN = 30_000
TOO_DEEP = "llama.cpp#25958"


def _sum(first: Tensor, second: Tensor) -> Tensor:
    return node("ADD", "F32", (4,), first, second)


def _three() -> Graph:
    """x (1), y = x + x (2), z = y + x (3)."""
    x = held(NUMBERS)
    return graph(_sum(_sum(x, x), x))


def _src(*slots: int) -> tuple[int, ...]:
    return (*slots, *(0,) * (SLOTS - len(slots)))


@_case("GRAPH-7/more-than-is-read", ordinary=True)
def _more(codec: Codec) -> Talk[None]:
    """Records that no node refers to may be sent along"""
    x = held(NUMBERS)
    wanted = graph(_sum(x, x))
    more = Graph(tensors=(*wanted.tensors, leaf("F32", (4,))), nodes=wanted.nodes, results=wanted.results)
    (body,) = yield from computed(codec, more)
    equals(body, 2 * NUMBERS)


@_case("GRAPH-8/in-order", ordinary=True)
def _in_order(codec: Codec) -> Talk[None]:
    """A node reads what the node before it has computed"""
    (body,) = yield from computed(codec, _three())
    equals(body, 3 * NUMBERS)


@_case("GRAPH-9/cast", ordinary=True)
def _cast(codec: Codec) -> Talk[None]:
    """A CPY node that names itself in src[1] is a cast into its own memory"""
    yield from greet(codec)
    there = yield from placed(codec, graph(node("CPY", "F16", (4,), held(NUMBERS))))
    x, y = there.records()
    yield Send(message(codec, (2,), (x, changed(codec, y, src=_src(1, 2)))))
    (body,) = yield from results(there)
    came = np.frombuffer(body, np.float16)
    require(bool((came == NUMBERS.astype(np.float16)).all()), str(NUMBERS.tolist()), came.tolist())


def _refuse(make: Callable[[Placed], bytes], codec: Codec) -> Talk[None]:
    yield from greet(codec)
    there = yield from placed(codec, _three())
    yield from refused(codec, make(there))


def _with(at: int, nodes: tuple[int, ...] = (2, 3), **fields: Value) -> Callable[[Placed], bytes]:
    """The record at that place says other things; x is 1, y is 2, z is 3."""

    def make(there: Placed) -> bytes:
        records = list(there.records())
        records[at - 1] = changed(there.codec, records[at - 1], **fields)
        return message(there.codec, nodes, records)

    return make


def _copy_of_itself(slot: int) -> Callable[[Placed], bytes]:
    """z is a CPY of y that names itself in another slot than src[1]."""

    def make(there: Placed) -> bytes:
        slots = [2, 2, 0]
        slots[slot] = 3
        op = there.codec.dialect.op("CPY").number
        return _with(3, op=op, src=_src(*slots))(there)

    return make


def _leaf_circle(there: Placed) -> bytes:
    """Two leaves that nobody reads are views of each other."""
    records = there.records()
    fourth = changed(there.codec, records[0], id=4, view_src=5)
    fifth = changed(there.codec, records[0], id=5, view_src=4)
    return message(there.codec, (2, 3), (*records, fourth, fifth))


def _long_circle(there: Placed) -> bytes:
    """x, read by y, read by z, read by x; only z is listed."""
    return _with(1, (3,), op=there.codec.dialect.op("ADD").number, src=_src(3, 3))(there)


REFUSED = {
    "GRAPH-7/src-of-a-node": (_with(3, src=_src(2, STRANGER)), "An operand of a node is no record"),
    "GRAPH-7/src-not-read": (
        _with(3, src=(2, 1, *(0,) * (SLOTS - 3), STRANGER)),
        "The last slot of a node, which its op does not have, names no record",
    ),
    "GRAPH-7/src-of-a-leaf": (_with(1, src=_src(STRANGER)), "A src of a leaf is no record"),
    "GRAPH-7/view-of-a-node": (_with(3, view_src=STRANGER), "The view_src of a node is no record"),
    "GRAPH-7/view-of-a-leaf": (_with(1, view_src=STRANGER), "The view_src of a leaf is no record"),
    "GRAPH-8/operand-later": (
        lambda there: message(there.codec, (3, 2), there.records()),
        "A node stands before its operand in the node list",
    ),
    "GRAPH-8/view-source-later": (
        lambda there: _with(2, (2, 3), src=_src(1, 1), view_src=3)(there),
        "A node stands before its view source in the node list",
    ),
    "GRAPH-8/two-nodes-in-a-circle": (_with(2, src=_src(3, 1)), "Two nodes read each other"),
    "GRAPH-8/two-in-a-circle-one-listed": (
        _with(2, (3,), src=_src(3, 1)),
        "A node and a record that is not listed read each other",
    ),
    "GRAPH-8/three-in-a-circle": (_long_circle, "Three records read each other in a circle"),
    "GRAPH-8/leaves-in-a-circle": (_leaf_circle, "Two leaves that nobody reads are views of each other"),
    "GRAPH-9/reads-itself": (_with(3, src=_src(2, 3)), "An ADD node names itself as its operand"),
    "GRAPH-9/first-slot-of-a-copy": (_copy_of_itself(0), "A CPY node names itself in src[0]"),
    "GRAPH-9/third-slot-of-a-copy": (_copy_of_itself(2), "A CPY node names itself in src[2]"),
    "GRAPH-9/view-of-itself": (_with(3, view_src=3), "A node is a view of itself"),
    "GRAPH-9/leaf-of-itself": (_with(1, src=_src(1)), "A leaf names itself in src[0]"),
}
"""id > the message, and what is wrong with it"""

for _id, (_make, _wrong) in REFUSED.items():
    _section.add(Case(id=_id, title=f"{_wrong}: the connection is closed", script=partial(_refuse, _make)))


def _chain(codec: Codec, field: str, length: int, listed: int) -> Talk[bytes]:
    """A graph of one number: each record reads the one before it, or is a view of it; the last ones are nodes.

    Written into rows of bytes (length, record): packing one record after the other would take longer than to send them.
    """
    buffer = yield from opened(codec)
    first = row(codec, buffer, 4, type=codec.dialect.type("F32").number, ne=(1, 1, 1, 1), nb=(4, 4, 4, 4))
    op = codec.dialect.op("SQR" if field == "src" else "VIEW").number
    rows = np.tile(np.frombuffer(changed(codec, first, op=op, flags=compute_flag(codec)), np.uint8), (length, 1))
    rows[0] = np.frombuffer(first, np.uint8)
    ids = np.arange(1, length + 1, dtype="<u8")
    place = {name: codec.dialect.structs["rpc_tensor"].field(name).offset for name in ("id", field)}
    rows[:, place["id"] : place["id"] + ID_BYTES] = ids.view(np.uint8).reshape(length, ID_BYTES)
    rows[1:, place[field] : place[field] + ID_BYTES] = ids[:-1].view(np.uint8).reshape(length - 1, ID_BYTES)
    behind = ids[-listed:].tobytes() + length.to_bytes(COUNT_BYTES, "little") + rows.tobytes()
    return codec.request("GRAPH_COMPUTE", behind, n_nodes=listed, **uid(codec, "GRAPH_COMPUTE", 1))


def _deep(field: str, length: int, listed: int, codec: Codec) -> Talk[None]:
    yield Send((yield from _chain(codec, field, length, listed)))
    yield from closed_or_served(codec)


CHAINS = {
    "GRAPH-27/chain-of-operands": ("src", CHAIN, 1, "300000 records, each of which reads the one before it"),
    "GRAPH-27/chain-of-views": ("view_src", CHAIN, 1, "300000 records, each of which is a view of the one before it"),
    "GRAPH-27/shorter-chain": ("src", SHORTER_CHAIN, 1, "30000 records, each of which reads the one before it"),
    "GRAPH-27/chain-of-nodes": ("src", SHORTER_CHAIN, SHORTER_CHAIN - 1, "30000 nodes, one behind the other"),
}

for _id, (_field, _length, _listed, _what) in CHAINS.items():
    _section.add(
        Case(
            id=_id,
            title=f"{_what}, are run or refused in time",
            script=partial(_deep, _field, _length, _listed),
            upstream=TOO_DEEP,
        )
    )
