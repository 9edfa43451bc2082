"""spec/text/framing.md, HELLO and phases: one greeting, first and once, of one size, by one version.

HELLO-1 and HELLO-4 bind clients only, HELLO-8 other transports.
"""

from functools import partial

from conformance.cases.samples import COMMANDS, NOWHERE, sample, since, slug
from conformance.cases.talk import ask, ended, greet, opened, refused, reply, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import (
    Finish,
    Leave,
    Mismatch,
    Receive,
    Reply,
    Reset,
    Send,
    Silence,
    Talk,
    Trickle,
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


@_case("FRAME-2/hello-byte-by-byte", ordinary=True)
def _trickled(codec: Codec) -> Talk[None]:
    """A HELLO that comes one byte at a time is a HELLO"""
    yield Trickle(codec.request("HELLO"))
    yield from reply(codec.size("hello_rsp"), "HELLO")
    yield from still_served(codec)


@_case("FRAME-10/hello-and-more", ordinary=True)
def _pipelined(codec: Codec) -> Talk[None]:
    """A client that does not wait for the reply to HELLO gets both replies"""
    yield Send(codec.request("HELLO") + codec.request("DEVICE_COUNT"))
    yield from reply(codec.size("hello_rsp"), "HELLO")
    yield from reply(codec.size("device_count_rsp"), "DEVICE_COUNT")


@_case("FRAME-12/half-a-hello")
def _half(codec: Codec) -> Talk[None]:
    """The stream ends inside HELLO: no reply, and the connection ends"""
    yield Send(codec.request("HELLO")[:20])
    yield Finish()
    yield from ended()


@_case("LIFE-5/silent-before-hello")
def _nothing_said(codec: Codec) -> Talk[None]:
    """A client that says nothing and closes is none of anybody's business"""
    yield Send(b"")
    yield Leave()


@_case("LIFE-5/reset-before-hello", upstream="llama.cpp#26680")
def _reset(codec: Codec) -> Talk[None]:
    """A client that connects and resets at once harms nobody"""
    yield Send(b"")
    yield Reset()


def _before_hello(command: str, codec: Codec) -> Talk[None]:
    yield from refused(codec, codec.frame(command, sample(codec, command, NOWHERE)))


for _command in COMMANDS:
    if _command != "HELLO":
        _section.add(
            Case(
                id=f"PHASE-1/{slug(_command)}",
                title=f"{_command} before HELLO closes the connection",
                script=partial(_before_hello, _command),
                since=since(_command),
            )
        )


@_case("PHASE-1/undefined-command")
def _undefined_first(codec: Codec) -> Talk[None]:
    """An undefined command before HELLO closes the connection"""
    yield from refused(codec, codec.head(200, 0))
