"""Bytes of a connection in words: which request is that, what does it declare, which fields are not zero; which reply.

A reply is read as one to the first request that is still waiting for its own. Where that cannot be known any more, as
behind a request of which only a piece was recorded, or an undefined one, replies stay bytes.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import attrs

from conformance.judge.codec import HEAD_BYTES, SIZE_BYTES, Codec, Value, number
from conformance.judge.peer import Recorded

__all__ = ["Spoken", "in_words", "listened", "spoken", "told"]

SHOWN_BYTES = 48
SHOWN_REQUESTS = 4


@attrs.frozen
class Spoken:
    """A piece of a connection, and what it says."""

    piece: Recorded
    words: tuple[str, ...]


def spoken(codec: Codec, pieces: Sequence[Recorded]) -> Iterator[Spoken]:
    """The pieces of a connection on which the judge was the client."""
    waiting: deque[str] | None = deque()
    for piece in pieces:
        if piece.sent:
            yield Spoken(piece, tuple(in_words(codec, piece.data)))
            waiting = _still_waiting(codec, piece, waiting)
            continue
        command = waiting.popleft() if waiting and piece.size >= SIZE_BYTES else None
        yield Spoken(piece, (_reply(codec, command, piece),) if command else ())


def listened(pieces: Sequence[Recorded]) -> Iterator[Spoken]:
    """The pieces of a connection on which it was the server, as they are: their notes say what they mean."""
    return (Spoken(piece, ()) for piece in pieces)


def told(said: Spoken) -> Iterator[str]:
    """Lines for one piece: direction and bytes, what they say, and the note."""
    piece = said.piece
    arrow = ">" if piece.sent else "<"
    if piece.size:
        more = " ..." if piece.size > SHOWN_BYTES else ""
        yield f"{arrow} {piece.size} bytes: {piece.data[:SHOWN_BYTES].hex(' ')}{more}"
    yield from (f"    {line}" for line in said.words)
    if piece.note:
        yield f"{arrow} {piece.note}"


def in_words(codec: Codec, data: bytes) -> Iterator[str]:
    """One line for each request that begins in `data`, the first few."""
    for at, (byte, declared, body) in enumerate(_requests(data)):
        if at == SHOWN_REQUESTS:
            yield "and so on"
            return
        command = codec.dialect.commands.get(byte)
        name = command.name if command else f"undefined command {byte}"
        if declared is None:
            yield f"{name}, cut off in its head"
            return
        here = "" if len(body) == declared else f", of which {len(body)} are here"
        fields = _fields(codec, command.request, body) if command and command.request else ""
        yield f"{name}, declares {declared} bytes{here}{fields}"


def _requests(data: bytes) -> Iterator[tuple[int, int | None, bytes]]:
    """Command byte, declared size (None: cut off before it) and what there is of the body."""
    while data:
        if len(data) < HEAD_BYTES:
            yield data[0], None, b""
            return
        declared = number(data[HEAD_BYTES - SIZE_BYTES : HEAD_BYTES])
        yield data[0], declared, data[HEAD_BYTES : HEAD_BYTES + declared]
        data = data[HEAD_BYTES + declared :]


def _still_waiting(codec: Codec, piece: Recorded, waiting: deque[str] | None) -> deque[str] | None:
    """The answered requests that have had no reply, those of the piece behind the others; None: nobody knows."""
    if waiting is None or piece.size > len(piece.data):
        return None
    for byte, declared, body in _requests(piece.data):
        command = codec.dialect.commands.get(byte)
        if command is None or declared != len(body):
            return None
        if command.answered:
            waiting.append(command.name)
    return waiting


def _reply(codec: Codec, command: str, piece: Recorded) -> str:
    declared, body = number(piece.data[:SIZE_BYTES]), piece.data[SIZE_BYTES:]
    kind = codec.dialect.command(command).reply or ""
    fields = _fields(codec, kind, body) if kind in codec.dialect.structs and len(body) == codec.size(kind) else ""
    return f"reply to {command}, declares {declared} bytes{fields}"


def _fields(codec: Codec, struct: str, body: bytes) -> str:
    size = codec.size(struct)
    if len(body) < size:
        return ""
    values = codec.unpack(struct, body[:size])
    said = [f"{name} {_value(codec, name, value)}" for name, value in values.items() if _counts(value)]
    return f": {', '.join(said)}" if said else ""


def _counts(value: Value) -> bool:
    return any(value) if isinstance(value, bytes | tuple) else bool(value)


def _value(codec: Codec, name: str, value: Value) -> str:
    if isinstance(value, bytes):
        if len(value) != codec.size("rpc_tensor"):
            return value.hex(" ")
        inner = codec.unpack("rpc_tensor", value)
        return "{" + ", ".join(f"{k} {_value(codec, k, v)}" for k, v in inner.items() if _counts(v)) + "}"
    return hex(value) if isinstance(value, int) and value > 0xFFFF else str(value)
