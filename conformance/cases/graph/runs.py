"""GRAPH-21 and 29: what may and may not happen while a graph runs.

Rules
- The graphs are chains of products with half the unit matrix: every result is exact, and every node reads the one
  before it: however many threads a testee has, a chain takes time.
- Whatever is sent behind a graph is sent together with it, so that a testee which does not wait can show it.
"""

import numpy as np
from numpy.typing import NDArray

from conformance.cases.graph.build import Graph, Tensor, graph, held, leaf, node
from conformance.cases.graph.placed import Placed, changed, computed, equals, message, placed
from conformance.cases.sums import NUMBERS
from conformance.cases.talk import allocate, greet, reply, still_served
from conformance.judge.case import Section
from conformance.judge.codec import Codec
from conformance.judge.steps import Leave, Send, Talk

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

WIDTH = 256
DEPTH = 24
"""products of the short chain: some tens of milliseconds of one core"""
LONG_WIDTH = 1536
LONG_DEPTH = 1000
"""products of the long chain, 7 * 10^12 operations: some minutes of one core"""
START = np.arange(WIDTH * WIDTH, dtype=np.float32).reshape(WIDTH, WIDTH)
END = START * np.float32(0.5**DEPTH)


def _halving(width: int) -> Tensor:
    return held(np.eye(width, dtype=np.float32) / 2)


def _chain(x: Tensor) -> Graph:
    """x halved DEPTH times."""
    matrix = _halving(WIDTH)
    for _ in range(DEPTH):
        x = node("MUL_MAT", "F32", (WIDTH, WIDTH), matrix, x)
    return graph(x)


def _long_chain() -> Graph:
    """Nothing, halved LONG_DEPTH times, to and fro between two places."""
    matrix = leaf("F32", (LONG_WIDTH, LONG_WIDTH))
    homes = [leaf("F32", (LONG_WIDTH, LONG_WIDTH)) for _ in range(2)]
    x = homes[1]
    for turn in range(LONG_DEPTH):
        x = node("MUL_MAT", "F32", (LONG_WIDTH, LONG_WIDTH), matrix, x, onto=homes[turn % 2])
    return graph(x)


def _ready(codec: Codec) -> Talk[tuple[Placed, Tensor]]:
    yield from greet(codec)
    x = held(START)
    return (yield from placed(codec, _chain(x))), x


def _asking(there: Placed) -> bytes:
    """GET_TENSOR of the end of the chain."""
    (end,) = there.graph.results
    return there.codec.request("GET_TENSOR", tensor=there.record(end), size=there.nbytes(end))


def _gives(there: Placed, wanted: NDArray[np.float32]) -> Talk[None]:
    body = yield from reply(wanted.nbytes, "GET_TENSOR")
    equals(body, wanted)


@_case("GRAPH-21/not-answered", ordinary=True)
def _not_answered(codec: Codec) -> Talk[None]:
    """GRAPH_COMPUTE is not answered: the first reply is that of the next command"""
    there, _ = yield from _ready(codec)
    yield Send(there.message())
    yield from still_served(codec)


@_case("GRAPH-21/read-behind-it", ordinary=True)
def _read_behind(codec: Codec) -> Talk[None]:
    """A GET_TENSOR that is sent together with the graph gives the bytes after the run"""
    there, _ = yield from _ready(codec)
    yield Send(there.message() + _asking(there))
    yield from _gives(there, END)


@_case("GRAPH-21/operand-overwritten-behind-it", ordinary=True)
def _written_behind(codec: Codec) -> Talk[None]:
    """A SET_TENSOR behind the graph does not reach the operands of the run"""
    there, x = yield from _ready(codec)
    writing = codec.request("SET_TENSOR", bytes(START.nbytes), tensor=there.record(x))
    yield Send(there.message() + writing + _asking(there))
    yield from _gives(there, END)


@_case("GRAPH-21/cleared-behind-it", ordinary=True)
def _cleared_behind(codec: Codec) -> Talk[None]:
    """A BUFFER_CLEAR behind the graph clears its result, which does not come later"""
    there, _ = yield from _ready(codec)
    other = yield from allocate(codec, START.nbytes)
    *records, end = there.records()
    end = changed(codec, end, buffer=other.handle, data=other.base)
    yield Send(message(codec, there.node_ids(), (*records, end)))
    yield Send(codec.request("BUFFER_CLEAR", handle=other.handle, value=0))
    yield Send(codec.request("GET_TENSOR", tensor=end, size=START.nbytes))
    yield from _gives(there, np.zeros_like(END))


@_case("GRAPH-21/freed-behind-it", ordinary=True)
def _freed_behind(codec: Codec) -> Talk[None]:
    """A FREE_BUFFER behind the graph waits for its end, and a new buffer stays as it was allocated"""
    there, _ = yield from _ready(codec)
    yield Send(there.message() + codec.request("FREE_BUFFER", handle=there.buffer.handle))
    fresh = Placed(codec, there.graph, (yield from allocate(codec, there.size)))
    (end,) = fresh.graph.results
    zeros = bytes(fresh.nbytes(end))
    yield Send(codec.request("SET_TENSOR", zeros, tensor=fresh.record(end)) + _asking(fresh))
    yield from _gives(fresh, np.zeros_like(END))


@_case("GRAPH-21/next-graph-behind-it", ordinary=True)
def _graph_behind(codec: Codec) -> Talk[None]:
    """A graph that is sent behind another reads what that one has computed"""
    there, _ = yield from _ready(codec)
    (end,) = there.graph.results
    whole = graph(node("ADD", "F32", (WIDTH, WIDTH), end, end, onto=end))
    later = Placed(codec, Graph(tensors=whole.tensors, nodes=whole.results, results=(end,)), there.buffer)
    yield Send(there.message(1) + later.message(2) + _asking(there))
    yield from _gives(there, 2 * END)


@_case("GRAPH-29/left-during-a-run")
def _left(codec: Codec) -> Talk[None]:
    """When its client has left, a long graph is given up: another connection's graph is run in time"""
    yield from greet(codec)
    there = yield from placed(codec, _long_chain())
    yield Send(there.message())
    yield Leave()
    x = held(NUMBERS)
    (body,) = yield from computed(codec, graph(node("ADD", "F32", (4,), x, x)), on="other")
    equals(body, 2 * NUMBERS)
