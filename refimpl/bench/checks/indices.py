"""What it costs a kernel to check one index: at most as much as reading a row of one element costs altogether.

The check stands inside the kernels and cannot be taken out of them. So a graph is run that does hardly anything else:
GET_ROWS of very many rows of one element each. What is measured includes the loop, the index read and the element
moved, and is therefore more than the check.
"""

import time

import numpy as np

from refimpl.device.protocol import Device, Program
from refimpl.graph.build import build
from refimpl.graph.checked import ABSENT, CheckedGraph
from refimpl.graph.define import GraphBuilder
from refimpl.limits import Limits
from refimpl.session.ledger import FIRST_BASE, BufferTable
from spec.load import load
from spec.names import Op, Type

__all__ = ["INDEX_OPERANDS", "index_count", "index_seconds"]

INDEX_OPERANDS = {Op.GET_ROWS: 1, Op.SET_ROWS: 1, Op.ADD_ID: 2, Op.MUL_MAT_ID: 2}
"""op > the operand whose values a kernel has to check"""
ROWS = 1 << 16
TURNS = 20
HANDLE = 1


def index_count(graph: CheckedGraph) -> int:
    """How many indices a run of the graph checks."""
    table, nodes = graph.tensors, graph.nodes
    total = 0
    for op, slot in INDEX_OPERANDS.items():
        operands = table.src[nodes[table.op[nodes] == op], slot]
        total += int(table.ne[operands[operands != ABSENT]].prod(axis=1).sum())
    return total


def index_seconds(device: Device) -> float:
    """Seconds for one index, the shortest of several runs: others use the machine too."""
    b = GraphBuilder()
    table, indices = b.leaf("table", Type.F32, (1, ROWS)), b.leaf("indices", Type.I32, (ROWS,))
    rows = b.output(b.get_rows(table, indices))
    size = sum(-(-one.nbytes // device.alignment) * device.alignment for one in (table, indices, rows))
    at = FIRST_BASE
    for one in (table, indices, rows):
        b.place(one, HANDLE, at)
        at += -(-one.nbytes // device.alignment) * device.alignment
    buffers = BufferTable(np.array([HANDLE], np.uint64), np.array([FIRST_BASE], np.uint64), np.array([size], np.int64))
    allocation = device.allocate(size)
    graph = build(*b.message(), buffers, Limits(), load().dialect(load().newest))
    program = device.compile(graph, {HANDLE: allocation})
    order = np.random.default_rng(0).permutation(ROWS).astype(np.int32)
    device.writable(allocation, b.address_of(indices)[1] - FIRST_BASE, order.nbytes)[:] = order.tobytes()
    seconds = min(_timed(device, program) for _ in range(TURNS))
    del program
    device.release(allocation)
    return seconds / ROWS


def _timed(device: Device, program: Program) -> float:
    begin = time.perf_counter()
    device.run(program, device.new_stop_word())
    return time.perf_counter() - begin
