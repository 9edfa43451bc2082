"""Graphs of single ops that no server may compute: functions of the client's process, and indices out of range.

Rules
- What values inside index operands may do beyond one op is asked where GRAPH-20 is; here each clause of ops.md that
  speaks of a violation has its plain case.
"""

from functools import partial

import numpy as np

from conformance.cases.graph.build import Graph, graph, node
from conformance.cases.graph.placed import refuses
from conformance.cases.ops.blocks.draw import Draw, held
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec

__all__ = ["CASES"]

_section = Section()
CASES = _section.cases

FUNCTIONS = {"MAP_CUSTOM1": 1, "MAP_CUSTOM2": 2, "MAP_CUSTOM3": 3, "CUSTOM": 1}
"""op > operands"""
ROWS = 7


def _function(op: str, operands: int, codec: Codec) -> Graph:
    draw = Draw(op)
    return graph(node(op, "F32", (8, 3), *(draw.floats(8, 3).tensor for _ in range(operands))))


def _row(index: int, codec: Codec) -> Graph:
    table = Draw("OP-INDEX").floats(8, ROWS)
    ids = held(np.array([0, index, ROWS - 1], np.int32), "I32")
    return graph(node("GET_ROWS", "F32", (8, 3), table.tensor, ids.tensor))


for _op, _operands in FUNCTIONS.items():
    _section.add(
        Case(
            id=f"OP-{_op}/never",
            title=f"{_op} closes the connection, whatever its parameters are",
            script=partial(refuses, partial(_function, _op, _operands)),
        )
    )
for _slug, _index in (("one-too-large", ROWS), ("negative", -1)):
    _section.add(
        Case(
            id=f"OP-INDEX/{_slug}",
            title=f"An index of {_index} among {ROWS} rows closes the connection",
            script=partial(refuses, partial(_row, _index)),
        )
    )
