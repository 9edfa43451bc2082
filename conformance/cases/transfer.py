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
    yield from put(codec, record, DATA)
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


@_case("COPY-1/copied", ordinary=True)
def _copied(codec: Codec) -> Talk[None]:
    """With answer 1 the bytes stand at the destination; with answer 0 nothing has moved (COPY-4)"""
    buffer = yield from opened(codec)
    yield from put(codec, row(codec, buffer, 256), DATA)
    got = yield from ask(codec, "COPY_TENSOR", src=row(codec, buffer, 50), dst=row(codec, buffer, 50, 128))
    came = yield from get(codec, row(codec, buffer, 256), 256)
    copied = DATA[:128] + DATA[:50] + DATA[178:]
    require(came == (copied if got["ok"] == 1 else DATA), "the bytes that the answer promises", came.hex())


@_case("COPY-5/overlap")
def _overlap(codec: Codec) -> Talk[None]:
    """The destination of an overlapping copy gets what the source held before"""
    buffer = yield from opened(codec)
    yield from put(codec, row(codec, buffer, 256), DATA)
    got = yield from ask(codec, "COPY_TENSOR", src=row(codec, buffer, 200), dst=row(codec, buffer, 200, 1))
    came = yield from get(codec, row(codec, buffer, 256), 256)
    copied = DATA[:1] + DATA[:200] + DATA[201:]
    require(came == (copied if got["ok"] == 1 else DATA), copied.hex(), came.hex())


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


def _holed() -> bytes:
    """256 bytes of 0xEE with four pieces of three bytes, ten apart, from 5 on."""
    whole = bytearray(b"\xee" * 256)
    for piece in range(4):
        whole[5 + 10 * piece : 8 + 10 * piece] = DATA[3 * piece : 3 * piece + 3]
    return bytes(whole)


@_case("STRIDED-1/written", ordinary=True)
def _strided_write(codec: Codec) -> Talk[None]:
    """SET_TENSOR_2D puts each piece in its place, and touches nothing between them"""
    buffer = yield from opened(codec)
    yield Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=0xEE))
    record = row(codec, buffer, 256)
    yield Send(codec.request("SET_TENSOR_2D", DATA[:12], tensor=record, offset=5, size=3, n_copies=4, stride=10))
    require((yield from get(codec, record, 256)) == _holed(), "four pieces, ten apart", "others")


@_case("STRIDED-5/read", ordinary=True)
def _strided_read(codec: Codec) -> Talk[None]:
    """GET_TENSOR_2D answers the pieces without the gaps"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from put(codec, record, _holed())
    yield Send(codec.request("GET_TENSOR_2D", tensor=record, offset=5, size=3, n_copies=4, stride=10))
    came = yield from reply(12, "GET_TENSOR_2D")
    require(came == DATA[:12], DATA[:12].hex(" "), came.hex(" "))


@_case("STRIDED-2/span-over-the-end")
def _strided_over(codec: Codec) -> Talk[None]:
    """A last piece that passes the tensor's end closes the connection"""
    record = row(codec, (yield from opened(codec)), 64)
    yield from refused(codec, codec.request("GET_TENSOR_2D", tensor=record, offset=5, size=30, n_copies=2, stride=30))


@_case("STRIDED-3/no-pieces")
def _no_pieces(codec: Codec) -> Talk[None]:
    """No pieces close the connection"""
    record = row(codec, (yield from opened(codec)), 64)
    yield from refused(codec, codec.request("GET_TENSOR_2D", tensor=record, size=4, n_copies=0, stride=4))


@_case("STRIDED-3/product-wraps")
def _product(codec: Codec) -> Talk[None]:
    """size * n_copies that is small modulo 2^64 closes the connection"""
    record = row(codec, (yield from opened(codec)), 64)
    values: dict[str, Value] = {"size": 1 << 32, "n_copies": (1 << 32) + 1, "stride": 0}
    yield from refused(codec, codec.request("GET_TENSOR_2D", tensor=record, **values))


@_case("STRIDED-4/payload-short")
def _payload_short(codec: Codec) -> Talk[None]:
    """A payload shorter than the pieces closes the connection"""
    record = row(codec, (yield from opened(codec)), 64)
    yield from refused(codec, codec.request("SET_TENSOR_2D", bytes(7), tensor=record, size=2, n_copies=4, stride=4))


@_case("COMM-4/goes-on", ordinary=True)
def _comm(codec: Codec) -> Talk[None]:
    """A pairing that cannot be is answered with 0, and the connection goes on (COMM-2)"""
    yield from opened(codec)
    got = yield from ask(codec, "COMM_INIT", device=0, rank=0, world=3)
    require(got["ok"] == 0, "ok 0", got)
    yield from still_served(codec)
