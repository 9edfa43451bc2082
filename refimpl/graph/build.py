"""From the records of a GRAPH_COMPUTE message to a CheckedGraph: all that can be proved about a graph before it runs.

Vectorised over the record array; no Python per node but where a message is put together for a refusal, or where
records do not stand in the order in which stock clients send them (order.py). The steps, each of which may rely on
those before it:

1. counts against the limits; ops and types known (numbering.py)
2. ids to indices, order of execution, no circles (order.py)
3. byte sizes, buffers and offsets, views (placement.py)
4. what runs: nodes with the COMPUTE flag, an op that computes, and elements
5. operands of what runs: here, not empty, laid out in whole and aligned elements; results that do not overlap
   themselves (operands.py)
6. each op's own rule (rules/)

After this a kernel that walks a node's result and operands by extents and strides stays inside the connection's
buffers. What cannot be known before the run, values inside index operands, is the kernels' to check (GRAPH-20).
Records that do not run are never followed: their bytes are final, so no more is asked of them than that they lie
inside their buffer.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import GraphError
from refimpl.graph.checked import ABSENT, CheckedGraph, TensorTable
from refimpl.graph.numbering import Numbering, numbering_of
from refimpl.graph.operands import check_operands
from refimpl.graph.order import References, check_order, resolve
from refimpl.graph.placement import Measures, Places, check_views, locate, measure
from refimpl.graph.refusal import Judge
from refimpl.graph.rules.table import check_rules
from refimpl.limits import Limits
from refimpl.session.ledger import BufferTable
from refimpl.wire.tensor import TensorRecords
from spec.dialect import Dialect
from spec.names import Op, TensorFlag

__all__ = ["build"]


def build(
    nodes: NDArray[np.uint64], records: TensorRecords, buffers: BufferTable, limits: Limits, dialect: Dialect
) -> CheckedGraph:
    """Check a whole graph: node ids (n,) in execution order, records (t,), the connection's live buffers.

    The result copies what it needs; it holds no reference to the message. Raises GraphError, RegionError, HandleError
    or UnsupportedError, each naming the tensor, its op, the clause and the value. It is always the peer's fault.
    """
    _check_counts(nodes, records, limits)
    judge = Judge(records)
    numbering = numbering_of(dialect)
    op = _ops(judge, numbering)
    references = resolve(judge, nodes)
    check_order(judge, references, op)
    _check_never(judge, numbering, references.nodes)
    measures = measure(judge, numbering, limits)
    places = locate(judge, measures.nbytes, buffers)
    check_views(judge, references.view_src, places, measures.nbytes)
    table = _table(judge, op, references, (measures, places))
    running = _running(table, measures, references.nodes, numbering.executes[numbering.ops(records["op"])])
    check_operands(judge, table, measures.elements, running)
    check_rules(judge, table, running)
    return CheckedGraph(tensors=table, nodes=running, handles=places.handles)


def _check_counts(nodes: NDArray[np.uint64], records: TensorRecords, limits: Limits) -> None:
    for what, count, limit in (
        ("nodes", len(nodes), limits.graph_nodes),
        ("tensors", len(records), limits.graph_tensors),
    ):
        if count > limit:
            raise GraphError("GRAPH-2", f"{count} {what} are over limits.graph_{what} = {limit}")


def _ops(judge: Judge, numbering: Numbering) -> NDArray[np.int32]:
    number = judge.records["op"]
    op = numbering.op[numbering.ops(number)]
    judge.require(op >= 0, GraphError, "GRAPH-10", lambda i: f"op number {number[i]} is not in the op table")
    return op


def _check_never(judge: Judge, numbering: Numbering, nodes: NDArray[np.int32]) -> None:
    never = numbering.never[numbering.ops(judge.records["op"][nodes])]
    judge.require(
        ~never, GraphError, "GRAPH-10", lambda i: "ops whose parameters are addresses are never accepted", nodes
    )


def _table(judge: Judge, op: NDArray[np.int32], references: References, found: tuple[Measures, Places]) -> TensorTable:
    records, (measures, places) = judge.records, found
    return TensorTable(
        type=measures.type,
        ne=measures.ne,
        nb=measures.nb,
        nbytes=measures.nbytes,
        buffer=places.buffer,
        offset=places.offset,
        op=op,
        params=records["op_params"].astype(np.int32),
        flags=records["flags"].astype(np.int32),
        src=references.src,
        view_src=references.view_src,
        use_count=records["use_count"].astype(np.int32),
        name=records["name"].copy(),
    )


def _running(
    table: TensorTable, measures: Measures, nodes: NDArray[np.int32], executes: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Those of `nodes` that compute something. SET_ROWS of no rows does not: its result is what it was."""
    flagged = (table.flags[nodes] & TensorFlag.COMPUTE) != 0
    rows = table.src[nodes, 0]
    no_rows = (table.op[nodes] == Op.SET_ROWS) & (rows != ABSENT) & (measures.elements[rows] == 0)
    running: NDArray[np.int32] = nodes[flagged & executes[nodes] & (measures.elements[nodes] > 0) & ~no_rows]
    return running
