"""spec/text/tensors.md: records and regions, through every command that touches bytes.

What a command does with bytes that it may touch is asked in transfer.py. Clauses about graphs' records wait for graphs.
"""

from collections.abc import Callable, Mapping
from functools import partial

from conformance.cases.samples import since, slug
from conformance.cases.talk import Buffer, allocate, ask, get, opened, put, refused, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import Send, Talk, require
from spec.load import load

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

SIZE = 64
TOP = 1 << 64
ALL_ONES = (1 << 32) - 1
ASSERTS = "llama.cpp#13067"

Touch = Callable[[Codec, bytes, int, int], bytes]
"""record, offset, size > the request that touches this region"""


def _set(codec: Codec, record: bytes, offset: int, size: int) -> bytes:
    return codec.request("SET_TENSOR", bytes(size), tensor=record, offset=offset)


def _get(codec: Codec, record: bytes, offset: int, size: int) -> bytes:
    return codec.request("GET_TENSOR", tensor=record, offset=offset, size=size)


def _memset(codec: Codec, record: bytes, offset: int, size: int) -> bytes:
    return codec.request("MEMSET_TENSOR", tensor=record, offset=offset, size=size, value=9)


def _set_pieces(codec: Codec, record: bytes, offset: int, size: int) -> bytes:
    return codec.request("SET_TENSOR_2D", bytes(size), tensor=record, offset=offset, size=size, n_copies=1, stride=size)


def _get_pieces(codec: Codec, record: bytes, offset: int, size: int) -> bytes:
    return codec.request("GET_TENSOR_2D", tensor=record, offset=offset, size=size, n_copies=1, stride=size)


TOUCH: Mapping[str, Touch] = {
    "SET_TENSOR": _set,
    "GET_TENSOR": _get,
    "MEMSET_TENSOR": _memset,
    "SET_TENSOR_2D": _set_pieces,
    "GET_TENSOR_2D": _get_pieces,
}


def _bad_record(touch: Touch, make: Callable[[Codec, Buffer], bytes], codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec)
    yield from refused(codec, touch(codec, make(codec, buffer), 0, 16))


def _bad_region(touch: Touch, offset: int, size: int, codec: Codec) -> Talk[None]:
    """A tensor of SIZE bytes in the middle of a buffer four times as long."""
    buffer = yield from opened(codec, 4 * SIZE)
    yield from refused(codec, touch(codec, row(codec, buffer, SIZE, SIZE), offset, size))


def _typed(kind: int) -> Callable[[Codec, Buffer], bytes]:
    return lambda codec, buffer: row(codec, buffer, SIZE, type=kind)


def _first_unknown(codec: Codec, buffer: Buffer) -> bytes:
    return row(codec, buffer, SIZE, type=max(codec.dialect.types) + 1)


def _placed(at: Callable[[Buffer], int]) -> Callable[[Codec, Buffer], bytes]:
    return lambda codec, buffer: row(codec, buffer, SIZE, data=at(buffer) % TOP)


def _endless(codec: Codec, buffer: Buffer) -> bytes:
    return row(codec, buffer, SIZE, ne=(ALL_ONES, ALL_ONES, 1, 1))


def _wrapping(codec: Codec, buffer: Buffer) -> bytes:
    """2^64 elements: their number is 0 modulo 2^64."""
    return row(codec, buffer, SIZE, ne=(1 << 16, 1 << 16, 1 << 16, 1 << 16))


RECORDS: Mapping[str, tuple[str, Callable[[Codec, Buffer], bytes], str]] = {
    "TENSOR-2/{}-first-unknown-type": ("the type number behind the last", _first_unknown, ASSERTS),
    "TENSOR-2/{}-type-all-ones": ("type 2^32 - 1", _typed(ALL_ONES), ASSERTS),
    "TENSOR-5/{}-too-many-elements": ("more than 2^63 elements", _endless, ""),
    "TENSOR-5/{}-elements-wrap": ("2^64 elements", _wrapping, ""),
    "REGION-1/{}-before-the-buffer": ("data before the buffer", _placed(lambda b: b.base - 1), ASSERTS),
    "REGION-1/{}-over-the-end": (
        "a tensor that ends behind its buffer",
        _placed(lambda b: b.base + b.size - 1),
        ASSERTS,
    ),
    "REGION-1/{}-behind-the-buffer": ("data behind the buffer", _placed(lambda b: b.base + b.size), ASSERTS),
    "REGION-1/{}-end-wraps": ("a tensor that ends behind 2^64", _placed(lambda b: TOP - 8), ASSERTS),
    "REGION-1/{}-data-zero": ("data 0", _placed(lambda b: 0), ASSERTS),
    "REGION-5/{}-no-buffer": ("handle 0", lambda codec, buffer: row(codec, buffer, SIZE, buffer=0), ""),
}
REGIONS: Mapping[str, tuple[str, int, int]] = {
    "offset-behind": ("the offset lies behind the tensor", SIZE + 8, 8),
    "size-over-the-end": ("offset + size passes the tensor's end", SIZE - 8, 16),
    "offset-huge": ("the offset is 2^63", 1 << 63, 8),
    "sum-wraps": ("offset + size is 4 modulo 2^64", TOP - 4, 8),
    "into-the-next": ("the region lies in the buffer, behind the tensor", SIZE, 8),
}


def _add(case_id: str, title: str, script: Callable[[Codec], Talk[None]], command: str, upstream: str) -> None:
    _section.add(Case(id=case_id, title=title, script=script, since=since(command), upstream=upstream))


for _command, _touch in TOUCH.items():
    for _id, (_title, _make, _report) in RECORDS.items():
        _script = partial(_bad_record, _touch, _make)
        _add(_id.format(slug(_command)), f"{_command}: {_title}", _script, _command, _report)
    for _withdrawn in load().withdrawn:
        _add(
            f"TENSOR-3/{slug(_command)}-type-{_withdrawn.number}",
            f"{_command}: withdrawn type {_withdrawn.number}",
            partial(_bad_record, _touch, _typed(_withdrawn.number)),
            _command,
            "llama.cpp#20712",
        )
    for _name, (_title, _offset, _size) in REGIONS.items():
        _script = partial(_bad_region, _touch, _offset, _size)
        _add(f"REGION-2/{slug(_command)}-{_name}", f"{_command}: {_title}", _script, _command, "")


@_case("TENSOR-6/half-a-block", level="SHOULD", upstream="llama.cpp#25288")
def _half_a_block(codec: Codec) -> Talk[None]:
    """A row that ends inside a block is refused"""
    buffer = yield from opened(codec)
    block = codec.dialect.type("Q4_0")
    shape: dict[str, Value] = {"type": block.number, "ne": (40, 1, 1, 1), "nb": (block.bytes, 36, 36, 36)}
    yield from refused(codec, _get(codec, row(codec, buffer, 40, **shape), 0, 4))


@_case("TENSOR-10/unknown-flags", ordinary=True)
def _flags(codec: Codec) -> Talk[None]:
    """Flags that are not COMPUTE or OUTPUT change nothing"""
    buffer = yield from opened(codec)
    yield from get(codec, row(codec, buffer, SIZE, flags=0x7FFFFFEC), SIZE)


@_case("TENSOR-11/names-outside-graphs", ordinary=True)
def _sources(codec: Codec) -> Talk[None]:
    """Outside a graph src and view_src are not looked at"""
    buffer = yield from opened(codec)
    yield from get(codec, row(codec, buffer, SIZE, src=tuple(range(100, 110)), view_src=99, view_offs=12), SIZE)


@_case("TENSOR-12/hostile-name")
def _hostile_name(codec: Codec) -> Talk[None]:
    """A name without NUL, of control characters and broken UTF-8, is only text"""
    buffer = yield from opened(codec)
    name = (b"\x1b[2J%s%n\xff\xfe" * 8)[:64]
    yield from get(codec, row(codec, buffer, SIZE, name=name), SIZE)


@_case("TENSOR-4/strided", ordinary=True)
def _strided(codec: Codec) -> Talk[None]:
    """The byte size of a strided tensor is its span, and all of the span can be read and no more"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 8, ne=(8, 3, 1, 1), nb=(1, 32, 96, 96))
    yield from get(codec, record, 72)


@_case("TENSOR-4/strided-no-more")
def _strided_end(codec: Codec) -> Talk[None]:
    """A byte behind the span of a strided tensor is not the tensor's"""
    buffer = yield from opened(codec)
    yield from refused(codec, _get(codec, row(codec, buffer, 8, ne=(8, 3, 1, 1), nb=(1, 32, 96, 96)), 0, 73))


@_case("REGION-4/nothing-was-written", clients=2)
def _untouched(codec: Codec) -> Talk[None]:
    """A refused write has changed no byte that another connection holds"""
    kept = yield from opened(codec, on="owner")
    record = row(codec, kept, 256)
    yield from put(codec, record, bytes(range(256)), on="owner")
    yield from opened(codec, on="stranger")
    yield from refused(codec, _set(codec, record, 0, 256), "stranger")
    require((yield from get(codec, record, 256, on="owner")) == bytes(range(256)), "the owner's bytes", "others")


@_case("REGION-6/empty-in-the-middle", ordinary=True)
def _empty(codec: Codec) -> Talk[None]:
    """Empty regions in the middle of a tensor are answered like others"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, SIZE)
    yield from put(codec, record, b"", offset=8)
    yield Send(_memset(codec, record, 8, 0))
    yield from get(codec, record, 0, offset=8)
    yield from still_served(codec)


@_case("REGION-6/empty-at-the-end")
def _empty_at_end(codec: Codec) -> Talk[None]:
    """An empty region at the end of a tensor that ends with its buffer is answered"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, SIZE, buffer.size - SIZE)
    yield from get(codec, record, 0, offset=SIZE)


@_case("REGION-6/no-elements")
def _no_elements(codec: Codec) -> Talk[None]:
    """A tensor without elements at the end of the buffer can be read, by no bytes"""
    buffer = yield from opened(codec)
    yield from get(codec, row(codec, buffer, 0, buffer.size, ne=(0, 4, 1, 1), nb=(1, 0, 0, 0)), 0)


@_case("COPY-6/no-elements", ordinary=True)
def _copy_nothing(codec: Codec) -> Talk[None]:
    """A copy of no elements from the end of the buffer is answered"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 0, buffer.size, ne=(0, 4, 1, 1), nb=(1, 0, 0, 0))
    yield from ask(codec, "COPY_TENSOR", src=record, dst=record)


def _bad_copy(src: int, dst: int, codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec, 4 * SIZE)
    other = yield from allocate(codec, SIZE)
    ends = {"src": row(codec, buffer, 2 * SIZE, src), "dst": row(codec, other, SIZE, dst)}
    yield from refused(codec, codec.request("COPY_TENSOR", **ends))


for _id, _title, _ends in (
    ("COPY-2/over-the-end", "a source that ends behind its buffer", (3 * SIZE, 0)),
    ("COPY-3/too-long", "more bytes than fit behind the destination", (0, 0)),
):
    _add(_id, f"COPY_TENSOR: {_title}", partial(_bad_copy, *_ends), "COPY_TENSOR", "ggml#1103")


@_case("INIT-3/no-buffer", ordinary=True)
def _init_nowhere(codec: Codec) -> Talk[None]:
    """INIT_TENSOR of a tensor without a buffer is ignored, and the connection goes on"""
    yield from opened(codec)
    yield Send(codec.request("INIT_TENSOR", tensor=row(codec, Buffer(0, 0, 0), SIZE)))
    yield from still_served(codec)


@_case("TENSOR-2/init-tensor-first-unknown-type")
def _init_unknown(codec: Codec) -> Talk[None]:
    """INIT_TENSOR of an unknown type closes the connection"""
    buffer = yield from opened(codec)
    yield from refused(codec, codec.request("INIT_TENSOR", tensor=_first_unknown(codec, buffer)))


@_case("TENSOR-2/get-alloc-size-first-unknown-type")
def _size_of_unknown(codec: Codec) -> Talk[None]:
    """GET_ALLOC_SIZE of an unknown type closes the connection"""
    buffer = yield from opened(codec)
    record = _first_unknown(codec, Buffer(0, buffer.size, 0))
    yield from refused(codec, codec.request("GET_ALLOC_SIZE", device=0, tensor=record))
