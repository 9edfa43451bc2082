"""spec/text/graph.md, the message: counts and remembered graphs. Ops and operands wait for graphs of their own."""

from conformance.cases.talk import opened, refused, still_served
from conformance.judge.case import Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import Send, Talk

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

ALL_ONES = (1 << 32) - 1


def _uid(codec: Codec, uid: int) -> dict[str, Value]:
    """The uid, where the dialect has one."""
    has = any(field.name == "uid" for field in codec.dialect.structs["graph_recompute_req"].fields)
    return {"uid": uid} if has else {}


def _compute(codec: Codec, n_nodes: int, tail: bytes, uid: int = 1) -> bytes:
    return codec.request("GRAPH_COMPUTE", tail, device=0, n_nodes=n_nodes, **_uid(codec, uid))


@_case("GRAPH-6/nothing", ordinary=True)
def _nothing(codec: Codec) -> Talk[None]:
    """A graph of no nodes and no tensors is legal"""
    yield from opened(codec)
    yield Send(_compute(codec, 0, bytes(4)))
    yield from still_served(codec)


@_case("GRAPH-23/again", ordinary=True)
def _again(codec: Codec) -> Talk[None]:
    """A remembered graph can be run again, and again"""
    yield from opened(codec)
    again = codec.request("GRAPH_RECOMPUTE", device=0, **_uid(codec, 1))
    yield Send(_compute(codec, 0, bytes(4)) + again * 3)
    yield from still_served(codec)


@_case("GRAPH-23/none-remembered")
def _none(codec: Codec) -> Talk[None]:
    """GRAPH_RECOMPUTE before any graph closes the connection"""
    yield from opened(codec)
    yield from refused(codec, codec.request("GRAPH_RECOMPUTE", device=0, **_uid(codec, 1)))


@_case("GRAPH-25/unknown-uid")
def _unknown(codec: Codec) -> Talk[None]:
    """GRAPH_RECOMPUTE of another uid than the remembered one closes the connection"""
    yield from opened(codec)
    yield Send(_compute(codec, 0, bytes(4), uid=1))
    yield from refused(codec, codec.request("GRAPH_RECOMPUTE", device=0, **_uid(codec, 2)))


@_case("GRAPH-25/uid-zero")
def _uid_zero(codec: Codec) -> Talk[None]:
    """A graph of uid 0 is not remembered"""
    yield from opened(codec)
    yield Send(_compute(codec, 0, bytes(4), uid=0))
    yield from refused(codec, codec.request("GRAPH_RECOMPUTE", device=0, **_uid(codec, 0)))


@_case("GRAPH-2/node-count-all-ones")
def _many_nodes(codec: Codec) -> Talk[None]:
    """2^32 - 1 nodes that are not there close the connection"""
    yield from opened(codec)
    yield from refused(codec, _compute(codec, ALL_ONES, bytes(4)))


@_case("GRAPH-2/tensor-count-all-ones")
def _many_tensors(codec: Codec) -> Talk[None]:
    """2^32 - 1 tensors that are not there close the connection"""
    yield from opened(codec)
    yield from refused(codec, _compute(codec, 0, ALL_ONES.to_bytes(4, "little")))


@_case("GRAPH-2/no-tensor-count")
def _no_count(codec: Codec) -> Talk[None]:
    """A message that ends before the count of tensors closes the connection"""
    yield from opened(codec)
    yield from refused(codec, _compute(codec, 0, b""))


@_case("GRAPH-6/unknown-node")
def _unknown_node(codec: Codec) -> Talk[None]:
    """A node id that no record has closes the connection"""
    yield from opened(codec)
    yield from refused(codec, _compute(codec, 1, (5).to_bytes(8, "little") + bytes(4)))


@_case("GRAPH-6/node-zero", upstream="llama.cpp#25299")
def _node_zero(codec: Codec) -> Talk[None]:
    """Node id 0 closes the connection"""
    yield from opened(codec)
    yield from refused(codec, _compute(codec, 1, bytes(8) + bytes(4)))
