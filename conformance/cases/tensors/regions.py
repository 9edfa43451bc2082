"""spec/text/tensors.md, regions: offsets and sizes, through every command that has them."""

from collections.abc import Callable, Mapping
from functools import partial

from conformance.cases.samples import since, slug
from conformance.cases.talk import allocate, ended, get, opened, put, refused, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import HEAD_BYTES, Codec
from conformance.judge.steps import Send, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

SIZE = 64
TOP = 1 << 64
PAYLOAD = 1 << 20
ASSERTS = "llama.cpp#7427"
OVERRUN = "CVE-2024-42479"

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
WITH_PAYLOAD = frozenset({"SET_TENSOR", "SET_TENSOR_2D"})
"""commands whose size is that of what they carry: a huge one is asked about where frames are"""
REGIONS: Mapping[str, tuple[str, int, int, str]] = {
    "offset-behind": ("the offset lies behind the tensor", SIZE + 8, 8, ASSERTS),
    "one-too-many": ("one byte more than the tensor has", 0, SIZE + 1, ASSERTS),
    "size-over-the-end": ("offset + size passes the tensor's end", SIZE - 8, 16, ASSERTS),
    "into-the-next": ("the region lies in the buffer, behind the tensor", SIZE, 8, ASSERTS),
    "offset-huge": ("the offset is 2^63", 1 << 63, 8, ""),
    "offset-last": ("the offset is 2^64 - 1, and with the size 0 modulo 2^64", TOP - 1, 1, ""),
    "sum-wraps": ("offset + size is 4 modulo 2^64", TOP - 4, 8, ""),
    "sum-wraps-to-the-tensor": ("offset + size is the tensor's size modulo 2^64", TOP - SIZE, 2 * SIZE, ""),
    "empty-behind": ("an empty region behind the tensor", SIZE + 8, 0, ""),
    "empty-last": ("an empty region at the offset 2^64 - 1", TOP - 1, 0, ""),
}
HUGE: Mapping[str, tuple[str, int, int]] = {
    "size-2-31": ("2^31 bytes", 0, 1 << 31),
    "size-2-63": ("2^63 bytes", 0, 1 << 63),
    "size-2-64-less-1": ("2^64 - 1 bytes", 0, TOP - 1),
    "size-wraps": ("2^64 - 1 bytes from 1 on: 0 modulo 2^64", 1, TOP - 1),
}


def _bad_region(touch: Touch, offset: int, size: int, codec: Codec) -> Talk[None]:
    """A tensor of SIZE bytes in the middle of a buffer four times as long."""
    buffer = yield from opened(codec, 4 * SIZE)
    yield from refused(codec, touch(codec, row(codec, buffer, SIZE, SIZE), offset, size))


def _beyond_the_buffer(touch: Touch, codec: Codec) -> Talk[None]:
    """A tensor that claims more than its buffer has, and a region in the part that is not there."""
    buffer = yield from opened(codec, 4 * SIZE)
    yield from refused(codec, touch(codec, row(codec, buffer, buffer.size + SIZE), buffer.size, SIZE))


def _across_two(touch: Touch, codec: Codec) -> Talk[None]:
    """A region that begins in one buffer and whose record names another."""
    one = yield from opened(codec, 4 * SIZE)
    two = yield from allocate(codec, 4 * SIZE)
    record = row(codec, one, SIZE, buffer=two.handle)
    yield from refused(codec, touch(codec, record, 0, SIZE))


def _add(case_id: str, title: str, script: Callable[[Codec], Talk[None]], command: str, upstream: str = "") -> None:
    title = f"{command}: {title}"
    _section.add(Case(id=case_id, title=title, script=script, since=since(command), upstream=upstream))


for _command, _touch in TOUCH.items():
    for _name, (_title, _offset, _size, _report) in REGIONS.items():
        _script = partial(_bad_region, _touch, _offset, _size)
        _add(f"REGION-2/{slug(_command)}-{_name}", _title, _script, _command, _report)
    if _command not in WITH_PAYLOAD:
        for _name, (_title, _offset, _size) in HUGE.items():
            _script = partial(_bad_region, _touch, _offset, _size)
            _add(f"REGION-2/{slug(_command)}-{_name}", _title, _script, _command)
    _add(
        f"REGION-3/{slug(_command)}-beyond-the-buffer",
        "the region lies in the tensor and behind the buffer",
        partial(_beyond_the_buffer, _touch),
        _command,
        OVERRUN,
    )
    _add(
        f"REGION-1/{slug(_command)}-in-another-buffer",
        "data in one buffer of the connection, and the handle of another",
        partial(_across_two, _touch),
        _command,
    )


@_case("REGION-3/up-to-the-end", ordinary=True)
def _up_to_the_end(codec: Codec) -> Talk[None]:
    """A region may end where its tensor and its buffer do"""
    buffer = yield from opened(codec, 4 * SIZE)
    record = row(codec, buffer, SIZE, buffer.size - SIZE)
    yield from put(codec, record, b"\x5a" * 8, offset=SIZE - 8)
    require((yield from get(codec, record, 8, offset=SIZE - 8)) == b"\x5a" * 8, "the last eight bytes", "others")


@_case("REGION-4/nothing-was-written", clients=2)
def _untouched(codec: Codec) -> Talk[None]:
    """A refused write has changed no byte that another connection holds"""
    kept = yield from opened(codec, on="owner")
    record = row(codec, kept, 256)
    yield from put(codec, record, bytes(range(256)), on="owner")
    yield from opened(codec, on="stranger")
    yield from refused(codec, _set(codec, record, 0, 256), "stranger")
    require((yield from get(codec, record, 256, on="owner")) == bytes(range(256)), "the owner's bytes", "others")


def _withheld(command: str, codec: Codec) -> Talk[None]:
    """A mebibyte is announced for a region that is not there, and none of it comes."""
    buffer = yield from opened(codec, 4 * SIZE)
    request = TOUCH[command](codec, row(codec, buffer, SIZE), 0, PAYLOAD)
    yield Send(request[: HEAD_BYTES + codec.fixed_bytes(command)])
    yield from ended()


for _command in ("SET_TENSOR", "SET_TENSOR_2D"):
    _section.add(
        Case(
            id=f"SET-4/{slug(_command)}-before-its-payload",
            title=f"{_command} of a bad region is refused when its fixed part has come",
            script=partial(_withheld, _command),
            since=since(_command),
        )
    )


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
    yield from put(codec, record, b"", offset=SIZE)
    yield Send(_memset(codec, record, SIZE, 0))
    yield from still_served(codec)


@_case("REGION-6/no-elements", upstream="llama.cpp#9799")
def _no_elements(codec: Codec) -> Talk[None]:
    """A tensor without elements at the end of the buffer can be read, by no bytes"""
    buffer = yield from opened(codec)
    yield from get(codec, row(codec, buffer, 0, buffer.size, ne=(0, 4, 1, 1), nb=(1, 0, 0, 0)), 0)


@_case("REGION-6/no-elements-anywhere")
def _anywhere(codec: Codec) -> Talk[None]:
    """The address of a tensor without elements is not checked"""
    buffer = yield from opened(codec)
    for data in (0, buffer.base - 1, TOP - 1):
        record = row(codec, buffer, 0, ne=(0, 4, 1, 1), nb=(1, 0, 0, 0), data=data)
        yield from get(codec, record, 0)
