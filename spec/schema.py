"""Frozen classes of the specification's data: what the TOML files may say, and what a reader of one dialect gets.

Classes named ...Entry mirror a table of a TOML file, key by key; a key that no attribute names is refused by load.py.
Classes named ...Def belong to one dialect: nothing in them is optional by version any more, and what follows from order
(field offsets, op numbers) has been worked out. This file holds the entries; the definitions are in dialect.py.

Every entry may carry `since` and `until`: it belongs to version v when since <= v < until. Versions are triples.
"""

from typing import Protocol

import attrs

__all__ = [
    "CommandEntry",
    "ConstantEntry",
    "DialectEntry",
    "EnumEntry",
    "EnumValueEntry",
    "FieldEntry",
    "FnvVector",
    "Held",
    "LayoutPart",
    "OpEntry",
    "OperandEntry",
    "ParamEntry",
    "PhaseEntry",
    "ReplyEntry",
    "StructEntry",
    "TailEntry",
    "TailPart",
    "TypeEntry",
    "Version",
    "WithdrawnType",
    "holds",
    "parse_version",
]

Version = tuple[int, int, int]


def parse_version(text: str) -> Version:
    """``"7.0.0"`` > ``(7, 0, 0)``; raises ValueError when the text is not three numbers."""
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError(f"a version has three numbers, not {text!r}")
    return int(parts[0]), int(parts[1]), int(parts[2])


def holds(since: str | None, until: str | None, version: Version) -> bool:
    """Whether something with these bounds belongs to `version`."""
    if since is not None and version < parse_version(since):
        return False
    return until is None or version < parse_version(until)


class Held(Protocol):
    """Anything with bounds on the versions that it belongs to."""

    @property
    def since(self) -> str | None: ...
    @property
    def until(self) -> str | None: ...


@attrs.frozen(kw_only=True)
class DialectEntry:
    """One protocol version that the specification describes in full."""

    version: str
    op_count: int
    type_count: int
    hello: tuple[int, int, int]
    read_from: str
    doc: str


@attrs.frozen(kw_only=True)
class ConstantEntry:
    """A number of the protocol that is not part of one struct."""

    name: str
    value: int
    unit: str
    clause: str
    doc: str
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class FnvVector:
    """A test vector of the cache's hash: UTF-8 text > FNV-1a 64."""

    text: str
    hash: int


@attrs.frozen(kw_only=True)
class PhaseEntry:
    """A phase of a connection."""

    name: str
    clause: str
    doc: str


@attrs.frozen(kw_only=True)
class FieldEntry:
    """One field of a struct; `count` makes it an array."""

    name: str
    type: str
    clause: str
    doc: str
    count: int = 1
    unit: str = ""
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class StructEntry:
    """A packed struct: its fields in wire order."""

    name: str
    clause: str
    doc: str
    fields: tuple[FieldEntry, ...]
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class TailPart:
    """One run of values behind a fixed part; `count` is a number, the name of an earlier count, or "rest"."""

    name: str
    type: str
    count: str
    unit: str
    clause: str
    doc: str


@attrs.frozen(kw_only=True)
class TailEntry:
    """What follows the fixed part of a request."""

    name: str
    clause: str
    doc: str
    parts: tuple[TailPart, ...]


@attrs.frozen(kw_only=True)
class ReplyEntry:
    """How a command is answered while the bounds hold.

    kind: name of a struct, "empty" (a frame with no body) or "bytes"; length: for bytes, which request field gives it.
    """

    kind: str
    length: str = ""
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class CommandEntry:
    """One command; see data/commands.toml for what the keys mean."""

    number: int
    name: str
    phase: tuple[str, ...]
    clauses: tuple[str, ...]
    precondition: str
    violation: str
    doc: str
    request: str | None = None
    tail: str | None = None
    reply: tuple[ReplyEntry, ...] = ()
    next: str | None = None
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class LayoutPart:
    """Some bytes of a quantised block."""

    name: str
    type: str
    count: int
    doc: str


@attrs.frozen(kw_only=True)
class TypeEntry:
    """An element type: `block` elements in `bytes` bytes."""

    number: int
    name: str
    block: int
    bytes: int
    kind: str
    clause: str
    doc: str
    layout: tuple[LayoutPart, ...]
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class WithdrawnType:
    """A type number that names nothing any more."""

    number: int
    name: str
    clause: str


@attrs.frozen(kw_only=True)
class OperandEntry:
    """One operand slot of an op."""

    slot: int
    name: str
    types: str
    shape: str
    optional: bool = False
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class ParamEntry:
    """One parameter of an op: 32-bit words of op_params from `word`; enum names the codes."""

    word: int
    name: str
    type: str
    doc: str
    count: int = 1
    enum: str | None = None
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class OpEntry:
    """One op. Its number is not written: it is the place among the ops that the version has.

    shape: result shape and type in words; rule: what is computed; in_place: the result may share bytes with an operand
    of the same layout; executes: False for ops that only describe bytes; never_accepted: its parameters hold process
    addresses.
    """

    name: str
    clause: str
    operands: tuple[OperandEntry, ...] = ()
    params: tuple[ParamEntry, ...] = ()
    shape: str
    rule: str
    note: str = ""
    in_place: bool = False
    executes: bool = True
    never_accepted: bool = False
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class EnumValueEntry:
    """One code of an enumeration."""

    name: str
    value: int
    doc: str
    since: str | None = None
    until: str | None = None


@attrs.frozen(kw_only=True)
class EnumEntry:
    """Codes that stand inside op_params or flags; `flags` says whether they are bits."""

    name: str
    doc: str
    flags: bool
    values: tuple[EnumValueEntry, ...]
