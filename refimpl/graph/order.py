"""References between records: ids to indices, and the proof that nothing refers to itself through others.

No recursion, and time in proportion to the message (GRAPH-27). Stock clients send records so that whatever is
referred to stands before what refers to it; then one comparison of arrays proves that there is no circle. Only a
message in another order is sorted, record by record. Clauses GRAPH-5 to 9.
"""

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import GraphError
from refimpl.graph.checked import ABSENT
from refimpl.graph.refusal import Judge, in_all
from spec.names import Op

__all__ = ["References", "check_order", "resolve"]

CAST_TARGET = 1
"""operand slot in which a CPY node may name itself"""


@attrs.frozen(eq=False)
class References:
    """Ids turned into record indices, ABSENT for 0."""

    nodes: NDArray[np.int32]
    """(n,)"""
    src: NDArray[np.int32]
    """(t, 10)"""
    view_src: NDArray[np.int32]
    """(t,)"""


def resolve(judge: Judge, node_ids: NDArray[np.uint64]) -> References:
    """Look all ids up. Raises GraphError for ids that are 0, not unique or not there, and for nodes listed twice."""
    ids = judge.records["id"]
    judge.require(ids != 0, GraphError, "GRAPH-5", lambda i: "its id is 0")
    order = np.argsort(ids, kind="stable")
    ranked = ids[order]
    again = np.concatenate(([False], ranked[1:] == ranked[:-1])) if len(ids) else np.zeros(0, np.bool_)
    judge.require(~again, GraphError, "GRAPH-5", lambda i: f"its id {ranked[i]:#x} occurs before", order)
    nodes, found = _look_up(ranked, order, node_ids)
    if not found.all():
        missing = int(np.argmin(found))
        raise GraphError(
            "GRAPH-6", f"node {missing} of the list has id {int(node_ids[missing]):#x}, which no record has"
        )
    _, first = np.unique(nodes, return_index=True)
    once = np.zeros(len(nodes), np.bool_)
    once[first] = True
    judge.require(once, GraphError, "GRAPH-6", lambda i: f"it stands in the node list again as node {i}", nodes)
    sources, view_source = judge.records["src"], judge.records["view_src"]
    src, found = _look_up(ranked, order, sources)
    dangling = ~(found | (sources == 0))
    judge.require(
        in_all(~dangling),
        GraphError,
        "GRAPH-7",
        lambda i: f"src[{np.argmax(dangling[i])}] = {sources[i, np.argmax(dangling[i])]:#x} is no record",
    )
    view_src, found = _look_up(ranked, order, view_source)
    judge.require(
        found | (view_source == 0), GraphError, "GRAPH-7", lambda i: f"view_src {view_source[i]:#x} is no record"
    )
    return References(nodes, src, view_src)


def _look_up(
    ranked: NDArray[np.uint64], order: NDArray[np.intp], wanted: NDArray[np.uint64]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Index of each wanted id, ABSENT where it is not there, and whether it is; same shape as `wanted`."""
    if not len(ranked):
        return np.full(wanted.shape, ABSENT, np.int32), np.zeros(wanted.shape, np.bool_)
    rank = np.minimum(np.searchsorted(ranked, wanted), len(ranked) - 1)
    found = ranked[rank] == wanted
    return np.where(found, order[rank], ABSENT).astype(np.int32), found


def check_order(judge: Judge, references: References, op: NDArray[np.int32]) -> None:
    """The node list is an order of execution and no records refer to each other in a circle; raises GraphError."""
    edges = _edges(references, op)
    itself = np.arange(len(op), dtype=np.int32)[:, None]
    judge.require(in_all(edges != itself), GraphError, "GRAPH-9", lambda i: "it refers to itself")
    position = np.full(len(op) + 1, -1, np.int64)  # one entry more, so that ABSENT reads as "not in the list"
    position[references.nodes] = np.arange(len(references.nodes))
    late = position[edges[references.nodes]] > position[references.nodes][:, None]

    def why(node: int) -> str:
        source = int(edges[references.nodes[node], np.argmax(late[node])])
        return f"node {node} reads {judge.label(source)}, which is node {position[source]}"

    judge.require(in_all(~late), GraphError, "GRAPH-8", why, references.nodes)
    if (edges >= itself).any():
        _check_circles(judge, edges)


def _edges(references: References, op: NDArray[np.int32]) -> NDArray[np.int32]:
    """(t, 11) all that a record refers to; a cast's reference to itself is left out."""
    edges = np.concatenate((references.src, references.view_src[:, None]), axis=1)
    target = edges[:, CAST_TARGET]
    cast = (op == Op.CPY) & (target == np.arange(len(op)))
    target[cast] = ABSENT
    return edges


def _check_circles(judge: Judge, edges: NDArray[np.int32]) -> None:
    """Take away records that refer to nothing that is left, until none is left; raises GraphError if some stay."""
    reader, slot = np.nonzero(edges != ABSENT)
    source = edges[reader, slot]
    by_source = np.argsort(source, kind="stable")
    readers = reader[by_source].tolist()
    begin = np.searchsorted(source[by_source], np.arange(len(edges) + 1)).tolist()
    waiting = np.bincount(reader, minlength=len(edges)).tolist()
    ready = [index for index, count in enumerate(waiting) if count == 0]
    done = 0
    while ready:
        index = ready.pop()
        done += 1
        for user in readers[begin[index] : begin[index + 1]]:
            waiting[user] -= 1
            if waiting[user] == 0:
                ready.append(user)
    if done < len(edges):
        stuck = np.array(waiting) == 0
        judge.require(stuck, GraphError, "GRAPH-8", lambda i: "it refers to itself through others")
