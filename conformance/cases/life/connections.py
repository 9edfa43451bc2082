"""spec/text/life.md: connections come and go, in every way, and leave nothing behind."""

from collections.abc import Callable, Mapping
from functools import partial

from conformance.cases.graph.placed import again, placed
from conformance.cases.samples import NOWHERE, sample
from conformance.cases.sums import chain
from conformance.cases.talk import allocate, ask, greet, number_of, opened, refused, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import (
    Connect,
    Finish,
    Leave,
    Mismatch,
    NotOffered,
    Pause,
    Receive,
    Reply,
    Reset,
    Send,
    Silence,
    Talk,
    require,
)

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

MANY = 50
CHUNK = 1 << 22
PARTS = (2, 3, 4, 8)
TRIES = 20
PAUSE = 0.1
THIRDS = 3
LEAVES_AT_ONCE = "llama.cpp#26680"
REPLY_TO_NOBODY = "unslothai/llama.cpp#203"
LONG, WIDE = 64, 1 << 12
"""nodes and elements of a graph"""
RUNS = 200
"""so often it is run"""


@_case("LIFE-5/silent-before-hello")
def _nothing_said(codec: Codec) -> Talk[None]:
    """A client that says nothing and closes is none of anybody's business"""
    yield Connect()
    yield Leave()


@_case("LIFE-5/reset-before-hello", upstream=LEAVES_AT_ONCE)
def _reset(codec: Codec) -> Talk[None]:
    """A client that connects and resets at once harms nobody"""
    yield Connect()
    yield Reset()


@_case("LIFE-5/many-that-reset", upstream=LEAVES_AT_ONCE)
def _many_resets(codec: Codec) -> Talk[None]:
    """Dozens of clients that connect and reset at once harm nobody"""
    for at in range(MANY):
        yield Connect(f"client {at}")
        yield Reset(f"client {at}")


@_case("LIFE-5/many-at-once-that-reset", clients=MANY, upstream=LEAVES_AT_ONCE)
def _flood(codec: Codec) -> Talk[None]:
    """Dozens of clients that are connected at the same time, and reset all together, harm nobody"""
    for at in range(MANY):
        yield Connect(f"client {at}")
    for at in range(MANY):
        yield Reset(f"client {at}")


@_case("LIFE-5/many-half-open", upstream=LEAVES_AT_ONCE)
def _half_open(codec: Codec) -> Talk[None]:
    """Dozens of clients that end their own direction before they have said anything harm nobody"""
    for at in range(MANY):
        yield Connect(f"client {at}")
        yield Finish(f"client {at}")


@_case("LIFE-5/gone-before-its-reply", upstream=REPLY_TO_NOBODY)
def _gone(codec: Codec) -> Talk[None]:
    """Clients that ask and leave before the answer has come harm nobody"""
    for at in range(MANY):
        yield Send(codec.request("HELLO") + codec.request("DEVICE_COUNT") * at, f"client {at}")
        yield Leave(f"client {at}")


@_case("LIFE-5/reset-before-its-reply", upstream=REPLY_TO_NOBODY)
def _gone_by_reset(codec: Codec) -> Talk[None]:
    """Clients that ask and reset before the answer has come harm nobody"""
    for at in range(MANY):
        yield Send(codec.request("HELLO") + codec.request("DEVICE_COUNT") * at, f"client {at}")
        yield Reset(f"client {at}")


def _ends_in_a_run(end: Callable[[], Leave | Reset], codec: Codec) -> Talk[None]:
    yield from greet(codec)
    there = yield from placed(codec, chain(LONG, WIDE))
    yield Send(there.message() + again(codec) * RUNS + codec.request("DEVICE_COUNT"))
    yield end()


IN_A_RUN: Mapping[str, Callable[[], Leave | Reset]] = {"closed": Leave, "reset": Reset}

for _name, _end in IN_A_RUN.items():
    _section.add(
        Case(
            id=f"LIFE-5/{_name}-while-a-graph-runs",
            title=f"A connection that is {_name} while its graphs run harms nobody",
            script=partial(_ends_in_a_run, _end),
            upstream=REPLY_TO_NOBODY,
        )
    )


@_case("LIFE-3/memory-comes-back", ordinary=True)
def _comes_back(codec: Codec) -> Talk[None]:
    """Buffers of connections that have ended do not count against later ones"""
    for at in range(MANY):
        name = f"client {at}"
        buffer = yield from opened(codec, CHUNK, on=name)
        yield Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=at), name)
        yield from still_served(codec, name)
        yield (Leave if at % 2 else Reset)(name)
    yield from opened(codec, CHUNK)


Ending = Callable[[Codec], Talk[None]]


def _leaves(codec: Codec) -> Talk[None]:
    """is closed"""
    yield Leave("first")


def _resets(codec: Codec) -> Talk[None]:
    """is reset"""
    yield Reset("first")


def _breaks_a_rule(codec: Codec) -> Talk[None]:
    """breaks a rule"""
    yield from refused(codec, codec.head(255, 0), "first")


def _vanishes_in_a_payload(codec: Codec) -> Talk[None]:
    """vanishes inside a payload"""
    buffer = yield from allocate(codec, CHUNK, "first")
    request = codec.request("SET_TENSOR", bytes(CHUNK), tensor=row(codec, buffer, CHUNK))
    yield Send(request[: CHUNK // 2], "first")
    yield Reset("first")


ENDS: Mapping[str, Ending] = {
    "close": _leaves,
    "reset": _resets,
    "violation": _breaks_a_rule,
    "cut-off": _vanishes_in_a_payload,
}


def _free(codec: Codec, on: str) -> Talk[int]:
    return (yield from number_of(codec, "GET_DEVICE_MEMORY", "free", on, device=0))


def _taken(codec: Codec, free: int, on: str) -> Talk[int]:
    """A large share of what is free, in one buffer that nobody touches; how many bytes that is."""
    for share in (free // part for part in PARTS):
        got = yield from ask(codec, "ALLOC_BUFFER", on, device=0, size=share)
        if got["handle"] != 0:
            return share
    raise NotOffered(f"a buffer of {free // PARTS[-1]} bytes, of which {free} are free")


def _frees(end: Ending, codec: Codec) -> Talk[None]:
    """Looked at through GET_DEVICE_MEMORY, which need not follow what is allocated (DEVICE-3).

    Others take and give back memory meanwhile, so that the share has to be large.
    """
    yield from greet(codec, "first")
    before = yield from _free(codec, "first")
    share = yield from _taken(codec, before, "first")
    taken = before - (yield from _free(codec, "first"))
    if taken < share // 2:
        raise NotOffered(f"free memory that follows what is allocated: {share} bytes made it less by {taken}")
    yield from end(codec)
    yield from greet(codec, "second")
    for _ in range(TRIES):
        missing = before - (yield from _free(codec, "second"))
        if missing < share // 2:
            return
        yield Pause(PAUSE, "second")
    raise Mismatch(f"{share} bytes free again", f"{missing} bytes still missing after {TRIES * PAUSE:g} s")


for _name, _how in ENDS.items():
    _section.add(
        Case(
            id=f"LIFE-3/free-after-{_name}",
            title=f"The memory of a connection that {_how.__doc__} is free again",
            script=partial(_frees, _how),
        )
    )


@_case("LIFE-3/large-ones-one-after-the-other", ordinary=True)
def _large_ones(codec: Codec) -> Talk[None]:
    """Clients that take two fifths of the free memory each are all served, one after the other"""
    wanted = 0
    for at in range(THIRDS):
        name = f"client {at}"
        yield from greet(codec, name)
        wanted = wanted or (yield from _free(codec, name)) * 2 // 5
        is_given = yield from _given(codec, wanted, name, TRIES if at else 1)
        if at == 0 and not is_given:
            raise NotOffered(f"{wanted} bytes in one buffer")
        require(is_given, f"{wanted} bytes, as the client before had them", f"handle 0, for {TRIES * PAUSE:g} s")
        yield Leave(name)


def _given(codec: Codec, size: int, on: str, tries: int) -> Talk[bool]:
    """Whether a buffer of that size is to be had: how soon the end of another connection is noticed is said nowhere."""
    for _ in range(tries):
        got = yield from ask(codec, "ALLOC_BUFFER", on, device=0, size=size)
        if got["handle"] != 0:
            return True
        yield Pause(PAUSE, on)
    return False


@_case("LIFE-3/half-closed")
def _half_closed(codec: Codec) -> Talk[None]:
    """A client that has ended its own direction is closed, replies to what it sent coming first or not at all"""
    yield from opened(codec)
    yield Send(codec.request("DEVICE_COUNT"))
    yield Finish()
    answer = yield Receive()
    if isinstance(answer, Reply):
        answer = yield Receive()
    if isinstance(answer, Reply | Silence):
        raise Mismatch("the connection closed", str(answer), silent=isinstance(answer, Silence))


@_case("LIFE-4/many-short-ones", ordinary=True)
def _many_short(codec: Codec) -> Talk[None]:
    """Many short connections are served, one after the other"""
    for at in range(MANY):
        name = f"client {at}"
        yield from greet(codec, name)
        yield from number_of(codec, "DEVICE_COUNT", "count", name)
        yield Leave(name)


@_case("LIFE-4/no-state-between")
def _no_state(codec: Codec) -> Talk[None]:
    """A connection cannot run the graph that one before it has left"""
    graph, again = (
        codec.frame(command, sample(codec, command, NOWHERE)) for command in ("GRAPH_COMPUTE", "GRAPH_RECOMPUTE")
    )
    yield from greet(codec, "before")
    yield Send(graph + again, "before")
    yield from still_served(codec, "before")
    yield Leave("before")
    yield from greet(codec)
    yield from refused(codec, again)
