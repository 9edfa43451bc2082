"""spec/text/transfer.md, COPY_TENSOR: how many bytes go where, and from what may be copied."""

from functools import partial

from conformance.cases.samples import since
from conformance.cases.talk import allocate, ask, get, opened, put, refused, row
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

DATA = bytes((7 * at + 3) % 256 for at in range(256))
SIZE = 64
OVERFLOW = "ggml#1103"


def _promised(codec: Codec, answer: dict[str, Value], record: bytes, copied: bytes, before: bytes) -> Talk[None]:
    """With answer 1 the bytes are there, with answer 0 nothing has moved (COPY-4)."""
    require(answer["ok"] in (0, 1), "1 or 0", answer)
    came = yield from get(codec, record, len(before))
    wanted = copied if answer["ok"] == 1 else before
    require(came == wanted, wanted.hex(), came.hex())


@_case("COPY-1/copied", ordinary=True)
def _copied(codec: Codec) -> Talk[None]:
    """With answer 1 the bytes stand at the destination; with answer 0 nothing has moved (COPY-4)"""
    buffer = yield from opened(codec)
    yield from put(codec, row(codec, buffer, 256), DATA)
    got = yield from ask(codec, "COPY_TENSOR", src=row(codec, buffer, 50), dst=row(codec, buffer, 50, 128))
    yield from _promised(codec, got, row(codec, buffer, 256), DATA[:128] + DATA[:50] + DATA[178:], DATA)


@_case("COPY-1/between-buffers", ordinary=True)
def _between(codec: Codec) -> Talk[None]:
    """Bytes are copied from one buffer to another, and no more than the source has"""
    one = yield from opened(codec)
    two = yield from allocate(codec)
    yield from put(codec, row(codec, one, 256), DATA)
    yield from put(codec, row(codec, two, 256), bytes(256))
    got = yield from ask(codec, "COPY_TENSOR", src=row(codec, one, 100, 8), dst=row(codec, two, 100, 16))
    copied = bytes(16) + DATA[8:108] + bytes(140)
    yield from _promised(codec, got, row(codec, two, 256), copied, bytes(256))


@_case("COPY-3/other-shape")
def _other_shape(codec: Codec) -> Talk[None]:
    """Types and extents of the two need not agree: the source's bytes are copied as they are"""
    buffer = yield from opened(codec)
    yield from put(codec, row(codec, buffer, 256), DATA)
    floats: dict[str, Value] = {
        "type": codec.dialect.type("F32").number,
        "ne": (2, 2, 2, 1),
        "nb": (4, 8, 16, 32),
    }
    target = row(codec, buffer, 0, 128, **floats)
    got = yield from ask(codec, "COPY_TENSOR", src=row(codec, buffer, 32), dst=target)
    yield from _promised(codec, got, row(codec, buffer, 256), DATA[:128] + DATA[:32] + DATA[160:], DATA)


@_case("COPY-5/overlap")
def _overlap(codec: Codec) -> Talk[None]:
    """The destination of an overlapping copy gets what the source held before"""
    buffer = yield from opened(codec)
    yield from put(codec, row(codec, buffer, 256), DATA)
    got = yield from ask(codec, "COPY_TENSOR", src=row(codec, buffer, 200), dst=row(codec, buffer, 200, 1))
    yield from _promised(codec, got, row(codec, buffer, 256), DATA[:1] + DATA[:200] + DATA[201:], DATA)


@_case("COPY-5/overlap-backwards")
def _overlap_backwards(codec: Codec) -> Talk[None]:
    """So does that of one that lies before its source"""
    buffer = yield from opened(codec)
    yield from put(codec, row(codec, buffer, 256), DATA)
    got = yield from ask(codec, "COPY_TENSOR", src=row(codec, buffer, 200, 1), dst=row(codec, buffer, 200))
    yield from _promised(codec, got, row(codec, buffer, 256), DATA[1:201] + DATA[200:], DATA)


@_case("COPY-6/no-elements", ordinary=True)
def _copy_nothing(codec: Codec) -> Talk[None]:
    """A copy of no elements from the end of the buffer is answered"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 0, buffer.size, ne=(0, 4, 1, 1), nb=(1, 0, 0, 0))
    yield from ask(codec, "COPY_TENSOR", src=record, dst=record)


def _bad_copy(src: int, dst: int, codec: Codec) -> Talk[None]:
    """A source of 2 * SIZE bytes from `src` in a buffer twice as long, to `dst` in one of SIZE bytes."""
    buffer = yield from opened(codec, 4 * SIZE)
    other = yield from allocate(codec, SIZE)
    ends = {"src": row(codec, buffer, 2 * SIZE, src), "dst": row(codec, other, SIZE - dst, dst)}
    yield from refused(codec, codec.request("COPY_TENSOR", **ends))


for _id, _title, _ends in (
    ("COPY-2/over-the-end", "a source that ends behind its buffer", (3 * SIZE, 0)),
    ("COPY-3/too-long", "more bytes than fit behind the destination", (0, 0)),
    ("COPY-3/too-long-from-the-middle", "more bytes than fit behind the middle of the destination", (0, SIZE // 2)),
):
    _section.add(
        Case(
            id=_id,
            title=f"COPY_TENSOR: {_title}",
            script=partial(_bad_copy, *_ends),
            since=since("COPY_TENSOR"),
            upstream=OVERFLOW,
        )
    )


@_case("COPY-3/spread-out-source", upstream=OVERFLOW)
def _spread_out(codec: Codec) -> Talk[None]:
    """A source with gaps is as long as its span, and that has to fit behind the destination"""
    buffer = yield from opened(codec, 4 * SIZE)
    other = yield from allocate(codec, SIZE)
    source = row(codec, buffer, 0, ne=(8, 2, 1, 1), nb=(1, 2 * SIZE, 4 * SIZE, 4 * SIZE))
    yield from refused(codec, codec.request("COPY_TENSOR", src=source, dst=row(codec, other, SIZE)))
