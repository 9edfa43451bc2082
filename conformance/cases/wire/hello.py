"""spec/text/framing.md, HELLO: one greeting, first and once, of one size, by one version."""

from functools import partial

from conformance.cases.talk import allocate, ask, ended, get, greet, opened, put, refused, reply, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import (
    Leave,
    Mismatch,
    Receive,
    Reply,
    Send,
    Silence,
    Talk,
    require,
)

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

OFFER = bytes(range(1, 25))
WRONG_SIZES = {"empty": 0, "one-byte": 1, "one-short": 23, "one-more": 25, "twice": 48}
HUGE = {"2-31": 1 << 31, "2-63": 1 << 63, "2-64-less-1": (1 << 64) - 1}


def _wrong_size(size: int, codec: Codec) -> Talk[None]:
    yield from refused(codec, codec.frame("HELLO", bytes(size)))


def _huge(size: int, codec: Codec) -> Talk[None]:
    yield from refused(codec, codec.head("HELLO", size) + bytes(24))


for _name, _size in WRONG_SIZES.items():
    _section.add(
        Case(id=f"HELLO-2/{_name}", title=f"a HELLO of {_size} bytes is refused", script=partial(_wrong_size, _size))
    )
for _name, _size in HUGE.items():
    _section.add(
        Case(id=f"HELLO-2/declares-{_name}", title=f"a HELLO that declares {_size} bytes", script=partial(_huge, _size))
    )


@_case("HELLO-3/size", ordinary=True)
def _reply_size(codec: Codec) -> Talk[None]:
    """The reply has 28 bytes"""
    yield Send(codec.request("HELLO"))
    yield from reply(28, "HELLO")


@_case("HELLO-3/zero-byte", ordinary=True)
def _zero_byte(codec: Codec) -> Talk[None]:
    """The byte behind the three numbers of the version is zero"""
    got = yield from ask(codec, "HELLO")
    require(got["padding"] == 0, "padding 0", f"padding {got['padding']!r}")


@_case("HELLO-3/version", ordinary=True)
def _version(codec: Codec) -> Talk[None]:
    """The version in the reply is that of the dialect by which the testee is judged, but for the patch"""
    got = yield from ask(codec, "HELLO")
    came, wanted = (got["major"], got["minor"]), codec.dialect.hello[:2]
    require(came == wanted, f"major and minor {wanted}", came)


@_case("HELLO-5/zeros", ordinary=True)
def _zeros(codec: Codec) -> Talk[None]:
    """After capabilities of all zeros the connection stays on TCP and is served"""
    yield from greet(codec)
    yield from still_served(codec)


@_case("HELLO-5/offer")
def _offer(codec: Codec) -> Talk[None]:
    """An offer that makes no sense is answered with zeros, and the connection stays on TCP"""
    got = yield from ask(codec, "HELLO", conn_caps=OFFER)
    require(got["conn_caps"] == bytes(24), "capabilities of all zeros", got["conn_caps"])
    yield from still_served(codec)


@_case("HELLO-6/twice")
def _twice(codec: Codec) -> Talk[None]:
    """A second HELLO closes the connection"""
    yield from greet(codec)
    yield from refused(codec, codec.request("HELLO"))


@_case("HELLO-6/late")
def _late(codec: Codec) -> Talk[None]:
    """A second HELLO closes the connection after other commands too"""
    yield from opened(codec)
    yield from refused(codec, codec.request("HELLO"))


@_case("HELLO-6/pipelined")
def _pipelined_twice(codec: Codec) -> Talk[None]:
    """Two HELLOs in one segment are answered once at most, then the connection closes"""
    yield Send(codec.request("HELLO") * 2 + codec.request("DEVICE_COUNT"))
    answer = yield Receive()
    if isinstance(answer, Reply):
        yield from ended()
    elif isinstance(answer, Silence):
        raise Mismatch("a reply or the end", str(answer), silent=True)


@_case("HELLO-7/same-on-every-connection", ordinary=True)
def _one_dialect(codec: Codec) -> Talk[None]:
    """Two connections, one after the other, hear the same version"""
    first = yield from ask(codec, "HELLO", "first")
    yield Leave("first")
    second = yield from ask(codec, "HELLO", "second")
    versions = [tuple(got[part] for part in ("major", "minor", "patch")) for got in (first, second)]
    require(versions[0] == versions[1], f"version {versions[0]} again", versions[1])


@_case("HELLO-5/back-to-zeros")
def _offer_ignored(codec: Codec) -> Talk[None]:
    """Whatever was offered, requests and replies go on over TCP, payloads too"""
    yield from ask(codec, "HELLO", conn_caps=bytes(range(255, 231, -1)))
    buffer = yield from allocate(codec)
    record = row(codec, buffer, 64)
    yield from put(codec, record, bytes(range(64)))
    require((yield from get(codec, record, 64)) == bytes(range(64)), "the bytes that were set", "others")
