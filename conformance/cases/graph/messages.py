"""GRAPH-1 to 6: counts, what stands behind the last record, devices, ids of records and nodes.

A case about a refusal sends what would be a legal graph otherwise, so that nothing but what it is about can be the
reason for closing.
"""

from collections.abc import Callable
from functools import partial

from conformance.cases.graph.placed import (
    COUNT_BYTES,
    ID_BYTES,
    Placed,
    again,
    changed,
    closed_or_served,
    equals,
    message,
    placed,
    results,
    tail,
    uid,
)
from conformance.cases.sums import NUMBERS, doubled
from conformance.cases.talk import greet, number_of, opened, put, refused, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import Send, Talk, require

__all__ = ["CASES", "STRANGER"]

_section = Section()
_case = _section.case
CASES = _section.cases

ALL_ONES = (1 << 32) - 1
NO_BYTES = 1 << 29
"""so many ids, and so many records, have a size of 0 modulo 2^32"""
TOP_ID = (1 << 64) - 1
STRANGER = 0x517A6E
"""an id that no record has"""


def _ready(codec: Codec) -> Talk[Placed]:
    yield from greet(codec)
    return (yield from placed(codec, doubled()))


def _is_doubled(there: Placed) -> Talk[None]:
    (body,) = yield from results(there)
    equals(body, 2 * NUMBERS)


@_case("GRAPH-1/one-node", ordinary=True)
def _one_node(codec: Codec) -> Talk[None]:
    """A node id and two records are a graph, and its result is in memory afterwards"""
    there = yield from _ready(codec)
    yield Send(there.message())
    yield from _is_doubled(there)


@_case("GRAPH-5/any-numbers", ordinary=True)
def _any_numbers(codec: Codec) -> Talk[None]:
    """Ids are any numbers of 64 bits, in no order"""
    there = yield from _ready(codec)
    x, y = there.records()
    x, y = changed(codec, x, id=TOP_ID), changed(codec, y, id=7, src=(TOP_ID, TOP_ID, *(0,) * 8))
    yield Send(message(codec, (7,), (x, y)))
    yield from _is_doubled(there)


@_case("GRAPH-6/nothing", ordinary=True)
def _nothing(codec: Codec) -> Talk[None]:
    """A graph of no nodes and no tensors is legal"""
    yield from opened(codec)
    yield Send(message(codec, (), ()))
    yield from still_served(codec)


@_case("GRAPH-6/no-nodes", ordinary=True)
def _no_nodes(codec: Codec) -> Talk[None]:
    """A graph of tensors and no nodes is legal, and computes nothing"""
    there = yield from _ready(codec)
    x, y = there.records()
    yield from put(codec, y, NUMBERS.tobytes())
    yield Send(message(codec, (), (x, y)))
    (body,) = yield from results(there)
    require(body == NUMBERS.tobytes(), "the bytes that were there", body.hex(" "))


@_case("GRAPH-3/behind-the-last-record")
def _behind(codec: Codec) -> Talk[None]:
    """Bytes behind the last record are ignored, or close the connection"""
    there = yield from _ready(codec)
    yield Send(_compute(codec, 1, tail(there.node_ids(), there.records()) + bytes(3)))
    yield from closed_or_served(codec)


def _compute(codec: Codec, n_nodes: int, behind: bytes) -> bytes:
    return codec.request("GRAPH_COMPUTE", behind, n_nodes=n_nodes, **uid(codec, "GRAPH_COMPUTE", 1))


def _counting(n_nodes: int, n_tensors: int) -> Callable[[Placed], bytes]:
    """The message with other counts than the true ones, 1 and 2."""

    def make(there: Placed) -> bytes:
        ids = b"".join(each.to_bytes(ID_BYTES, "little") for each in there.node_ids())
        counted = n_tensors.to_bytes(COUNT_BYTES, "little")
        return _compute(there.codec, n_nodes, ids + counted + b"".join(there.records()))

    return make


def _cut(left: int) -> Callable[[Placed], bytes]:
    """The message whose tail ends after so many bytes, or that many before its end."""
    return lambda there: _compute(there.codec, 1, tail(there.node_ids(), there.records())[:left])


def _listing(*ids: int) -> Callable[[Placed], bytes]:
    """The records with another node list than (2,)."""
    return lambda there: message(there.codec, ids, there.records())


def _with(at: int, **fields: int) -> Callable[[Placed], bytes]:
    """One record says other things; the node list is (2,)."""

    def make(there: Placed) -> bytes:
        records = list(there.records())
        records[at] = changed(there.codec, records[at], **fields)
        return message(there.codec, (2,), records)

    return make


def _twice(there: Placed) -> bytes:
    """The records of another id than x's and y's, twice."""
    x, y = there.records()
    return message(there.codec, (2,), (x, y, changed(there.codec, x, id=3), changed(there.codec, x, id=3)))


def _without_a_list(there: Placed) -> bytes:
    return _compute(there.codec, 0, b"")


REFUSED = {
    "GRAPH-2/node-count-one-more": (_counting(2, 2), "One more node is counted than listed"),
    "GRAPH-2/node-count-all-ones": (_counting(ALL_ONES, 2), "2^32 - 1 nodes are counted"),
    "GRAPH-2/node-count-wraps": (_counting(NO_BYTES + 1, 2), "Nodes are counted whose size wraps around 2^32"),
    "GRAPH-2/tensor-count-one-more": (_counting(1, 3), "One more tensor is counted than sent"),
    "GRAPH-2/tensor-count-all-ones": (_counting(1, ALL_ONES), "2^32 - 1 tensors are counted"),
    "GRAPH-2/tensor-count-wraps": (_counting(1, NO_BYTES + 2), "Tensors are counted whose size wraps around 2^32"),
    "GRAPH-2/both-counts-all-ones": (_counting(ALL_ONES, ALL_ONES), "2^32 - 1 nodes and as many tensors are counted"),
    "GRAPH-2/no-tensor-count": (_without_a_list, "The message ends before the count of tensors"),
    "GRAPH-2/half-a-node": (_cut(5), "The message ends inside a node id"),
    "GRAPH-2/half-a-count": (_cut(ID_BYTES + 2), "The message ends inside the count of tensors"),
    "GRAPH-2/half-a-record": (_cut(-1), "The message ends one byte before the end of the last record"),
    "GRAPH-5/id-zero": (_with(0, id=0), "A record that a node reads has id 0"),
    "GRAPH-5/idle-id-zero": (
        lambda there: message(there.codec, (2,), (*there.records(), changed(there.codec, there.records()[0], id=0))),
        "A record that nothing refers to has id 0",
    ),
    "GRAPH-5/same-id": (_with(0, id=2), "Two records have the same id, and one of them is a node"),
    "GRAPH-5/same-idle-id": (_twice, "Two records that nothing refers to have the same id"),
    "GRAPH-6/unknown-node": (_listing(2, STRANGER), "A node id that no record has"),
    "GRAPH-6/node-zero": (_listing(0), "Node id 0"),
    "GRAPH-6/node-zero-alone": (lambda there: message(there.codec, (0,), ()), "Node id 0 in a message of 20 bytes"),
    "GRAPH-6/listed-twice": (_listing(2, 2), "A node is listed twice"),
    "GRAPH-6/leaf-listed-twice": (_listing(1, 2, 1), "A leaf is listed twice"),
}
"""id > the message, and what is wrong with it"""
REPORTED = {"GRAPH-6/node-zero": "llama.cpp#25299", "GRAPH-6/node-zero-alone": "llama.cpp#25299"}


def _refuse(make: Callable[[Placed], bytes], codec: Codec) -> Talk[None]:
    there = yield from _ready(codec)
    yield from refused(codec, make(there))


for _id, (_make, _wrong) in REFUSED.items():
    _section.add(
        Case(
            id=_id,
            title=f"{_wrong}: the connection is closed",
            script=partial(_refuse, _make),
            upstream=REPORTED.get(_id, ""),
        )
    )


@_case("GRAPH-4/compute-device-count")
def _compute_elsewhere(codec: Codec) -> Talk[None]:
    """A graph for a device of the number of devices closes the connection"""
    there = yield from _ready(codec)
    count = yield from number_of(codec, "DEVICE_COUNT", "count")
    yield from refused(codec, there.message(device=count))


@_case("GRAPH-4/compute-last-number")
def _compute_far_away(codec: Codec) -> Talk[None]:
    """A graph for device 2^32 - 1 closes the connection"""
    there = yield from _ready(codec)
    yield from refused(codec, there.message(device=ALL_ONES))


@_case("GRAPH-4/recompute-device-count")
def _recompute_elsewhere(codec: Codec) -> Talk[None]:
    """GRAPH_RECOMPUTE for a device of the number of devices closes the connection"""
    there = yield from _ready(codec)
    count = yield from number_of(codec, "DEVICE_COUNT", "count")
    yield Send(there.message())
    yield from refused(codec, again(codec, device=count))
