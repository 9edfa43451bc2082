"""GRAPH-20: values inside index operands, sound and out of range, uploaded, computed, and changed between two runs.

Rules
- For each op one case has sound values and asks for the result (what it is, is asked in ops/): where it passes, the
  others cannot have been refused for another reason. A testee without a kernel closes the connection in all of them
  (GRAPH-19); the sound one then says so.
- Values out of range are far enough out, in both directions, that an access by them meets memory that is not there.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
import numpy as np

from conformance.cases.graph.build import Graph, Tensor, graph, held, leaf, node, view
from conformance.cases.graph.placed import again, placed, refuses
from conformance.cases.talk import greet, put, refused
from conformance.judge.case import Case, Script, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import End, NotOffered, Receive, Reply, Send, Talk, require

__all__ = ["CASES", "INDEXED", "Indexed"]

_section = Section()
_case = _section.case
CASES = _section.cases

WIDTH = 4
ROWS = 3
"""rows, experts and slots that can be chosen: indices 0 to 2 are sound"""
TABLE = np.arange(WIDTH * ROWS, dtype=np.float32).reshape(ROWS, WIDTH)

WIDE = 64
INTEGERS: Mapping[int, type[np.integer[Any]]] = {32: np.int32, WIDE: np.int64}

Make = Callable[[Tensor], Graph]
"""the index operand, two indices > the graph"""


def _get_rows(ids: Tensor) -> Graph:
    return graph(node("GET_ROWS", "F32", (WIDTH, 2), held(TABLE), ids))


def _get_rows_of_blocks(ids: Tensor) -> Graph:
    return graph(node("GET_ROWS", "F32", (32, 2), leaf("Q8_0", (32, ROWS)), ids))


def _set_rows(ids: Tensor) -> Graph:
    target = held(np.zeros_like(TABLE))
    return graph(node("SET_ROWS", "F32", (WIDTH, ROWS), held(TABLE[:2] + 1), ids, target, onto=target))


def _set_rows_of_halves(ids: Tensor) -> Graph:
    target = held(np.zeros(TABLE.shape, np.float16))
    return graph(node("SET_ROWS", "F16", (WIDTH, ROWS), held(TABLE[:2] + 1), ids, target, onto=target))


def _experts(ids: Tensor) -> Graph:
    """Two experts for one token; the matrix of expert e is (WIDTH, 1)."""
    weights, x = held(TABLE.reshape(ROWS, 1, WIDTH)), held(np.ones((1, 1, WIDTH), np.float32))
    return graph(node("MUL_MAT_ID", "F32", (1, 2, 1), weights, x, ids))


def _biases(ids: Tensor) -> Graph:
    ones = held(np.ones((1, 2, WIDTH), np.float32))
    return graph(node("ADD_ID", "F32", (WIDTH, 2, 1), ones, held(TABLE), ids))


def _rows_back(ids: Tensor) -> Graph:
    return graph(node("GET_ROWS_BACK", "F32", (WIDTH, ROWS), held(TABLE[:2]), ids))


def _scan(ids: Tensor) -> Graph:
    """Two sequences of one token, one head of one channel, one state each, which is 0 at first."""
    state = held(np.zeros((ROWS, 1, 1, 1), np.float32))
    x, dt = held(np.zeros((2, 1, 1, 1), np.float32)), held(np.ones((2, 1, 1), np.float32))
    a, b = held(np.ones((1, 1), np.float32)), held(np.ones((2, 1, 1, 1), np.float32))
    return graph(node("SSM_SCAN", "F32", (4,), state, x, dt, a, b, b, ids, params={"K": 1}))


@attrs.frozen(kw_only=True)
class Indexed:
    """An op with an index operand of so many bits; report: upstream's, of what such values do to it."""

    op: str
    make: Make
    bits: int = 32
    report: str = ""

    def ids(self, *values: int) -> Tensor:
        """The operand; values as they stand in 32 or 64 bits."""
        return held(np.array(values, INTEGERS[self.bits]))


INDEXED: Mapping[str, Indexed] = {
    "get-rows": Indexed(op="GET_ROWS", make=_get_rows, report="llama.cpp#25542"),
    "get-rows-of-blocks": Indexed(op="GET_ROWS", make=_get_rows_of_blocks, report="llama.cpp#25542"),
    "set-rows": Indexed(op="SET_ROWS", make=_set_rows),
    "set-rows-i64": Indexed(op="SET_ROWS", make=_set_rows, bits=WIDE),
    "set-rows-of-halves": Indexed(op="SET_ROWS", make=_set_rows_of_halves, bits=WIDE),
    "mul-mat-id": Indexed(op="MUL_MAT_ID", make=_experts),
    "add-id": Indexed(op="ADD_ID", make=_biases),
    "get-rows-back": Indexed(op="GET_ROWS_BACK", make=_rows_back),
    "ssm-scan": Indexed(op="SSM_SCAN", make=_scan, report="llama.cpp#25765"),
}

OUT_OF_RANGE = {
    "minus-one": (-1, "-1"),
    "extent": (ROWS, "the extent"),
    "top": ((1 << 31) - 1, "2^31 - 1"),
    "bottom": (-(1 << 31), "-2^31"),
}
OUT_OF_RANGE_64 = {
    "2-32": (1 << 32, "2^32, whose lower half is sound"),
    "top-64": ((1 << 63) - 1, "2^63 - 1"),
    "bottom-64": (-(1 << 63), "-2^63"),
}


def _copied(ids: Tensor) -> Tensor:
    """The same values, as a node of the graph makes them."""
    return node("CONT", ids.type, ids.ne, ids)


def _sound(indexed: Indexed, codec: Codec) -> Talk[None]:
    """Ask for the result; a testee that closes the connection has no kernel."""
    yield from greet(codec)
    there = yield from placed(codec, indexed.make(indexed.ids(0, ROWS - 1)))
    (result,) = there.graph.results
    size = there.nbytes(result)
    yield Send(there.message() + codec.request("GET_TENSOR", tensor=there.record(result), size=size))
    answer = yield Receive()
    if isinstance(answer, End) and not answer.rest:
        raise NotOffered(f"no kernel for {indexed.op} of these types")
    is_whole = isinstance(answer, Reply) and answer.declared == size
    require(is_whole, f"a reply to GET_TENSOR of {size} bytes", answer)


def _wild(indexed: Indexed, value: int, is_computed: bool, codec: Codec) -> Graph:
    """The first index is sound, the second is not."""
    ids = indexed.ids(0, value)
    return indexed.make(_copied(ids) if is_computed else ids)


def _changed(indexed: Indexed, codec: Codec) -> Talk[None]:
    """The graph is remembered with sound indices; then they are overwritten, and it runs again."""
    yield from greet(codec)
    ids = indexed.ids(0, ROWS - 1)
    there = yield from placed(codec, indexed.make(ids))
    yield Send(there.message())
    yield from put(codec, there.record(ids), indexed.ids(ROWS, 0).data)
    yield from refused(codec, again(codec))


def _declare(slug: str, indexed: Indexed) -> None:
    def add(name: str, title: str, script: Script, ordinary: bool = False) -> None:
        report = "" if ordinary else indexed.report
        _section.add(Case(id=f"GRAPH-20/{slug}-{name}", title=title, script=script, ordinary=ordinary, upstream=report))

    add("sound", f"{indexed.op} takes the first and the last index", partial(_sound, indexed), ordinary=True)
    values = OUT_OF_RANGE | (OUT_OF_RANGE_64 if indexed.bits == WIDE else {})
    for name, (value, said) in values.items():
        title = f"{indexed.op} with index {said}: the connection is closed before another reply"
        add(name, title, partial(refuses, partial(_wild, indexed, value, False)))
    title = f"{indexed.op} with an index that a node of its graph makes, the extent: closed before another reply"
    add("computed", title, partial(refuses, partial(_wild, indexed, ROWS, True)))
    title = f"{indexed.op} with indices that are sound in the first run alone: closed before another reply"
    add("changed", title, partial(_changed, indexed))


for _slug, _indexed in INDEXED.items():
    _declare(_slug, _indexed)


@_case("GRAPH-20/last-batch")
def _last_batch(codec: Codec) -> Talk[None]:
    """GET_ROWS with one index out of range, in the last batch: the connection is closed before another reply"""
    table = held(np.tile(TABLE, (2, 1, 1)))
    ids = held(np.array([[0, 1], [2, ROWS]], np.int32))
    made = graph(node("GET_ROWS", "F32", (WIDTH, 2, 2), table, ids))
    yield from refuses(lambda _: made, codec)


@_case("GRAPH-20/strided-ids")
def _strided(codec: Codec) -> Talk[None]:
    """Values between the indices of a view are nobody's indices, those in the view are"""
    wide = held(np.array([[0, 99], [1, -7], [ROWS, 0]], np.int32))
    ids = view(wide, (1, 3), (4, 8, 24, 24))
    weights, x = held(TABLE.reshape(ROWS, 1, WIDTH)), held(np.ones((3, 1, WIDTH), np.float32))
    made = graph(node("MUL_MAT_ID", "F32", (1, 1, 3), weights, x, ids))
    yield from refuses(lambda _: made, codec)
