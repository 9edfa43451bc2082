"""A session that was played, as values and as a file: what is sent on which connection, and what may come of it.

The file has one JSON object a line. The first says what was found and by which version; every other is a step:

    {"on": "a", "send": "0e1800...", "fill": [[21, "a.0", "handle", 0]], "words": ["..."], "expect": [{...}]}
    {"on": "a", "do": "finish"}

Rules
- `fill` names 8-byte places in `send` that hold a handle or a base, by the name that an earlier answer gave to the
  buffer.
- `expect` has an entry for every request in `send` that the server has to deal with: the reply that is due, if any, and
  whether it may or has to close the connection instead. `words` are for people; nobody reads them back.
- A file is read strictly: BadScript names the line.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from conformance.judge.codec import SIZE_BYTES

__all__ = [
    "BadScript",
    "Close",
    "Due",
    "Expected",
    "Fill",
    "Finish",
    "Message",
    "Place",
    "Say",
    "Script",
    "Step",
    "read_script",
    "write_script",
]

FORMAT = 1
TOP = 1 << 64
DOINGS = ("finish", "leave", "reset")
DUES = ("bytes", "buffer", "base", "constant", "memory", "at least", "one of", "anything")


class BadScript(Exception):
    """The file is no script, or not one for this version; the text says where."""


@attrs.frozen
class Place:
    """What a server has said about a buffer."""

    handle: int
    size: int
    base: int = 0


@attrs.frozen
class Fill:
    """At byte `at` of a message stands the handle of a buffer, or its base, plus a number modulo 2^64."""

    at: int
    buffer: str
    base: bool
    add: int

    width = SIZE_BYTES

    def value(self, places: Mapping[str, Place]) -> int:
        """The number; 0 for a buffer of which nothing is known."""
        place = places.get(self.buffer)
        if place is None:
            return 0
        return ((place.base if self.base else place.handle) + self.add) % TOP


@attrs.frozen
class Message:
    """Bytes with places to fill."""

    data: bytes
    fills: tuple[Fill, ...] = ()

    def filled(self, places: Mapping[str, Place]) -> bytes:
        """The bytes as they are sent."""
        if not self.fills:
            return self.data
        data = bytearray(self.data)
        for fill in self.fills:
            data[fill.at : fill.at + SIZE_BYTES] = fill.value(places).to_bytes(SIZE_BYTES, "little")
        return bytes(data)

    def __add__(self, other: "Message") -> "Message":
        moved = tuple(attrs.evolve(fill, at=fill.at + len(self.data)) for fill in other.fills)
        return Message(self.data + other.data, self.fills + moved)


@attrs.frozen
class Due:
    """A reply that is due: of `size` bytes, and of a kind.

    bytes: `data` where `care` is not 0 (empty: everywhere); buffer, base: about the buffer `name`; constant: the same
    as ever under `name`; memory: free, total; at least: a number not below `least`; one of: a byte out of `data`;
    anything: no more is known of this connection.
    """

    kind: str
    size: int
    data: bytes = b""
    care: bytes = b""
    name: str = ""
    least: int = 0


@attrs.frozen
class Expected:
    """What may come of a request: the reply, if it has one, and the end of the connection."""

    due: Due | None = None
    may_close: bool = False
    must_close: bool = False
    clause: str = ""
    """that it must close by, or may"""
    command: str = ""


@attrs.frozen
class Say:
    """Send a message, in pieces that end at those bytes; each request in it is expected to meet its own."""

    on: str
    message: Message
    expected: tuple[Expected, ...]
    words: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()


@attrs.frozen
class Finish:
    """Send the end of the own direction; the server has to close the connection, without another reply."""

    on: str


@attrs.frozen
class Close:
    """Close the connection, or break it off."""

    on: str
    reset: bool = False


Step = Say | Finish | Close


@attrs.frozen(kw_only=True)
class Script:
    """A session, or several at once, and why it was kept."""

    version: str
    steps: tuple[Step, ...]
    found: Mapping[str, str] = attrs.field(factory=dict)
    """verdict, clause, expected, came, seed: for people, and for whoever compares"""


def write_script(script: Script, path: Path) -> None:
    """Write the file; its folder is there."""
    lines = [{"fuzz": FORMAT, "version": script.version, **script.found}, *(_stepped(step) for step in script.steps)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def _stepped(step: Step) -> dict[str, Any]:
    match step:
        case Finish(on):
            return {"on": on, "do": "finish"}
        case Close(on, reset):
            return {"on": on, "do": "reset" if reset else "leave"}
        case Say(on, message, expected, words, ends):
            line: dict[str, Any] = {"on": on, "send": message.data.hex()}
            if message.fills:
                line["fill"] = [[f.at, f.buffer, "base" if f.base else "handle", f.add] for f in message.fills]
            if ends:
                line["ends"] = list(ends)
            return line | {"words": list(words), "expect": [_expectation(each) for each in expected]}


def _expectation(expected: Expected) -> dict[str, Any]:
    line: dict[str, Any] = {"command": expected.command}
    if expected.clause:
        line["clause"] = expected.clause
    if expected.must_close or expected.may_close:
        line["close"] = "must" if expected.must_close else "may"
    if expected.due is not None:
        due = attrs.asdict(expected.due, filter=lambda _, value: value not in (b"", "", 0))
        line["reply"] = {k: v.hex() if isinstance(v, bytes) else v for k, v in due.items()}
    return line


def read_script(path: Path) -> Script:
    """Read a file; BadScript when it is not one."""
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise BadScript(f"{path}: {error}") from error
    if not lines or not isinstance(lines[0], dict) or lines[0].get("fuzz") != FORMAT:
        raise BadScript(f'{path}: its first line does not begin with "fuzz": {FORMAT}')
    head = {str(key): str(value) for key, value in lines[0].items() if key != "fuzz"}
    steps = tuple(_read(path, number, line) for number, line in enumerate(lines[1:], 2))
    return Script(version=head.pop("version", ""), steps=steps, found=head)


def _read(path: Path, number: int, line: Any) -> Step:
    try:
        return _step(line)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadScript(f"{path}, line {number}: {type(error).__name__} {error}") from error


def _step(line: Mapping[str, Any]) -> Step:
    on = str(line["on"])
    if "do" not in line:
        data = bytes.fromhex(line["send"])
        message = Message(data, tuple(_fill(entry, len(data)) for entry in line.get("fill", ())))
        expected = tuple(_expected(entry) for entry in line["expect"])
        return Say(on, message, expected, tuple(map(str, line.get("words", ()))), tuple(map(int, line.get("ends", ()))))
    if line["do"] not in DOINGS:
        raise ValueError(f"nothing is done by {line['do']!r}")
    return Finish(on) if line["do"] == "finish" else Close(on, line["do"] == "reset")


def _fill(entry: Sequence[Any], size: int) -> Fill:
    at, buffer, what, add = entry
    if not 0 <= at <= size - SIZE_BYTES or what not in ("handle", "base"):
        raise ValueError(f"no place to fill: {entry}")
    return Fill(int(at), str(buffer), what == "base", int(add))


def _expected(entry: Mapping[str, Any]) -> Expected:
    close = entry.get("close", "")
    if close not in ("", "may", "must"):
        raise ValueError(f"a connection does not close {close!r}")
    due = _due(entry["reply"]) if "reply" in entry else None
    clause, command = str(entry.get("clause", "")), str(entry["command"])
    return Expected(due, may_close=close == "may", must_close=close == "must", clause=clause, command=command)


def _due(entry: Mapping[str, Any]) -> Due:
    if entry["kind"] not in DUES:
        raise ValueError(f"no reply is {entry['kind']!r}")
    return Due(
        kind=entry["kind"],
        size=int(entry.get("size", 0)),
        data=bytes.fromhex(entry.get("data", "")),
        care=bytes.fromhex(entry.get("care", "")),
        name=str(entry.get("name", "")),
        least=int(entry.get("least", 0)),
    )
