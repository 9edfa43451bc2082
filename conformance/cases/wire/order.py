"""spec/text/framing.md, what makes a stream of bytes a conversation: byte order, order, pipelining, violations."""

from functools import partial

from conformance.cases.talk import ended, get, greet, opened, put, refused, reply, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import (
    Connect,
    Leave,
    Mismatch,
    Pause,
    Receive,
    Reply,
    Send,
    Silence,
    Sip,
    Talk,
    Trickle,
    require,
)

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

MANY = 64
BIG = 1 << 16
HEAVY = 150
SIPS = 8
A_MOMENT = 0.2
BYTES = 256


@_case("FRAME-1/nothing-unasked", ordinary=True)
def _nothing_unasked(codec: Codec) -> Talk[None]:
    """A server takes a TCP connection, says nothing of its own accord, and answers on the same connection"""
    yield Connect()
    early = yield Receive(within=A_MOMENT)
    require(isinstance(early, Silence) and not early.rest, "nothing before the client has spoken", early)
    yield from greet(codec)
    late = yield Receive(within=A_MOMENT)
    require(isinstance(late, Silence) and not late.rest, "nothing but the reply", late)
    yield from still_served(codec)


@_case("FRAME-2/byte-by-byte", ordinary=True)
def _byte_by_byte(codec: Codec) -> Talk[None]:
    """A payload that comes one byte at a time is the same payload"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 100)
    yield Trickle(codec.request("SET_TENSOR", bytes(range(100)), tensor=record))
    came = yield from get(codec, record, 100)
    require(came == bytes(range(100)), "the bytes that were set", came.hex(" "))


@_case("FRAME-2/in-two-pieces", ordinary=True)
def _in_two(codec: Codec) -> Talk[None]:
    """It does not matter where TCP cuts a request"""
    yield from greet(codec)
    request = codec.request("GET_ALIGNMENT", device=0)
    for cut in range(1, len(request)):
        yield Send(request[:cut])
        yield Send(request[cut:])
        yield from reply(codec.size("alignment_rsp"), "GET_ALIGNMENT")


@_case("FRAME-2/hello-byte-by-byte", ordinary=True)
def _trickled(codec: Codec) -> Talk[None]:
    """A HELLO that comes one byte at a time is a HELLO"""
    yield Trickle(codec.request("HELLO"))
    yield from reply(codec.size("hello_rsp"), "HELLO")
    yield from still_served(codec)


@_case("FRAME-3/little-endian", ordinary=True)
def _little_endian(codec: Codec) -> Talk[None]:
    """0x0102 bytes asked for are 258 bytes"""
    buffer = yield from opened(codec, 4096)
    yield from get(codec, row(codec, buffer, 4096), 0x0102)


def _undefined(which: int, codec: Codec) -> Talk[None]:
    yield from greet(codec)
    byte = which or max(codec.dialect.commands) + 1
    yield from refused(codec, codec.head(byte, 0))


for _name, _byte in {"next": 0, "128": 128, "255": 255}.items():
    _section.add(
        Case(
            id=f"FRAME-4/{_name}",
            title=f"undefined command {_byte or 'behind the last one'} closes the connection",
            script=partial(_undefined, _byte),
        )
    )


@_case("FRAME-4/all-the-others")
def _all_undefined(codec: Codec) -> Talk[None]:
    """Every command byte that is not in the table closes its connection"""
    for byte in sorted(set(range(BYTES)) - set(codec.dialect.commands)):
        name = f"command {byte}"
        yield from greet(codec, name)
        yield from refused(codec, codec.head(byte, 0), name)
        yield Leave(name)


@_case("FRAME-4/body-not-awaited")
def _undefined_body(codec: Codec) -> Talk[None]:
    """An undefined command closes the connection before its body has come"""
    yield from greet(codec)
    yield Send(codec.head(200, 1000))
    yield from ended()


@_case("FRAME-4/declares-2-64-less-1")
def _undefined_and_huge(codec: Codec) -> Talk[None]:
    """An undefined command that declares 2^64 - 1 bytes closes the connection"""
    yield from greet(codec)
    yield from refused(codec, codec.head(200, (1 << 64) - 1))


@_case("FRAME-9/write-read-write-read", ordinary=True)
def _order(codec: Codec) -> Talk[None]:
    """Reads between writes see what was written before them and nothing of what comes after"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 32)
    read = codec.request("GET_TENSOR", tensor=record, size=32)
    fills = [bytes([value]) * 32 for value in (1, 2, 3)]
    yield Send(b"".join(codec.request("SET_TENSOR", fill, tensor=record) + read for fill in fills))
    for fill in fills:
        came = yield from reply(32, "GET_TENSOR")
        require(came == fill, fill.hex(" "), came.hex(" "))


@_case("FRAME-10/hello-and-more", ordinary=True)
def _pipelined(codec: Codec) -> Talk[None]:
    """A client that does not wait for the reply to HELLO gets both replies"""
    yield Send(codec.request("HELLO") + codec.request("DEVICE_COUNT"))
    yield from reply(codec.size("hello_rsp"), "HELLO")
    yield from reply(codec.size("device_count_rsp"), "DEVICE_COUNT")


@_case("FRAME-10/many-at-once", ordinary=True)
def _many(codec: Codec) -> Talk[None]:
    """Many requests in one segment are answered in their order"""
    yield from greet(codec)
    kinds: tuple[tuple[str, dict[str, Value]], ...] = (
        ("DEVICE_COUNT", {}),
        ("GET_ALIGNMENT", {"device": 0}),
        ("GET_DEVICE_MEMORY", {"device": 0}),
    )
    wanted = [kinds[at % len(kinds)] for at in range(MANY)]
    yield Send(b"".join(codec.request(command, **values) for command, values in wanted))
    for command, _ in wanted:
        yield from reply(codec.size(codec.dialect.command(command).reply or ""), command)


@_case("FRAME-10/replies-left-lying", ordinary=True)
def _left_lying(codec: Codec) -> Talk[None]:
    """A client may send many requests before it takes in the first of their large replies"""
    buffer = yield from opened(codec, BIG)
    record = row(codec, buffer, BIG)
    yield from put(codec, record, bytes(BIG))
    yield Send(codec.request("GET_TENSOR", tensor=record, size=BIG) * HEAVY)
    for _ in range(HEAVY):
        yield from reply(BIG, "GET_TENSOR")


@_case("FRAME-10/replies-in-sips", ordinary=True)
def _in_sips(codec: Codec) -> Talk[None]:
    """A client that takes a large reply in slowly gets all of it, and the next one"""
    buffer = yield from opened(codec, BIG)
    record = row(codec, buffer, BIG)
    content = bytes(range(256)) * (BIG // 256)
    yield from put(codec, record, content)
    yield Send(codec.request("GET_TENSOR", tensor=record, size=BIG) * 2)
    for _ in range(SIPS):
        yield Sip(100)
        yield Pause(A_MOMENT / SIPS)
    for _ in range(2):
        require((yield from reply(BIG, "GET_TENSOR")) == content, "the bytes that were set", "others")


@_case("FRAME-11/behind-a-bad-one")
def _behind(codec: Codec) -> Talk[None]:
    """What stands behind a violation in the same segment is not answered"""
    yield from greet(codec)
    good = codec.request("DEVICE_COUNT")
    yield Send(good + codec.head(255, 0) + good * 3)
    answer = yield Receive()
    if isinstance(answer, Reply):
        yield from ended(expected="one reply at most, then the connection closed")
    elif isinstance(answer, Silence):
        raise Mismatch("a reply or the end", str(answer), silent=True)


@_case("FRAME-11/nothing-else-suffers", clients=2)
def _others(codec: Codec) -> Talk[None]:
    """A violation on one connection leaves another one's bytes and order alone"""
    buffer = yield from opened(codec, on="good")
    record = row(codec, buffer, 64)
    yield from put(codec, record, bytes(range(64)), on="good")
    yield from greet(codec, "bad")
    yield from refused(codec, codec.head(255, 0), "bad")
    came = yield from get(codec, record, 64, on="good")
    require(came == bytes(range(64)), "the bytes that were set", came.hex(" "))


@_case("FRAME-11/many-of-them", clients=2)
def _again_and_again(codec: Codec) -> Talk[None]:
    """Violations of many connections, one after the other, leave an open one alone"""
    buffer = yield from opened(codec, on="good")
    record = row(codec, buffer, 64)
    yield from put(codec, record, bytes(range(64)), on="good")
    for at in range(MANY):
        name = f"bad {at}"
        yield from opened(codec, on=name)
        yield from refused(codec, codec.request("FREE_BUFFER", handle=buffer.handle), name)
    came = yield from get(codec, record, 64, on="good")
    require(came == bytes(range(64)), "the bytes that were set", came.hex(" "))
