"""spec/text/transfer.md, the tensor cache: what is kept, for whom, and what a hit may do."""

from functools import partial

from conformance.cases.life.kept import MORE, PATTERN_BYTES, UNTOUCHED, blank, found, intact, kept, payload_of
from conformance.cases.talk import get, put, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import (
    CacheFiles,
    Connect,
    End,
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
_case = partial(_section.case, needs_cache=True)
CASES = _section.cases

TOP = 1 << 64
STRANGER = "127.0.0.2"


@_case("CACHE-4/found", ordinary=True)
def _hit(codec: Codec) -> Talk[None]:
    """A payload that was worth keeping is written by its hash, on another connection"""
    payload = yield from kept(codec, "found")
    buffer = yield from blank(codec, len(payload.data))
    is_found = yield from found(codec, row(codec, buffer, len(payload.data)), payload.digest)
    require(is_found, "found 1", "0")
    yield from intact(codec, buffer, 0, payload.data)


@_case("CACHE-1/hash-of-the-payload", ordinary=True)
def _right_hash(codec: Codec) -> Talk[None]:
    """The payload is known by the FNV-1a of its bytes, and by no neighbour of that"""
    payload = yield from kept(codec, "hash")
    buffer = yield from blank(codec, len(payload.data))
    record = row(codec, buffer, len(payload.data))
    for other in (
        payload.digest ^ 1,
        payload.digest ^ (1 << 63),
        int.from_bytes(payload.digest.to_bytes(8, "big"), "little"),
    ):
        require(not (yield from found(codec, record, other)), f"found 0 for {other:016x}", "1")
    yield from intact(codec, buffer, 0, b"")
    require((yield from found(codec, record, payload.digest)), "found 1", "0")


@_case("CACHE-3/at-an-offset", ordinary=True)
def _at_offset(codec: Codec) -> Talk[None]:
    """A hit replaces as many bytes as the payload has, from the offset on, and no others"""
    payload = yield from kept(codec, "offset")
    buffer = yield from blank(codec, len(payload.data) + 3 * MORE)
    is_found = yield from found(codec, row(codec, buffer, buffer.size), payload.digest, offset=MORE)
    require(is_found, "found 1", "0")
    yield from intact(codec, buffer, MORE, payload.data)


def _does_not_fit(room: int, offset: int, behind: int, codec: Codec) -> Talk[None]:
    """A tensor whose size is that of the payload and `room` more, with `behind` bytes behind it in its buffer."""
    payload = yield from kept(codec, "does not fit")
    size = len(payload.data) + room
    buffer = yield from blank(codec, size + behind)
    record = row(codec, buffer, size)
    yield Send(codec.request("SET_TENSOR_HASH", tensor=record, offset=offset, hash=payload.digest))
    answer = yield Receive()
    if isinstance(answer, End):
        return
    if not isinstance(answer, Reply) or answer.body != b"\0":
        raise Mismatch("the connection closed, or the answer 0", str(answer), silent=isinstance(answer, Silence))
    yield from intact(codec, buffer, 0, b"")


for _name, _title, _room in (
    ("longer-than-the-tensor", "a payload that is a byte longer than the tensor", (-1, 0, 0)),
    ("longer-than-a-small-one", "a payload that is much longer than the tensor and its buffer", (-(1 << 20), 0, 0)),
    ("into-the-next", "a payload that would fit into the buffer and not into the tensor", (-64, 0, 4096)),
    ("over-the-end-by-offset", "an offset that leaves a byte too little", (0, 1, 4096)),
    ("offset-wraps", "an offset of 2^64 - 1", (0, TOP - 1, 4096)),
):
    _section.add(Case(id=f"CACHE-3/{_name}", title=_title, script=partial(_does_not_fit, *_room), needs_cache=True))


@_case("CACHE-3/handle-of-nobody")
def _nobodys(codec: Codec) -> Talk[None]:
    """A hash that is known gives nobody a way into a buffer that is not his"""
    payload = yield from kept(codec, "nobody")
    buffer = yield from blank(codec, len(payload.data))
    record = row(codec, buffer, len(payload.data), buffer=buffer.handle ^ (TOP >> 2))
    yield Send(codec.request("SET_TENSOR_HASH", tensor=record, hash=payload.digest))
    answer = yield Receive()
    if not isinstance(answer, End) and not (isinstance(answer, Reply) and answer.body == b"\0"):
        raise Mismatch("the connection closed, or the answer 0", str(answer), silent=isinstance(answer, Silence))


@_case("CACHE-4/several")
def _several(codec: Codec) -> Talk[None]:
    """Of several payloads each is found with its own bytes, or not at all"""
    payloads = []
    for at in range(4):
        payloads.append((yield from kept(codec, f"one of several: {at}")))
    for at, payload in enumerate(payloads):
        buffer = yield from blank(codec, len(payload.data), f"reader {at}")
        is_found = yield from found(codec, row(codec, buffer, len(payload.data)), payload.digest, on=f"reader {at}")
        record = row(codec, buffer, PATTERN_BYTES)
        came = yield from get(codec, record, PATTERN_BYTES, on=f"reader {at}")
        wanted = payload.data[:PATTERN_BYTES] if is_found else bytes([UNTOUCHED]) * PATTERN_BYTES
        require(came == wanted, "its own bytes" if is_found else "nothing written", came[:32].hex(" "))
        yield Leave(f"reader {at}")


@_case("CACHE-5/flag-zero", ordinary=True)
def _not_worth_it(codec: Codec) -> Talk[None]:
    """A payload whose flag is 0 is not kept"""
    yield from kept(codec, "worth it")
    before = yield CacheFiles()
    payload = payload_of(codec, "not worth it")
    buffer = yield from blank(codec, len(payload.data))
    record = row(codec, buffer, len(payload.data))
    yield from put(codec, record, payload.data)
    yield from still_served(codec)
    require(not (yield from found(codec, record, payload.digest)), "found 0", "1")
    require((yield CacheFiles()) == before, "the files that were there", "others")


@_case("CACHE-9/another-address")
def _strangers(codec: Codec) -> Talk[None]:
    """What a client at one address had kept is not given to a client at another"""
    payload = yield from kept(codec, "of one address")
    yield Connect("stranger", STRANGER)
    buffer = yield from blank(codec, len(payload.data), "stranger")
    record = row(codec, buffer, len(payload.data))
    require(not (yield from found(codec, record, payload.digest, on="stranger")), "found 0", "1")
