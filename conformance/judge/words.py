"""Bytes of a connection in words: which request is that, what does it declare, which fields are not zero."""

from collections.abc import Iterator

from conformance.judge.codec import HEAD_BYTES, SIZE_BYTES, Codec, Value, number
from conformance.judge.peer import Recorded

__all__ = ["in_words", "told"]

SHOWN_BYTES = 48
SHOWN_REQUESTS = 4


def told(codec: Codec, piece: Recorded) -> Iterator[str]:
    """Lines for one piece of a connection: direction and bytes, then the requests that it begins with."""
    arrow = ">" if piece.sent else "<"
    if piece.size:
        more = " ..." if piece.size > SHOWN_BYTES else ""
        yield f"{arrow} {piece.size} bytes: {piece.data[:SHOWN_BYTES].hex(' ')}{more}"
    if piece.sent and piece.data:
        yield from (f"    {line}" for line in in_words(codec, piece.data))
    if piece.note:
        yield f"{arrow} {piece.note}"


def in_words(codec: Codec, data: bytes) -> Iterator[str]:
    """One line for each request that begins in `data`, the first few."""
    for _ in range(SHOWN_REQUESTS):
        if not data:
            return
        command = codec.dialect.commands.get(data[0])
        name = command.name if command else f"undefined command {data[0]}"
        if len(data) < HEAD_BYTES:
            yield f"{name}, cut off in its head"
            return
        declared = number(data[HEAD_BYTES - SIZE_BYTES : HEAD_BYTES])
        body = data[HEAD_BYTES : HEAD_BYTES + declared]
        here = "" if len(body) == declared else f", of which {len(body)} are here"
        fields = _fields(codec, command.request, body) if command and command.request else ""
        yield f"{name}, declares {declared} bytes{here}{fields}"
        data = data[HEAD_BYTES + declared :]
    if data:
        yield "and so on"


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
