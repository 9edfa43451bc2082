"""spec/text/tensors.md: what each field of a record means, and where it means nothing."""

from collections.abc import Callable, Mapping
from functools import partial

import attrs
import numpy as np

from conformance.cases.graph.placed import placed, results
from conformance.cases.sums import NUMBERS, doubled, of_a_view
from conformance.cases.talk import Buffer, allocate, get, greet, opened, put, refused, row, still_served
from conformance.cases.tensors.records import SIZE, WRAPPED
from conformance.cases.tensors.takers import PIECE, TAKERS, Taker, of_taker, taken, tolerated
from conformance.judge.case import Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import End, Mismatch, Receive, Reply, Send, Silence, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

ALL_ONES = (1 << 64) - 1
NO_KNOWN_FLAG = 0x7FFFFF00
HOSTILE_NAME = (b"\x1b[2J%s%n\xff\xfe" * 8)[:64]
WORDS = tuple((-1) ** at * (0x01234567 + at) for at in range(16))
UNREAD: Mapping[str, tuple[str, dict[str, Value]]] = {
    "TENSOR-8/{}-any-id": ("an id of 2^64 - 1", {"id": ALL_ONES}),
    "TENSOR-9/{}-parameters-of-no-op": ("parameters without an op", {"op_params": WORDS}),
    "TENSOR-10/{}-unknown-flags": ("flags that are none", {"flags": NO_KNOWN_FLAG}),
    "TENSOR-11/{}-names-of-nobody": (
        "operands and a view that name nobody",
        {"src": tuple(range(100, 110)), "view_src": 99, "view_offs": 12},
    ),
    "TENSOR-12/{}-hostile-name": ("a name without NUL, of control characters and broken UTF-8", {"name": HOSTILE_NAME}),
    "TENSOR-13/{}-use-count": ("a negative count of uses", {"use_count": -1}),
}
"""case id, but for the command > what a server does not look at outside of graphs"""


def _takes(taker: Taker, fields: dict[str, Value], codec: Codec) -> Talk[None]:
    buffer = yield from opened(codec, SIZE)
    good = yield from allocate(codec, PIECE)
    where = buffer if taker.touches else Buffer(0, 0, 0)
    yield from taken(taker, codec, row(codec, where, PIECE, **fields), good)


def _tolerates(taker: Taker, codec: Codec) -> Talk[None]:
    """What an op number outside of a graph has to be is said nowhere."""
    buffer = yield from opened(codec, SIZE)
    good = yield from allocate(codec, PIECE)
    where = buffer if taker.touches else Buffer(0, 0, 0)
    yield from tolerated(taker, codec, row(codec, where, PIECE, op=(1 << 32) - 1), good)


for _taker in TAKERS:
    for _id, (_what, _fields) in UNREAD.items():
        _script: Callable[[Codec], Talk[None]] = partial(_takes, _taker, _fields)
        _asked = of_taker(_id.format(_taker.slug), _taker, _what, _script)
        _section.add(attrs.evolve(_asked, ordinary="hostile" not in _id))
    _section.add(of_taker(f"TENSOR-1/{_taker.slug}-op-of-no-table", _taker, "op 2^32 - 1", partial(_tolerates, _taker)))


@_case("TENSOR-1/every-field-in-its-place", ordinary=True)
def _in_place(codec: Codec) -> Talk[None]:
    """With all other fields full, type, extents, strides, handle and address are still found where they stand"""
    buffer = yield from opened(codec, 4 * SIZE)
    yield from put(codec, row(codec, buffer, 4 * SIZE), bytes(range(4 * SIZE)))
    full: dict[str, Value] = {name: value for _, fields in UNREAD.values() for name, value in fields.items()}
    kind = codec.dialect.type("F32").number
    record = row(codec, buffer, 0, SIZE, type=kind, ne=(4, 2, 1, 1), nb=(4, 24, 48, 48), **full)
    came = yield from get(codec, record, 40)
    require(came == bytes(range(SIZE, SIZE + 40)), "40 bytes from 64 on", came.hex(" "))


@_case("TENSOR-4/strided", ordinary=True)
def _strided(codec: Codec) -> Talk[None]:
    """The byte size of a strided tensor is its span, and all of the span can be read"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 8, ne=(8, 3, 1, 1), nb=(1, 32, 96, 96))
    yield from get(codec, record, 72)


@_case("TENSOR-4/strided-no-more")
def _strided_end(codec: Codec) -> Talk[None]:
    """A byte behind the span of a strided tensor is not the tensor's"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 8, ne=(8, 3, 1, 1), nb=(1, 32, 96, 96))
    yield from refused(codec, codec.request("GET_TENSOR", tensor=record, size=73))


@_case("TENSOR-4/no-extent", ordinary=True, upstream="llama.cpp#9799")
def _no_extent(codec: Codec) -> Talk[None]:
    """A tensor with an extent of 0 in any place has a size of 0"""
    buffer = yield from opened(codec)
    for dimension in range(4):
        ne = tuple(0 if at == dimension else 4 for at in range(4))
        yield from get(codec, row(codec, buffer, 0, ne=ne, nb=(1, 4, 16, 64)), 0)


@_case("TENSOR-4/no-extent-no-bytes", upstream="llama.cpp#9799")
def _no_bytes(codec: Codec) -> Talk[None]:
    """A tensor with an extent of 0 has no first byte, however large its strides are"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 0, ne=(4, 0, 4, 4), nb=(1, 4, 16, 64))
    yield from refused(codec, codec.request("GET_TENSOR", tensor=record, size=1))


@_case("TENSOR-4/blocks", ordinary=True)
def _blocks(codec: Codec) -> Talk[None]:
    """In a type with blocks a row has as many bytes as its blocks"""
    buffer = yield from opened(codec)
    record, size = _of_blocks(codec, buffer)
    yield from get(codec, record, size)


@_case("TENSOR-4/blocks-no-more")
def _blocks_end(codec: Codec) -> Talk[None]:
    """A byte behind the blocks of the last row is not the tensor's"""
    buffer = yield from opened(codec)
    record, size = _of_blocks(codec, buffer)
    yield from refused(codec, codec.request("GET_TENSOR", tensor=record, size=size + 1))


def _of_blocks(codec: Codec, buffer: Buffer) -> tuple[bytes, int]:
    """Two rows of three blocks, and their bytes."""
    kind = codec.dialect.type("Q4_0")
    size = 2 * 3 * kind.bytes
    shape: dict[str, Value] = {"type": kind.number, "ne": (3 * kind.block, 2, 1, 1)}
    return row(codec, buffer, 0, **shape, nb=(kind.bytes, 3 * kind.bytes, size, size)), size


@_case("TENSOR-7/strides-as-they-stand")
def _zero_strides(codec: Codec) -> Talk[None]:
    """Strides of 0 and odd ones count as they stand: the span is no longer than they make it"""
    buffer = yield from opened(codec)
    record = row(codec, buffer, 0, ne=(8, 5, 3, 2), nb=(1, 0, 7, 13))
    yield from get(codec, record, 8 + 2 * 7 + 13)
    yield from refused(codec, codec.request("GET_TENSOR", tensor=record, size=8 + 2 * 7 + 13 + 1))


@_case("TENSOR-16/get-alloc-size-span-wraps")
def _no_such_size(codec: Codec) -> Talk[None]:
    """A span of 2^64 + 4 bytes is refused, or answered with more than there can be; not with 4"""
    yield from greet(codec)
    yield Send(codec.request("GET_ALLOC_SIZE", device=0, tensor=row(codec, Buffer(0, 0, 0), 0, **WRAPPED)))
    answer = yield Receive()
    if isinstance(answer, End):
        return
    size = codec.size("get_alloc_size_rsp")
    if not isinstance(answer, Reply) or answer.declared != size:
        raise Mismatch("a reply, or the connection closed", str(answer), silent=isinstance(answer, Silence))
    claimed = codec.read("get_alloc_size_rsp", "size", answer.body)
    require(claimed >= 1 << 63, "2^63 or more, or the connection closed", claimed)


@_case("TENSOR-9/words-of-no-meaning", ordinary=True)
def _words(codec: Codec) -> Talk[None]:
    """Parameters that an op does not define do not change its result"""
    yield from greet(codec)
    wanted = doubled()
    result = wanted.results[0]
    there = yield from placed(codec, wanted.replacing(result, result.saying(op_params=WORDS)))
    yield Send(there.message())
    (body,) = yield from results(there)
    require(body == (NUMBERS + NUMBERS).tobytes(), "twice the numbers", np.frombuffer(body, np.float32).tolist())


@_case("TENSOR-14/data-is-complete", ordinary=True)
def _complete(codec: Codec) -> Talk[None]:
    """The data of a view includes its offset, which is not added once more"""
    yield from greet(codec)
    there = yield from placed(codec, of_a_view())
    yield Send(there.message())
    (body,) = yield from results(there)
    require(body == (NUMBERS + NUMBERS).tobytes(), "twice the numbers", np.frombuffer(body, np.float32).tolist())


@_case("TENSOR-14/outside-a-graph", ordinary=True)
def _view_alone(codec: Codec) -> Talk[None]:
    """A view is read where its data says, whatever its offset"""
    buffer = yield from opened(codec, 4 * SIZE)
    yield from put(codec, row(codec, buffer, 4 * SIZE), bytes(range(4 * SIZE)))
    came = yield from get(codec, row(codec, buffer, 8, 32, view_src=5, view_offs=32), 8)
    require(came == bytes(range(32, 40)), "the bytes from 32 on", came.hex(" "))


@_case("INIT-3/no-buffer", ordinary=True)
def _init_nowhere(codec: Codec) -> Talk[None]:
    """INIT_TENSOR of a tensor without a buffer is ignored, and the connection goes on"""
    yield from opened(codec)
    yield Send(codec.request("INIT_TENSOR", tensor=row(codec, Buffer(0, 0, 0), SIZE)))
    yield from still_served(codec)
