"""spec/text/life.md: connections come and go, several at a time, and leave nothing behind.

LIFE-6, and LIFE-5 during a run, need graphs; LEAK-2 is asked where buffers are made (ALLOC-5).
"""

from conformance.cases.samples import NOWHERE, sample
from conformance.cases.talk import get, greet, number_of, opened, put, refused, row, still_served
from conformance.judge.case import Section
from conformance.judge.codec import Codec
from conformance.judge.steps import Finish, Leave, Mismatch, Receive, Reply, Reset, Send, Silence, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

MANY = 50
CHUNK = 1 << 22


@_case("LIFE-1/same-numbers-different-bytes", ordinary=True, clients=2)
def _private(codec: Codec) -> Talk[None]:
    """What one connection writes does not change what another holds"""
    kept = {}
    for name, value in (("one", 1), ("two", 2)):
        kept[name] = yield from opened(codec, on=name)
        yield from put(codec, row(codec, kept[name], 256), bytes([value]) * 256, on=name)
    for name, value in (("one", 1), ("two", 2)):
        came = yield from get(codec, row(codec, kept[name], 256), 256, on=name)
        require(came == bytes([value]) * 256, f"{value} everywhere", came[:16].hex(" "))


@_case("LIFE-2/beside-an-idle-one", upstream="llama.cpp#28908")
def _beside_idle(codec: Codec) -> Talk[None]:
    """A client is served while another one is connected and idle"""
    yield from greet(codec, "idle")
    yield from _served_beside(codec, "idle")


@_case("LIFE-2/beside-a-silent-one", upstream="llama.cpp#28908")
def _beside_silent(codec: Codec) -> Talk[None]:
    """A client is served while another one has stopped in the middle of its HELLO"""
    yield Send(codec.request("HELLO")[:7], "silent")
    yield from _served_beside(codec, "silent")


def _served_beside(codec: Codec, first: str) -> Talk[None]:
    """Greet beside a connection; when that is in vain, let it go and hear out what comes late."""
    yield Send(codec.request("HELLO"), "other")
    answer = yield Receive("other")
    if isinstance(answer, Reply):
        return
    yield Leave(first)
    late = yield Receive("other")
    came = f"{answer}; after the first had left: {late}"
    raise Mismatch("a reply to HELLO", came, silent=isinstance(answer, Silence))


@_case("LIFE-5/gone-before-its-reply", upstream="llama.cpp#26680")
def _gone(codec: Codec) -> Talk[None]:
    """Clients that ask and leave before the answer has come harm nobody"""
    for at in range(MANY):
        yield Send(codec.request("HELLO") + codec.request("DEVICE_COUNT") * at, f"client {at}")
        yield Leave(f"client {at}")


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
