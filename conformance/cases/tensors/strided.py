"""spec/text/transfer.md, strided transfers: equal pieces at equal distances."""

from collections.abc import Mapping
from functools import partial

from conformance.cases.samples import since, slug
from conformance.cases.talk import get, opened, put, refused, reply, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import End, Mismatch, Receive, Reply, Reset, Send, Silence, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

DATA = bytes((7 * at + 3) % 256 for at in range(256))
SIZE = 64
TOP = 1 << 64
ENDLESS = 1 << 40
A_MOMENT = 0.2


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


@_case("STRIDED-1/without-gaps", ordinary=True)
def _without_gaps(codec: Codec) -> Talk[None]:
    """Pieces that lie side by side are one payload"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 256)
    yield Send(codec.request("SET_TENSOR_2D", DATA[:240], tensor=record, offset=8, size=24, n_copies=10, stride=24))
    require((yield from get(codec, record, 240, offset=8)) == DATA[:240], "the bytes that were set", "others")


@_case("STRIDED-4/not-answered", ordinary=True)
def _not_answered(codec: Codec) -> Talk[None]:
    """SET_TENSOR_2D is not answered: the next reply is that of the next command"""
    record = row(codec, (yield from opened(codec)), 256)
    yield Send(codec.request("SET_TENSOR_2D", DATA[:12], tensor=record, offset=5, size=3, n_copies=4, stride=10))
    yield from still_served(codec)


@_case("STRIDED-5/read", ordinary=True)
def _strided_read(codec: Codec) -> Talk[None]:
    """GET_TENSOR_2D answers the pieces without the gaps"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from put(codec, record, _holed())
    came = yield from _read(codec, record, offset=5, size=3, n_copies=4, stride=10)
    require(came == DATA[:12], DATA[:12].hex(" "), came.hex(" "))


def _read(codec: Codec, record: bytes, *, offset: int = 0, size: int, n_copies: int, stride: int) -> Talk[bytes]:
    values: dict[str, Value] = {"offset": offset, "size": size, "n_copies": n_copies, "stride": stride}
    yield Send(codec.request("GET_TENSOR_2D", tensor=record, **values))
    return (yield from reply(size * n_copies, "GET_TENSOR_2D"))


@_case("STRIDED-2/one-piece-any-stride")
def _any_stride(codec: Codec) -> Talk[None]:
    """With one piece the stride does not matter"""
    record = row(codec, (yield from opened(codec)), 256)
    yield from put(codec, record, DATA)
    came = yield from _read(codec, record, offset=200, size=56, n_copies=1, stride=TOP - 1)
    require(came == DATA[200:], DATA[200:].hex(" "), came.hex(" "))


@_case("STRIDED-6/read-overlapping")
def _overlapping(codec: Codec) -> Talk[None]:
    """Pieces that overlap are read one by one, to more bytes than the tensor has"""
    record = row(codec, (yield from opened(codec)), 64)
    yield from put(codec, record, DATA[:64])
    came = yield from _read(codec, record, size=40, n_copies=4, stride=8)
    wanted = b"".join(DATA[8 * at : 8 * at + 40] for at in range(4))
    require(came == wanted, wanted.hex(" "), came.hex(" "))


@_case("STRIDED-6/later-over-earlier")
def _later(codec: Codec) -> Talk[None]:
    """A later piece overwrites an earlier one"""
    record = row(codec, (yield from opened(codec)), 64)
    yield from put(codec, record, bytes(64))
    payload = bytes([1] * 8 + [2] * 8 + [3] * 8)
    yield Send(codec.request("SET_TENSOR_2D", payload, tensor=record, size=8, n_copies=3, stride=4))
    came = yield from get(codec, record, 20)
    wanted = bytes([1] * 4 + [2] * 4 + [3] * 8 + [0] * 4)
    require(came == wanted, wanted.hex(" "), came.hex(" "))


@_case("STRIDED-3/endless-answer")
def _endless(codec: Codec) -> Talk[None]:
    """A sum of pieces that is far more than the tensor is refused, or begins to come; then the client leaves"""
    record = row(codec, (yield from opened(codec)), 64)
    yield Send(codec.request("GET_TENSOR_2D", tensor=record, size=64, n_copies=ENDLESS, stride=0))
    answer = yield Receive(within=A_MOMENT)
    is_whole = isinstance(answer, Reply) and answer.declared == SIZE * ENDLESS
    if not is_whole and not isinstance(answer, End | Silence):
        raise Mismatch(f"a reply of {SIZE * ENDLESS} bytes, or the connection closed", str(answer))
    yield Reset()


BAD: Mapping[str, tuple[str, dict[str, int]]] = {
    "STRIDED-2/{}-span-over-the-end": (
        "a last piece that passes the tensor's end",
        {"offset": 5, "size": 30, "n_copies": 2, "stride": 30},
    ),
    "STRIDED-2/{}-second-piece-behind": (
        "a second piece that lies behind the tensor",
        {"size": 4, "n_copies": 2, "stride": SIZE},
    ),
    "STRIDED-2/{}-stride-all-ones": (
        "a stride of 2^64 - 1, which steps back by one modulo 2^64",
        {"offset": 8, "size": 4, "n_copies": 2, "stride": TOP - 1},
    ),
    "STRIDED-3/{}-span-wraps": (
        "a span of 4 modulo 2^64",
        {"size": 4, "n_copies": 5, "stride": 1 << 62},
    ),
    "STRIDED-2/{}-offset-wraps": (
        "an offset that wraps around with the span",
        {"offset": TOP - 8, "size": 4, "n_copies": 3, "stride": 4},
    ),
    "STRIDED-3/{}-no-pieces": ("no pieces", {"size": 4, "n_copies": 0, "stride": 4}),
    "STRIDED-3/{}-no-bytes": ("pieces of no bytes", {"size": 0, "n_copies": 4, "stride": 4}),
    "STRIDED-3/{}-product-wraps": (
        "size * n_copies is small modulo 2^64",
        {"size": 1 << 32, "n_copies": (1 << 32) + 1, "stride": 0},
    ),
    "STRIDED-3/{}-product-is-zero": (
        "size * n_copies is 0 modulo 2^64",
        {"size": 8, "n_copies": 1 << 61, "stride": 0},
    ),
}
"""case id, but for the command > what is wrong, and the numbers for a tensor of SIZE bytes"""


def _bad(command: str, numbers: dict[str, int], codec: Codec) -> Talk[None]:
    """The payload of a SET is as long as the product modulo 2^64, or no longer than can be sent."""
    record = row(codec, (yield from opened(codec)), SIZE)
    product = numbers["size"] * numbers["n_copies"] % TOP
    payload = bytes(product if product < 1 << 16 else 0) if command == "SET_TENSOR_2D" else b""
    yield from refused(codec, codec.request(command, payload, tensor=record, **numbers))


def _other_payload(length: int, codec: Codec) -> Talk[None]:
    record = row(codec, (yield from opened(codec)), SIZE)
    values: dict[str, Value] = {"size": 2, "n_copies": 4, "stride": 4}
    yield from refused(codec, codec.request("SET_TENSOR_2D", bytes(length), tensor=record, **values))


def _add(case_id: str, title: str, script: partial[Talk[None]], command: str) -> None:
    _section.add(Case(id=case_id, title=f"{command}: {title}", script=script, since=since(command)))


for _command in ("SET_TENSOR_2D", "GET_TENSOR_2D"):
    for _id, (_what, _numbers) in BAD.items():
        _add(_id.format(slug(_command)), _what, partial(_bad, _command, _numbers), _command)

for _name, _length in {"short": 7, "long": 9, "empty": 0}.items():
    _script = partial(_other_payload, _length)
    _add(f"STRIDED-4/payload-{_name}", f"{_length} bytes for four pieces of two", _script, "SET_TENSOR_2D")
