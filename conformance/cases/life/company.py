"""spec/text/life.md: several clients at a time. None sees another's, and none can make another wait for ever."""

from collections.abc import Callable, Mapping
from functools import partial

from conformance.cases.graph.placed import again, message, placed, results
from conformance.cases.samples import sample
from conformance.cases.sums import NUMBERS, chain, doubled
from conformance.cases.talk import allocate, get, greet, number_of, opened, put, refused, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import (
    Connect,
    Leave,
    Mismatch,
    Receive,
    Reply,
    Reset,
    Send,
    Silence,
    Sip,
    Talk,
    require,
)

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

FIRST, OTHER = "first", "other"
DOZENS = 40
LARGE = 16 << 20
"""bytes of a reply that no socket buffers whole"""
SIPS = 20
LONG, WIDE = 32, 1 << 17
"""nodes and elements of a graph that takes a while"""
RUNS = 600
FILLED, FILLS = 256 << 20, 60
"""bytes, and how often they are filled: seconds of work"""
SOON = 1.5
HOLDS_ALL = "llama.cpp#28908"
RACE = "gpustack#1399"


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


@_case("LIFE-1/graphs-are-private", clients=2)
def _private_graphs(codec: Codec) -> Talk[None]:
    """A connection cannot run the graph that another one has"""
    buffer = yield from opened(codec, on="owner")
    yield Send(codec.frame("GRAPH_COMPUTE", sample(codec, "GRAPH_COMPUTE", buffer)), "owner")
    yield from still_served(codec, "owner")
    yield from greet(codec)
    yield from refused(codec, codec.frame("GRAPH_RECOMPUTE", sample(codec, "GRAPH_RECOMPUTE", buffer)))


@_case("LIFE-1/graphs-of-one-name", ordinary=True, clients=2)
def _same_name(codec: Codec) -> Talk[None]:
    """Two connections that call their graphs alike run each its own"""
    there = {}
    for name in ("one", "two"):
        yield from greet(codec, name)
        there[name] = yield from placed(codec, doubled(), name)
    (x, y), empty = there["one"].records(), message(codec, (), ())
    yield Send(there["one"].message(), "one")
    yield from results(there["one"], "one")
    yield Send(empty, "two")
    yield from still_served(codec, "two")
    yield from put(codec, x, (NUMBERS * 2).tobytes(), on="one")
    yield Send(again(codec), "one")
    came = yield from get(codec, y, NUMBERS.nbytes, on="one")
    require(came == (NUMBERS * 4).tobytes(), "the sum, computed again", came.hex(" "))


def _idle(codec: Codec) -> Talk[None]:
    """is connected and idle"""
    yield from greet(codec, FIRST)


def _nothing_said(codec: Codec) -> Talk[None]:
    """has said nothing yet"""
    yield Connect(FIRST)


def _silent_in_hello(codec: Codec) -> Talk[None]:
    """has stopped in the middle of its HELLO"""
    yield Send(codec.request("HELLO")[:7], FIRST)


def _silent_in_a_payload(codec: Codec) -> Talk[None]:
    """has stopped in the middle of a payload"""
    buffer = yield from opened(codec, LARGE, FIRST)
    yield Send(codec.request("SET_TENSOR", bytes(LARGE), tensor=row(codec, buffer, LARGE))[: LARGE // 2], FIRST)


def _never_reads(codec: Codec) -> Talk[None]:
    """asks for large replies and takes none of them in"""
    buffer = yield from opened(codec, LARGE, FIRST)
    yield Send(codec.request("GET_TENSOR", tensor=row(codec, buffer, LARGE), size=LARGE) * 2, FIRST)


COMPANY: Mapping[str, Callable[[Codec], Talk[None]]] = {
    "beside-an-idle-one": _idle,
    "beside-one-that-said-nothing": _nothing_said,
    "beside-a-silent-one": _silent_in_hello,
    "beside-one-silent-in-a-payload": _silent_in_a_payload,
    "beside-one-that-never-reads": _never_reads,
}


def _served_beside(company: Callable[[Codec], Talk[None]], codec: Codec) -> Talk[None]:
    """Greet beside a connection; when that is in vain, let it go and hear out what comes late."""
    yield from company(codec)
    yield Send(codec.request("HELLO"), OTHER)
    answer = yield Receive(OTHER)
    if isinstance(answer, Reply):
        yield from number_of(codec, "GET_DEVICE_MEMORY", "free", OTHER, device=0)
        return
    yield Leave(FIRST)
    late = yield Receive(OTHER)
    came = f"{answer}; after the first had left: {late}"
    raise Mismatch("a reply to HELLO", came, silent=isinstance(answer, Silence))


for _name, _company in COMPANY.items():
    _section.add(
        Case(
            id=f"LIFE-2/{_name}",
            title=f"A client is served while another one {_company.__doc__}",
            script=partial(_served_beside, _company),
            upstream=HOLDS_ALL,
        )
    )


@_case("LIFE-2/beside-dozens", clients=DOZENS, upstream=HOLDS_ALL)
def _beside_dozens(codec: Codec) -> Talk[None]:
    """A client is served while dozens of others are connected, of which some have said nothing"""
    for at in range(DOZENS):
        if at % 2:
            yield Connect(f"idle {at}")
        else:
            yield from greet(codec, f"idle {at}")
    buffer = yield from opened(codec)
    record = row(codec, buffer, 256)
    yield from put(codec, record, bytes(range(256)))
    require((yield from get(codec, record, 256)) == bytes(range(256)), "the bytes that were set", "others")


@_case("LIFE-2/beside-a-slow-sender", clients=2, upstream=HOLDS_ALL)
def _slow_sender(codec: Codec) -> Talk[None]:
    """A client is served between the bytes of another one's request, and that one is served in the end"""
    buffer = yield from opened(codec, on=FIRST)
    yield from greet(codec, OTHER)
    record = row(codec, buffer, SIPS)
    request = codec.request("SET_TENSOR", bytes(range(SIPS)), tensor=record)
    yield Send(request[:-SIPS], FIRST)
    for at in range(SIPS, 0, -1):
        yield Send(request[len(request) - at :][:1], FIRST)
        yield from still_served(codec, OTHER)
    require((yield from get(codec, record, SIPS, on=FIRST)) == bytes(range(SIPS)), "the slow one's bytes", "others")


@_case("LIFE-2/beside-a-slow-reader", clients=2, upstream=HOLDS_ALL)
def _slow_reader(codec: Codec) -> Talk[None]:
    """A client is served between sips of another one's large reply, and that one gets all of it"""
    buffer = yield from opened(codec, LARGE, FIRST)
    record = row(codec, buffer, LARGE)
    yield Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=0x42), FIRST)
    yield Send(codec.request("GET_TENSOR", tensor=record, size=LARGE), FIRST)
    yield from greet(codec, OTHER)
    for _ in range(SIPS):
        yield Sip(1000, FIRST)
        yield from still_served(codec, OTHER)
    answer = yield Receive(FIRST)
    require(isinstance(answer, Reply) and answer.body == b"\x42" * LARGE, "all of the slow one's bytes", answer)


@_case("LIFE-9/beside-fills", clients=2)
def _fills(codec: Codec) -> Talk[None]:
    """A client is served while another one has much memory to be filled, many times over"""
    yield from greet(codec, FIRST)
    free = yield from number_of(codec, "GET_DEVICE_MEMORY", "free", FIRST, device=0)
    buffer = yield from allocate(codec, min(FILLED, free // 4), FIRST)
    fills = codec.request("BUFFER_CLEAR", handle=buffer.handle, value=1) * FILLS
    yield Send(fills + codec.request("DEVICE_COUNT"), FIRST)
    yield Send(codec.request("HELLO") + codec.request("DEVICE_COUNT"), OTHER)
    answer = yield Receive(OTHER, within=SOON)
    if not isinstance(answer, Reply):
        raise Mismatch(f"a reply to HELLO within {SOON:g} s", str(answer), silent=isinstance(answer, Silence))
    yield Receive(FIRST)


@_case("LIFE-6/turns", clients=2, upstream=RACE)
def _turns(codec: Codec) -> Talk[None]:
    """A client with one small graph is served while another has hundreds of large ones waiting"""
    yield from greet(codec, FIRST)
    heavy = yield from placed(codec, chain(LONG, WIDE), FIRST)
    yield from greet(codec, OTHER)
    light = yield from placed(codec, doubled(), OTHER)
    yield Send(heavy.message() + again(codec) * RUNS, FIRST)
    yield Send(light.message(), OTHER)
    (body,) = yield from results(light, OTHER)
    require(body == (NUMBERS * 2).tobytes(), "the light one's sum", body.hex(" "))
    yield Reset(FIRST)


@_case("LIFE-6/each-its-own-result", ordinary=True, clients=2, upstream=RACE)
def _own_results(codec: Codec) -> Talk[None]:
    """Clients that compute at the same time get each its own result"""
    there = {}
    for name in ("one", "two"):
        yield from greet(codec, name)
        there[name] = yield from placed(codec, chain(4, 1 << 12), name)
    for _ in range(SIPS):
        for name, graph in there.items():
            yield Send(graph.message(), name)
    for name, graph in there.items():
        (body,) = yield from results(graph, name)
        expected = b"\0\0\xa0\x40"
        require(body == expected * (len(body) // 4), "5 everywhere", body[:16].hex(" "))
