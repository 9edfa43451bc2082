"""What the hostile server does, as values; the relay carries them out. A deed says where and what.

Rules
- A deed is done at every occasion from the `skip`-th on, on every connection: a server that answers a command wrongly
  always does. So a client that tries again meets the same.
- An act on a reply begins with the right server's true reply. Up to it, and for all other commands, the client gets
  what the right server says.
- Acts that leave the connection without an answer (Fall) go on taking in what the client sends, and pass nothing on.
"""

from enum import Enum

import attrs

from conformance.judge.codec import SIZE_BYTES, Codec, Value

__all__ = [
    "Act",
    "Add",
    "AsFirst",
    "AtAccept",
    "AtReply",
    "AtRequest",
    "Be",
    "Behind",
    "Change",
    "Claim",
    "Deed",
    "Entry",
    "Fall",
    "Fields",
    "Filled",
    "Interrupted",
    "Intrusion",
    "Nothing",
    "Resized",
    "Slowly",
    "Where",
    "changed",
    "framed",
]

NO_REPLY_BYTES = 3
"""no reply has so many bytes: what is sent unasked cannot be taken for one by a client that looks at sizes"""


class Where(Enum):
    """Of a reply."""

    BEFORE = "before"
    INSIDE = "inside"


@attrs.frozen
class Be:
    """This number."""

    number: int

    def __str__(self) -> str:
        return hex(self.number)


@attrs.frozen
class Add:
    """The true number and so much."""

    number: int

    def __str__(self) -> str:
        return f"the true one and {self.number}"


@attrs.frozen
class AsFirst:
    """The number of the first reply to this command, on any connection."""

    def __str__(self) -> str:
        return "that of the first reply"


Change = Be | Add | AsFirst


@attrs.frozen
class Resized:
    """The body is so many bytes longer (zeros) or shorter, and the frame declares that."""

    by: int

    def __str__(self) -> str:
        return f"{abs(self.by)} bytes too {'short' if self.by < 0 else 'long'}"


@attrs.frozen
class Claim:
    """The frame declares this size; after the true body come zeros for as long as the client takes them."""

    declared: int

    def __str__(self) -> str:
        return f"declares {self.declared} bytes"


@attrs.frozen
class Fields:
    """Fields of the reply's struct are changed."""

    changes: tuple[tuple[str, Change | bytes], ...]

    def __str__(self) -> str:
        words = ((name, each.hex(" ") if isinstance(each, bytes) else each) for name, each in self.changes)
        return ", ".join(f"{name}: {each}" for name, each in words)


@attrs.frozen
class Filled:
    """Every byte of the body is this one."""

    byte: int

    def __str__(self) -> str:
        return f"every byte {self.byte:#04x}"


class Behind(Enum):
    """The reply is right, and behind it comes what nobody asked for."""

    ITSELF = "the same reply once more"
    STRANGER = "a frame of three bytes"

    def __str__(self) -> str:
        return f"behind it {self.value}"


class Fall(Enum):
    """How the server fails instead of going on."""

    SILENT = "says nothing more"
    CLOSES = "closes the connection"
    RESETS = "breaks the connection off"
    ENDS = "ends its direction and goes on reading"


@attrs.frozen
class Interrupted:
    """The server fails in front of the reply or in the middle of it."""

    where: Where
    fall: Fall


@attrs.frozen
class Slowly:
    """The reply is right and comes late, or byte by byte."""

    seconds: float = 0.0
    byte_by_byte: bool = False


class Entry(Enum):
    """What becomes of a connection as soon as it is taken."""

    MUTE = "the server reads and says nothing"
    CLOSED = "the server closes it"
    RESET = "the server breaks it off"


class Intrusion(Enum):
    """What happens at a request that is not answered."""

    EMPTY_ANSWER = "it is answered with an empty frame"
    REFUSED = "the server refuses it: it closes the connection"
    STOPS_READING = "the server reads no further than its fixed part"


Act = Resized | Claim | Fields | Filled | Behind | Interrupted | Slowly


@attrs.frozen
class Nothing:
    """The server behind is let alone: an ordinary run."""


@attrs.frozen
class AtAccept:
    """Something happens to every connection before a byte has passed."""

    entry: Entry


@attrs.frozen
class AtRequest:
    """Something happens at every request of a command that is not answered."""

    command: str
    intrusion: Intrusion


@attrs.frozen
class AtReply:
    """Something happens to every reply to a command; `skip` of them are let through first."""

    command: str
    act: Act
    skip: int = 0


Deed = Nothing | AtAccept | AtRequest | AtReply


def framed(act: Act, codec: Codec, command: str, body: bytes, first: bytes) -> bytes:
    """The bytes that an act sends for a reply of that body; `first` is the body of the command's first reply."""
    match act:
        case Resized(by):
            return _frame(body[:by] if by < 0 else body + bytes(by))
        case Claim(declared):
            return declared.to_bytes(SIZE_BYTES, "little") + (body if declared else b"")
        case Fields(changes):
            return _frame(changed(codec, codec.dialect.command(command).reply or "", body, first, changes))
        case Filled(byte):
            return _frame(bytes([byte]) * len(body))
        case Behind.ITSELF:
            return 2 * _frame(body)
        case Behind.STRANGER:
            return _frame(body) + _frame(bytes(NO_REPLY_BYTES))
        case Interrupted() | Slowly():
            return _frame(body)


def changed(
    codec: Codec, struct: str, body: bytes, first: bytes, changes: tuple[tuple[str, Change | bytes], ...]
) -> bytes:
    """The struct with its changes; numbers are taken modulo what the field holds."""
    values: dict[str, Value] = dict(codec.unpack(struct, body))
    for name, change in changes:
        if isinstance(change, bytes):
            values[name] = change
            continue
        limit = 1 << (8 * codec.dialect.structs[struct].field(name).size)
        values[name] = _number(codec, struct, name, body, first, change) % limit
    return codec.pack(struct, values)


def _number(codec: Codec, struct: str, name: str, body: bytes, first: bytes, change: Change) -> int:
    match change:
        case Be(number):
            return number
        case Add(number):
            return codec.read(struct, name, body) + number
        case AsFirst():
            return codec.read(struct, name, first)


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(SIZE_BYTES, "little") + body
