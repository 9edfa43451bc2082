"""Every command that takes a tensor record: a request that has a given record where the command takes one.

Rules
- A taker's request is legal but for its record; COPY_TENSOR and GET_ALLOC_SIZE take several, and are there for each.
- COMM_ALLREDUCE is left out: without a pair it closes the connection whatever its record says.
"""

from collections.abc import Callable

import attrs

from conformance.cases.samples import UNKNOWN_HASH, since, slug
from conformance.cases.talk import Buffer, refused, reply, row, still_served
from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.steps import End, Mismatch, Receive, Reply, Send, Silence, Talk

__all__ = ["PIECE", "TAKERS", "Taker", "denied", "of_taker", "taken", "tolerated"]

PIECE = 16
"""bytes from the beginning of the tensor that the commands are about"""
NOWHERE = Buffer(0, 0, 0)
Make = Callable[[Codec, bytes, Buffer], bytes]
"""record, a good buffer of the connection with PIECE bytes > request"""


@attrs.frozen(kw_only=True)
class Taker:
    """touches: whether it reads or writes bytes of the tensor, and so needs a place for it."""

    command: str
    part: str = ""
    make: Make
    touches: bool = True

    @property
    def slug(self) -> str:
        """As a part of a case id."""
        return "-".join(filter(None, (slug(self.command), self.part)))

    @property
    def name(self) -> str:
        """As a part of a title."""
        return " ".join(filter(None, (self.command, self.part)))


def _set(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("SET_TENSOR", bytes(PIECE), tensor=record)


def _get(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("GET_TENSOR", tensor=record, size=PIECE)


def _memset(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("MEMSET_TENSOR", tensor=record, size=PIECE, value=9)


def _set_pieces(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("SET_TENSOR_2D", bytes(8), tensor=record, size=2, n_copies=4, stride=4)


def _get_pieces(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("GET_TENSOR_2D", tensor=record, size=2, n_copies=4, stride=4)


def _hash(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("SET_TENSOR_HASH", tensor=record, hash=UNKNOWN_HASH)


def _from(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("COPY_TENSOR", src=record, dst=row(codec, good, good.size))


def _to(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("COPY_TENSOR", src=row(codec, good, PIECE), dst=record)


def _init(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("INIT_TENSOR", tensor=record)


def _size(codec: Codec, record: bytes, good: Buffer) -> bytes:
    return codec.request("GET_ALLOC_SIZE", device=0, tensor=record)


def _size_of_operand(codec: Codec, record: bytes, good: Buffer) -> bytes:
    slots = codec.dialect.structs["get_alloc_size_req"].field("srcs")
    empty = bytes(slots.size // slots.count)
    srcs = empty + record + empty * (slots.count - 2)
    return codec.request("GET_ALLOC_SIZE", device=0, tensor=row(codec, NOWHERE, PIECE), srcs=srcs)


TAKERS = (
    Taker(command="SET_TENSOR", make=_set),
    Taker(command="GET_TENSOR", make=_get),
    Taker(command="MEMSET_TENSOR", make=_memset),
    Taker(command="SET_TENSOR_2D", make=_set_pieces),
    Taker(command="GET_TENSOR_2D", make=_get_pieces),
    Taker(command="SET_TENSOR_HASH", make=_hash),
    Taker(command="COPY_TENSOR", part="src", make=_from),
    Taker(command="COPY_TENSOR", part="dst", make=_to),
    Taker(command="INIT_TENSOR", make=_init),
    Taker(command="GET_ALLOC_SIZE", make=_size, touches=False),
    Taker(command="GET_ALLOC_SIZE", part="operand", make=_size_of_operand, touches=False),
)
REPLIES = {"GET_TENSOR": PIECE, "GET_TENSOR_2D": 8}
"""commands whose reply is bytes of the tensor > how many"""


def _answer_bytes(codec: Codec, command: str) -> int | None:
    kind = codec.dialect.command(command).reply
    return None if kind is None else REPLIES.get(command) or codec.size(kind)


def taken(taker: Taker, codec: Codec, record: bytes, good: Buffer) -> Talk[bytes]:
    """The request is legal: it gets its reply, which is returned, if it has one, and the connection goes on."""
    yield Send(taker.make(codec, record, good))
    size = _answer_bytes(codec, taker.command)
    body = b"" if size is None else (yield from reply(size, taker.command))
    yield from still_served(codec)
    return body


def denied(taker: Taker, codec: Codec, record: bytes, good: Buffer) -> Talk[None]:
    """The request closes the connection; one for an unknown hash may be answered with 0 instead (CACHE-8)."""
    if taker.command != "SET_TENSOR_HASH":
        yield from refused(codec, taker.make(codec, record, good))
        return
    yield Send(taker.make(codec, record, good))
    answer = yield Receive()
    if not isinstance(answer, End) and not (isinstance(answer, Reply) and answer.body == b"\0"):
        raise Mismatch("the connection closed, or the answer 0", str(answer), silent=isinstance(answer, Silence))


def tolerated(taker: Taker, codec: Codec, record: bytes, good: Buffer) -> Talk[None]:
    """The request either closes the connection, or is carried out like a legal one."""
    yield Send(taker.make(codec, record, good) + codec.request("DEVICE_COUNT"))
    sizes = (_answer_bytes(codec, taker.command), codec.size("device_count_rsp"))
    for size in filter(None, sizes):
        answer = yield Receive()
        if isinstance(answer, End) and not answer.rest:
            return
        if not isinstance(answer, Reply) or answer.declared != size:
            raise Mismatch("a reply, or the connection closed", str(answer), silent=isinstance(answer, Silence))


def of_taker(case_id: str, taker: Taker, what: str, script: Callable[[Codec], Talk[None]]) -> Case:
    """A case that is asked of every taker; whoever adds it says what else there is to say."""
    return Case(id=case_id, title=f"{taker.name}: {what}", script=script, since=since(taker.command))
