"""spec/text/transfer.md: bytes arrive as they were sent, where they were sent, and nowhere else."""

from conformance.cases.samples import UNKNOWN_HASH
from conformance.cases.talk import ask, get, opened, put, refused, reply, row, still_served
from conformance.judge.case import Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import Send, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

DATA = bytes((7 * at + 3) % 256 for at in range(256))
LARGE = 1 << 20


@_case("SET-2/as-they-are", ordinary=True)
def _as_they_are(codec: Codec) -> Talk[None]:
    """A payload comes back as it was sent"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from put(codec, record, DATA)
    require((yield from get(codec, record, 256)) == DATA, "the bytes that were set", "others")


@_case("SET-2/at-an-offset", ordinary=True)
def _at_offset(codec: Codec) -> Talk[None]:
    """A payload replaces the bytes from the offset on, and no others"""
    buffer = yield from opened(codec)
    yield Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=0xEE))
    record = row(codec, buffer, 128, 32)
    yield from put(codec, record, DATA[:50], offset=17)
    came = yield from get(codec, row(codec, buffer, 256), 256)
    wanted = b"\xee" * 49 + DATA[:50] + b"\xee" * 157
    require(came == wanted, wanted.hex(), came.hex())


@_case("SET-2/large", ordinary=True)
def _large(codec: Codec) -> Talk[None]:
    """A payload of a mebibyte comes back whole"""
    record = row(codec, (yield from opened(codec, LARGE)), LARGE)
    yield from put(codec, record, DATA * (LARGE // 256))
    require((yield from get(codec, record, LARGE)) == DATA * (LARGE // 256), "the bytes that were set", "others")


@_case("SET-1/no-payload", ordinary=True)
def _no_payload(codec: Codec) -> Talk[None]:
    """A SET_TENSOR without payload changes nothing"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from put(codec, record, DATA)
    yield from put(codec, record, b"", offset=3)
    require((yield from get(codec, record, 256)) == DATA, "the bytes that were set", "others")


@_case("SET-3/not-answered", ordinary=True)
def _not_answered(codec: Codec) -> Talk[None]:
    """SET_TENSOR is not answered: the next reply is that of the next command"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from put(codec, record, DATA[:200])
    yield from still_served(codec)


@_case("GET-1/piece", ordinary=True)
def _piece(codec: Codec) -> Talk[None]:
    """The reply has just the bytes from the offset on, as many as asked for"""
    buffer = yield from opened(codec)
    yield from put(codec, row(codec, buffer, 256), DATA)
    came = yield from get(codec, row(codec, buffer, 128, 64), 20, offset=100)
    require(came == DATA[164:184], DATA[164:184].hex(" "), came.hex(" "))


@_case("GET-2/after-all-before", ordinary=True)
def _after(codec: Codec) -> Talk[None]:
    """GET_TENSOR sees all earlier commands, none of which was answered"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 256)
    yield Send(
        codec.request("SET_TENSOR", DATA, tensor=record)
        + codec.request("BUFFER_CLEAR", handle=buffer.handle, value=1)
        + codec.request("MEMSET_TENSOR", tensor=record, offset=4, size=4, value=2)
        + codec.request("SET_TENSOR", b"\3" * 2, tensor=record, offset=5)
        + codec.request("GET_TENSOR", tensor=record, size=10)
    )
    came = yield from reply(10, "GET_TENSOR")
    require(came == bytes((1, 1, 1, 1, 2, 3, 3, 2, 1, 1)), "01 01 01 01 02 03 03 02 01 01", came.hex(" "))


@_case("GET-3/size-zero", ordinary=True)
def _size_zero(codec: Codec) -> Talk[None]:
    """Size 0 is answered with a frame of size 0"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from get(codec, record, 0)
    yield from still_served(codec)


@_case("MEMSET-1/piece", ordinary=True)
def _memset(codec: Codec) -> Talk[None]:
    """Just the bytes of the region become the value"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from put(codec, record, DATA)
    yield Send(codec.request("MEMSET_TENSOR", tensor=record, offset=10, size=100, value=0x77))
    came = yield from get(codec, record, 256)
    require(came == DATA[:10] + b"\x77" * 100 + DATA[110:], "77 from 10 to 109 alone", came.hex())


@_case("MEMSET-2/size-zero")
def _memset_nowhere(codec: Codec) -> Talk[None]:
    """MEMSET_TENSOR without a buffer closes the connection, even of size 0"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 256, buffer=0)
    yield from refused(codec, codec.request("MEMSET_TENSOR", tensor=record, size=0))


@_case("INIT-2/bytes-stay", ordinary=True)
def _init(codec: Codec) -> Talk[None]:
    """INIT_TENSOR leaves the bytes of the tensor alone"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from put(codec, record, DATA)
    yield Send(codec.request("INIT_TENSOR", tensor=record))
    require((yield from get(codec, record, 256)) == DATA, "the bytes that were set", "others")


@_case("CACHE-4/unknown-hash", ordinary=True)
def _unknown_hash(codec: Codec) -> Talk[None]:
    """A hash that nobody has stored is answered with 0, and the bytes stay"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from put(codec, record, DATA)
    got = yield from ask(codec, "SET_TENSOR_HASH", tensor=record, hash=UNKNOWN_HASH)
    require(got["found"] == 0, "found 0", got)
    require((yield from get(codec, record, 256)) == DATA, "the bytes that were set", "others")


@_case("CACHE-5/flag-set", ordinary=True)
def _flagged(codec: Codec) -> Talk[None]:
    """A SET_TENSOR whose cache flag is set writes like any other"""
    record = row(codec, (yield from opened(codec)), 256)
    yield Send(codec.request("SET_TENSOR", DATA, tensor=record, cache_flag=1))
    require((yield from get(codec, record, 256)) == DATA, "the bytes that were set", "others")


@_case("INIT-2/at-the-end-of-its-buffer", ordinary=True)
def _init_at_end(codec: Codec) -> Talk[None]:
    """A tensor whose rows could be padded, and which ends with its buffer, is announced without harm"""
    kind = codec.dialect.type("Q4_0")
    buffer = yield from opened(codec, 4 * kind.bytes)
    yield Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=0x3C))
    shape: dict[str, Value] = {"type": kind.number, "ne": (kind.block, 1, 1, 1), "nb": (kind.bytes,) * 4}
    yield Send(codec.request("INIT_TENSOR", tensor=row(codec, buffer, 0, buffer.size - kind.bytes, **shape)))
    came = yield from get(codec, row(codec, buffer, buffer.size), buffer.size)
    require(came == b"\x3c" * buffer.size, "3c everywhere", f"{sum(byte != 0x3C for byte in came)} bytes that are not")
