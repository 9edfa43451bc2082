"""A legal request for every command, so that a case can say what is wrong with all of them in turn.

A sample is legal on a connection that owns the buffer it was made for, and behind the sample's own prelude. The only
command without one is COMM_ALLREDUCE: it needs a second server.
"""

from collections.abc import Callable, Mapping

from conformance.cases.talk import Buffer, row
from conformance.judge.codec import Codec, Value
from spec.load import load

__all__ = ["COMMANDS", "NOWHERE", "SAMPLES", "answered", "is_answered", "prelude", "sample", "since", "slug"]

NOWHERE = Buffer(handle=1, size=256, base=1 << 20)
"""stands for a buffer where none can be had: before HELLO"""
PIECE = 16
SOME_UID = 7
UNKNOWN_HASH = 0x0123456789ABCDEF

Make = Callable[[Codec, Buffer], bytes]


def _device(command: str) -> Make:
    return lambda codec, buffer: codec.body(command, device=0)


def _buffer(command: str) -> Make:
    return lambda codec, buffer: codec.body(command, handle=buffer.handle)


def _uid(codec: Codec, command: str) -> dict[str, Value]:
    struct = codec.dialect.command(command).request or ""
    return {"uid": SOME_UID} if any(field.name == "uid" for field in codec.dialect.structs[struct].fields) else {}


def _graph(codec: Codec, buffer: Buffer) -> bytes:
    return codec.body("GRAPH_COMPUTE", bytes(4), device=0, n_nodes=0, **_uid(codec, "GRAPH_COMPUTE"))


def _recompute(codec: Codec, buffer: Buffer) -> bytes:
    return codec.body("GRAPH_RECOMPUTE", device=0, **_uid(codec, "GRAPH_RECOMPUTE"))


def _copy(codec: Codec, buffer: Buffer) -> bytes:
    return codec.body("COPY_TENSOR", src=row(codec, buffer, PIECE), dst=row(codec, buffer, PIECE, PIECE))


def _alloc_size(codec: Codec, buffer: Buffer) -> bytes:
    return codec.body("GET_ALLOC_SIZE", device=0, tensor=row(codec, Buffer(0, 0, 0), PIECE))


def _pieces(command: str, tail: bytes) -> Make:
    def make(codec: Codec, buffer: Buffer) -> bytes:
        record = row(codec, buffer, PIECE)
        return codec.body(command, tail, tensor=record, size=2, n_copies=4, stride=4)

    return make


SAMPLES: Mapping[str, Make] = {
    "HELLO": lambda codec, buffer: codec.body("HELLO"),
    "DEVICE_COUNT": lambda codec, buffer: b"",
    "GET_ALIGNMENT": _device("GET_ALIGNMENT"),
    "GET_MAX_SIZE": _device("GET_MAX_SIZE"),
    "GET_DEVICE_MEMORY": _device("GET_DEVICE_MEMORY"),
    "ALLOC_BUFFER": lambda codec, buffer: codec.body("ALLOC_BUFFER", device=0, size=64),
    "BUFFER_GET_BASE": _buffer("BUFFER_GET_BASE"),
    "FREE_BUFFER": _buffer("FREE_BUFFER"),
    "BUFFER_CLEAR": _buffer("BUFFER_CLEAR"),
    "SET_TENSOR": lambda c, buffer: c.body("SET_TENSOR", bytes(PIECE), tensor=row(c, buffer, PIECE)),
    "SET_TENSOR_HASH": lambda c, b: c.body("SET_TENSOR_HASH", tensor=row(c, b, PIECE), hash=UNKNOWN_HASH),
    "GET_TENSOR": lambda c, buffer: c.body("GET_TENSOR", tensor=row(c, buffer, PIECE), size=PIECE),
    "COPY_TENSOR": _copy,
    "GRAPH_COMPUTE": _graph,
    "GRAPH_RECOMPUTE": _recompute,
    "INIT_TENSOR": lambda c, buffer: c.body("INIT_TENSOR", tensor=row(c, buffer, PIECE)),
    "GET_ALLOC_SIZE": _alloc_size,
    "MEMSET_TENSOR": lambda c, buffer: c.body("MEMSET_TENSOR", tensor=row(c, buffer, PIECE), size=PIECE, value=5),
    "SET_TENSOR_2D": _pieces("SET_TENSOR_2D", bytes(8)),
    "GET_TENSOR_2D": _pieces("GET_TENSOR_2D", b""),
    "COMM_INIT": lambda codec, buffer: codec.body("COMM_INIT", device=0, rank=0, world=3),
    "COMM_FREE": _device("COMM_FREE"),
}
"""command > the body of a legal request; a world of three cannot be, so COMM_INIT is answered with 0 (COMM-2)"""

ANSWERS = {"GET_TENSOR": PIECE, "GET_TENSOR_2D": 8}
COMMANDS = tuple(SAMPLES)


def sample(codec: Codec, command: str, buffer: Buffer) -> bytes:
    """The body of a legal request."""
    return SAMPLES[command](codec, buffer)


def prelude(codec: Codec, command: str, buffer: Buffer) -> bytes:
    """The requests that have to come before a sample, none of which is answered."""
    return codec.frame("GRAPH_COMPUTE", _graph(codec, buffer)) if command == "GRAPH_RECOMPUTE" else b""


def answered(codec: Codec, command: str) -> int | None:
    """Bytes of the reply to a sample, or None when there is none."""
    kind = codec.dialect.command(command).reply
    if kind is None:
        return None
    return ANSWERS[command] if kind == "bytes" else codec.size(kind)


def since(command: str) -> str | None:
    """The version that brought the command."""
    return next(entry.since for entry in load().commands if entry.name == command)


def is_answered(command: str) -> bool:
    """Whether the command has a reply in every described version; a command has one in all of them or in none."""
    spec = load()
    return any(
        command in {c.name for c in d.commands.values()} and d.command(command).answered
        for d in map(spec.dialect, spec.versions)
    )


def slug(command: str) -> str:
    """A command's name as a part of a case id."""
    return command.lower().replace("_", "-")
