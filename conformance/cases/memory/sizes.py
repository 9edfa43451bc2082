"""spec/text/buffers.md, GET_ALLOC_SIZE: how many bytes a tensor needs, with its operands and without."""

from functools import partial

from conformance.cases.talk import Buffer, greet, number_of, opened, row
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

NOWHERE = Buffer(0, 0, 0)
ASKED_FOR = ("MUL_MAT", "MUL_MAT_ID", "FLASH_ATTN_EXT", "CUMSUM", "ARGSORT", "TOP_K")
"""ops for whose results clients ask (ALLOC-13)"""
SHAPE = (64, 4, 1, 1)
FLOAT = 4


def _floats(codec: Codec, **fields: Value) -> bytes:
    """The record of a matrix of SHAPE in F32 that lies nowhere."""
    steps = (FLOAT, FLOAT * SHAPE[0], FLOAT * SHAPE[0] * SHAPE[1], FLOAT * SHAPE[0] * SHAPE[1])
    values: dict[str, Value] = {"type": codec.dialect.type("F32").number, "ne": SHAPE, "nb": steps}
    return row(codec, NOWHERE, 0, **{**values, **fields})


def _operands(codec: Codec, *records: bytes) -> bytes:
    """The slots, of which the first ones are taken."""
    slots = codec.dialect.structs["get_alloc_size_req"].field("srcs")
    return b"".join(records) + bytes(slots.size - sum(map(len, records)))


def _answer(codec: Codec, tensor: bytes, *operands: bytes) -> Talk[int]:
    return (
        yield from number_of(codec, "GET_ALLOC_SIZE", "size", device=0, tensor=tensor, srcs=_operands(codec, *operands))
    )


def _enough(codec: Codec, tensor: bytes, *operands: bytes) -> Talk[None]:
    size = yield from _answer(codec, tensor, *operands)
    least = FLOAT * SHAPE[0] * SHAPE[1]
    require(size >= least, f"at least {least}, the tensor's byte size", size)


@_case("ALLOC-12/byte-size", ordinary=True)
def _alloc_size(codec: Codec) -> Talk[None]:
    """A tensor needs at least its byte size, in a type with blocks too"""
    yield from greet(codec)
    block = codec.dialect.type("Q4_0")
    per_row = 512 // block.block * block.bytes
    shape: dict[str, Value] = {
        "type": block.number,
        "ne": (512, 8, 1, 1),
        "nb": (block.bytes, per_row, 8 * per_row, 8 * per_row),
    }
    size = yield from _answer(codec, row(codec, NOWHERE, 512, **shape))
    require(size >= 8 * per_row, f"at least {8 * per_row}", size)


@_case("ALLOC-12/no-elements", ordinary=True)
def _nothing(codec: Codec) -> Talk[None]:
    """A tensor without elements is answered like others"""
    yield from greet(codec)
    yield from _answer(codec, row(codec, NOWHERE, 0, ne=(0, 4, 1, 1), nb=(1, 0, 0, 0)))


def _for_op(op: str, codec: Codec) -> Talk[None]:
    yield from greet(codec)
    result = _floats(codec, op=codec.dialect.op(op).number, src=(2, 3, *(0,) * 8))
    yield from _enough(codec, result, _floats(codec, id=2), _floats(codec, id=3))


for _op in ASKED_FOR:
    _section.add(
        Case(
            id=f"ALLOC-9/{_op.lower().replace('_', '-')}",
            title=f"The result of {_op} is given at least its byte size",
            script=partial(_for_op, _op),
            ordinary=True,
        )
    )


@_case("ALLOC-10/no-buffer", ordinary=True)
def _no_buffer(codec: Codec) -> Talk[None]:
    """A tensor that lies nowhere is answered"""
    yield from greet(codec)
    yield from _enough(codec, _floats(codec))


@_case("ALLOC-10/in-a-buffer")
def _in_a_buffer(codec: Codec) -> Talk[None]:
    """A tensor that lies in a buffer of the connection is answered"""
    buffer = yield from opened(codec, 1024)
    yield from _enough(codec, _floats(codec, buffer=buffer.handle, data=buffer.base))


@_case("ALLOC-10/no-bytes-are-read")
def _too_small_a_buffer(codec: Codec) -> Talk[None]:
    """A tensor that is larger than its buffer is answered, since its bytes do not matter"""
    buffer = yield from opened(codec, FLOAT)
    yield from _enough(codec, _floats(codec, buffer=buffer.handle, data=buffer.base))


@_case("ALLOC-11/all-absent", ordinary=True)
def _all_absent(codec: Codec) -> Talk[None]:
    """A result may be asked about without its operands"""
    yield from greet(codec)
    yield from _enough(codec, _floats(codec, op=codec.dialect.op("MUL_MAT").number))


@_case("ALLOC-11/first-absent", ordinary=True)
def _first_absent(codec: Codec) -> Talk[None]:
    """An operand may stand in a later slot than the first"""
    yield from greet(codec)
    absent = bytes(codec.size("rpc_tensor"))
    yield from _enough(codec, _floats(codec, op=codec.dialect.op("MUL_MAT").number), absent, _floats(codec, id=2))


@_case("TENSOR-8/absent-means-absent")
def _absent(codec: Codec) -> Talk[None]:
    """Nothing but the id of a record is looked at when the id is 0"""
    yield from greet(codec)
    rubbish = _floats(codec, id=0, type=0xFFFFFFFF, ne=(0xFFFFFFFF,) * 4, buffer=1, data=2)
    yield from _enough(codec, _floats(codec, op=codec.dialect.op("MUL_MAT").number), rubbish, _floats(codec, id=2))


@_case("TENSOR-8/own-in-every-message", ordinary=True)
def _own(codec: Codec) -> Talk[None]:
    """An id means nothing in the next message"""
    yield from greet(codec)
    for ids in ((7, 8), (8, 7), (7, 7)):
        yield from _enough(codec, _floats(codec, id=ids[0]), _floats(codec, id=ids[1]))
