"""GRAPH-22 to 26: which graphs a server remembers, what running one again does, and what makes it forget.

Rules
- The graph of these cases adds x to s, where s lies: after n runs s holds n times x, so what has run can be counted.
- Names are uids where the dialect has them; before 8.0.0 a device remembers one graph and a name means nothing.
"""

import numpy as np

from conformance.cases.graph.build import Graph, Tensor, graph, held, node
from conformance.cases.graph.placed import Placed, again, changed, equals, message, placed, results
from conformance.cases.sums import NUMBERS
from conformance.cases.talk import Buffer, allocate, greet, opened, put, refused, still_served
from conformance.judge.case import Section
from conformance.judge.codec import Codec
from conformance.judge.steps import MAIN, Send, Talk

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

SET_OF_UIDS = 1024
"""GRAPH-26"""
FIRST, SECOND = 11, 12
TOP_UID = (1 << 64) - 1
ZEROS = np.zeros(4, np.float32)
USE_AFTER_FREE = "llama.cpp#25703"


def _adding(summand: Tensor) -> Graph:
    """s = s + x: s (1), x (2) and the sum (3), which lies where s lies. The result that is looked at is s."""
    s = held(ZEROS)
    total = node("ADD", "F32", (4,), s, summand, onto=s)
    whole = graph(total)
    return Graph(tensors=whole.tensors, nodes=(total,), results=(s,))


def _ready(codec: Codec, on: str = MAIN) -> Talk[Placed]:
    yield from greet(codec, on)
    return (yield from placed(codec, _adding(held(NUMBERS)), on))


def _has_run(there: Placed, times: int, on: str = MAIN) -> Talk[None]:
    (body,) = yield from results(there, on)
    equals(body, times * NUMBERS)


@_case("GRAPH-23/empty-again", ordinary=True)
def _empty_again(codec: Codec) -> Talk[None]:
    """A graph of no nodes can be run again, and again"""
    yield from opened(codec)
    yield Send(message(codec, (), ()) + again(codec) * 3)
    yield from still_served(codec)


@_case("GRAPH-23/same-effects", ordinary=True)
def _same_effects(codec: Codec) -> Talk[None]:
    """Each GRAPH_RECOMPUTE has all effects of sending the graph again"""
    there = yield from _ready(codec)
    yield Send(there.message())
    yield from _has_run(there, 1)
    yield Send(again(codec) * 3)
    yield from _has_run(there, 4)


@_case("GRAPH-23/new-bytes", ordinary=True)
def _new_bytes(codec: Codec) -> Talk[None]:
    """GRAPH_RECOMPUTE reads the bytes that operands have by then"""
    there = yield from _ready(codec)
    s, x, _ = there.graph.tensors
    yield Send(there.message())
    yield from put(codec, there.record(x), (5 * NUMBERS).tobytes())
    yield from put(codec, there.record(s), ZEROS.tobytes())
    yield Send(again(codec))
    yield from _has_run(there, 5)


@_case("GRAPH-23/none-remembered")
def _none(codec: Codec) -> Talk[None]:
    """GRAPH_RECOMPUTE before any graph closes the connection"""
    yield from opened(codec)
    yield from refused(codec, again(codec))


@_case("GRAPH-23/other-connection", clients=2)
def _other_connection(codec: Codec) -> Talk[None]:
    """A graph that another connection sent is not remembered on this one"""
    there = yield from _ready(codec)
    yield Send(there.message())
    yield from _has_run(there, 1)
    yield from opened(codec, on="other")
    yield from refused(codec, again(codec), on="other")
    yield from _has_run(there, 1)
    yield Send(again(codec))
    yield from _has_run(there, 2)


@_case("GRAPH-22/the-last-one", ordinary=True)
def _the_last_one(codec: Codec) -> Talk[None]:
    """Of two graphs that were sent, the last is run again"""
    yield from greet(codec)
    first = yield from placed(codec, _adding(held(NUMBERS)))
    second = yield from placed(codec, _adding(held(NUMBERS)))
    yield Send(first.message() + second.message() + again(codec) * 2)
    yield from _has_run(first, 1)
    yield from _has_run(second, 3)


def _freed(codec: Codec, buffer: Buffer) -> Talk[None]:
    yield Send(codec.request("FREE_BUFFER", handle=buffer.handle))


@_case("GRAPH-24/its-buffer-freed", upstream=USE_AFTER_FREE)
def _its_buffer(codec: Codec) -> Talk[None]:
    """After its buffer was freed, a graph is not run again: the connection is closed"""
    there = yield from _ready(codec)
    yield Send(there.message())
    yield from _freed(codec, there.buffer)
    yield from refused(codec, again(codec))


@_case("GRAPH-24/its-buffer-replaced", upstream=USE_AFTER_FREE)
def _replaced(codec: Codec) -> Talk[None]:
    """Nor when a new buffer of the same size has taken the place"""
    there = yield from _ready(codec)
    yield Send(there.message())
    yield from _freed(codec, there.buffer)
    yield from allocate(codec, there.buffer.size)
    yield from refused(codec, again(codec))


def _with_far_operand(codec: Codec) -> Talk[tuple[Placed, Buffer]]:
    """The graph has run, its x in another buffer than the rest."""
    there = yield from _ready(codec)
    far = yield from allocate(codec)
    s, x, total = there.records()
    moved = changed(codec, x, buffer=far.handle, data=far.base)
    yield from put(codec, moved, NUMBERS.tobytes())
    yield Send(message(codec, there.node_ids(), (s, moved, total)))
    return there, far


@_case("GRAPH-24/an-operands-buffer-freed", upstream=USE_AFTER_FREE)
def _an_operands(codec: Codec) -> Talk[None]:
    """After the buffer of an operand was freed, a graph is not run again: the connection is closed"""
    _, far = yield from _with_far_operand(codec)
    yield from _freed(codec, far)
    yield from refused(codec, again(codec))


@_case("GRAPH-24/sent-again-after-free", ordinary=True)
def _sent_again(codec: Codec) -> Talk[None]:
    """After FREE_BUFFER a graph that is sent anew is remembered as ever"""
    there, far = yield from _with_far_operand(codec)
    yield from _freed(codec, far)
    yield Send(there.message() + again(codec))
    yield from _has_run(there, 3)


@_case("GRAPH-24/unrelated-buffer-freed", level="SHOULD")
def _unrelated(codec: Codec) -> Talk[None]:
    """A graph without a tensor in the freed buffer is still remembered"""
    there = yield from _ready(codec)
    unrelated = yield from allocate(codec)
    yield Send(there.message())
    yield from _freed(codec, unrelated)
    yield Send(again(codec))
    yield from _has_run(there, 2)


@_case("GRAPH-25/unknown-uid")
def _unknown(codec: Codec) -> Talk[None]:
    """GRAPH_RECOMPUTE of a uid that no graph had closes the connection"""
    there = yield from _ready(codec)
    yield Send(there.message(FIRST))
    yield from refused(codec, again(codec, SECOND))


@_case("GRAPH-25/uid-zero")
def _uid_zero(codec: Codec) -> Talk[None]:
    """A graph of uid 0 is not remembered"""
    there = yield from _ready(codec)
    yield Send(there.message(0))
    yield from _has_run(there, 1)
    yield from refused(codec, again(codec, 0))


@_case("GRAPH-25/uid-zero-forgets-nothing", ordinary=True)
def _zero_forgets_nothing(codec: Codec) -> Talk[None]:
    """A graph of uid 0 makes no other graph forgotten"""
    yield from greet(codec)
    first = yield from placed(codec, _adding(held(NUMBERS)))
    second = yield from placed(codec, _adding(held(NUMBERS)))
    yield Send(first.message(FIRST) + second.message(0) + again(codec, FIRST))
    yield from _has_run(first, 2)
    yield from _has_run(second, 1)


@_case("GRAPH-25/each-its-own", ordinary=True)
def _each_its_own(codec: Codec) -> Talk[None]:
    """Each uid runs its own graph, whichever has run since"""
    yield from greet(codec)
    first = yield from placed(codec, _adding(held(NUMBERS)))
    second = yield from placed(codec, _adding(held(NUMBERS)))
    yield Send(first.message(FIRST) + second.message(TOP_UID) + again(codec, FIRST) * 2 + again(codec, TOP_UID))
    yield Send(again(codec, FIRST))
    yield from _has_run(first, 4)
    yield from _has_run(second, 2)


@_case("GRAPH-25/means-the-new-one", ordinary=True)
def _new_meaning(codec: Codec) -> Talk[None]:
    """A uid that is used again means the graph that was sent last"""
    yield from greet(codec)
    first = yield from placed(codec, _adding(held(NUMBERS)))
    second = yield from placed(codec, _adding(held(NUMBERS)))
    yield Send(first.message(FIRST) + second.message(FIRST) + again(codec, FIRST))
    yield from _has_run(first, 1)
    yield from _has_run(second, 2)


def _many(there: Placed, uids: range) -> bytes:
    """The graph under each of those uids."""
    return b"".join(there.message(uid) for uid in uids)


@_case("GRAPH-26/as-many-as-the-set-holds", ordinary=True)
def _all_of_them(codec: Codec) -> Talk[None]:
    """1024 graphs are remembered"""
    there = yield from _ready(codec)
    uids = range(1, SET_OF_UIDS + 1)
    yield Send(_many(there, uids))
    yield from _has_run(there, SET_OF_UIDS)
    yield Send(b"".join(again(codec, uid) for uid in uids))
    yield from _has_run(there, 2 * SET_OF_UIDS)


@_case("GRAPH-26/a-known-uid-empties-nothing")
def _known_uid(codec: Codec) -> Talk[None]:
    """A uid that is in a set of 1024 may be given a new graph, and all others keep theirs"""
    there = yield from _ready(codec)
    yield Send(_many(there, range(1, SET_OF_UIDS + 1)) + there.message(SET_OF_UIDS // 2))
    yield Send(again(codec, 1) + again(codec, SET_OF_UIDS))
    yield from _has_run(there, SET_OF_UIDS + 3)


@_case("GRAPH-26/one-more-is-kept", ordinary=True)
def _one_more(codec: Codec) -> Talk[None]:
    """The graph that empties the set is remembered itself"""
    there = yield from _ready(codec)
    yield Send(_many(there, range(1, SET_OF_UIDS + 2)) + again(codec, SET_OF_UIDS + 1))
    yield from _has_run(there, SET_OF_UIDS + 2)


@_case("GRAPH-26/one-more-empties-the-set")
def _empties(codec: Codec) -> Talk[None]:
    """Once a uid has been added to a set of 1024, those before it mean nothing"""
    there = yield from _ready(codec)
    yield Send(_many(there, range(1, SET_OF_UIDS + 2)))
    yield from _has_run(there, SET_OF_UIDS + 1)
    yield from refused(codec, again(codec, SET_OF_UIDS))


@_case("GRAPH-26/zero-is-not-counted", ordinary=True)
def _zero_not_counted(codec: Codec) -> Talk[None]:
    """Graphs of uid 0 do not fill the set"""
    there = yield from _ready(codec)
    yield Send(_many(there, range(1, SET_OF_UIDS + 1)) + there.message(0) + again(codec, 1))
    yield from _has_run(there, SET_OF_UIDS + 2)


@_case("GRAPH-26/forgotten-uids-are-counted")
def _forgotten_count(codec: Codec) -> Talk[None]:
    """The uid of a graph whose buffer was freed is counted still: 1023 others and a new one empty the set"""
    there, far = yield from _with_far_operand(codec)
    yield from _freed(codec, far)
    yield Send(_many(there, range(2, SET_OF_UIDS + 2)))
    yield from _has_run(there, SET_OF_UIDS + 1)
    yield from refused(codec, again(codec, SET_OF_UIDS))
