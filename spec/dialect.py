"""One version of the protocol, worked out: field offsets, op numbers, the replies and phases in force.

Values only; built by load.py. Offsets and sizes are bytes from the beginning of the body.
"""

from collections.abc import Mapping

import attrs

from spec.schema import (
    ConstantEntry,
    EnumEntry,
    LayoutPart,
    OperandEntry,
    ParamEntry,
    PhaseEntry,
    TailEntry,
    Version,
    WithdrawnType,
)

__all__ = ["SCALAR_BYTES", "CommandDef", "Dialect", "FieldDef", "OpDef", "StructDef", "TypeDef"]

SCALAR_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("u8", "i8", "char"), 1),
    **dict.fromkeys(("u16", "i16", "f16", "bf16"), 2),
    **dict.fromkeys(("u32", "i32", "f32"), 4),
    **dict.fromkeys(("u64", "i64", "f64"), 8),
}
"""bytes of every scalar type that a field or a block part may name"""


@attrs.frozen(kw_only=True)
class FieldDef:
    """A field of a struct: `count` values of `type`, `size` bytes in all, from `offset`."""

    name: str
    type: str
    count: int
    offset: int
    size: int
    unit: str
    clause: str
    doc: str


@attrs.frozen(kw_only=True)
class StructDef:
    """A packed struct of `size` bytes."""

    name: str
    size: int
    clause: str
    doc: str
    fields: tuple[FieldDef, ...]

    def field(self, name: str) -> FieldDef:
        """The field of that name; KeyError when there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"struct {self.name} has no field {name}")


@attrs.frozen(kw_only=True)
class CommandDef:
    """A command of one version.

    request: struct of the fixed part or None for an empty body; tail: None, "bytes" or "graph"; reply: None when the
    command is not answered, else a struct's name, "empty" or "bytes"; reply_length: for bytes, the request fields that
    give it.
    """

    number: int
    name: str
    request: str | None
    tail: str | None
    reply: str | None
    reply_length: str
    phase: tuple[str, ...]
    next: str | None
    clauses: tuple[str, ...]
    precondition: str
    violation: str
    doc: str

    @property
    def answered(self) -> bool:
        """Whether a reply frame follows."""
        return self.reply is not None


@attrs.frozen(kw_only=True)
class OpDef:
    """An op with its number in one version; the rest as in schema.OpEntry."""

    number: int
    name: str
    clause: str
    operands: tuple[OperandEntry, ...]
    params: tuple[ParamEntry, ...]
    shape: str
    rule: str
    note: str
    in_place: bool
    executes: bool
    never_accepted: bool


@attrs.frozen(kw_only=True)
class TypeDef:
    """An element type: `block` elements in `bytes` bytes."""

    number: int
    name: str
    block: int
    bytes: int
    kind: str
    clause: str
    doc: str
    layout: tuple[LayoutPart, ...]

    @property
    def quantised(self) -> bool:
        """Whether elements come in blocks of more than one."""
        return self.block > 1


@attrs.frozen(kw_only=True)
class Dialect:
    """Everything that is in force in one version of the protocol."""

    version: Version
    hello: Version
    commands: Mapping[int, CommandDef]
    structs: Mapping[str, StructDef]
    tails: Mapping[str, TailEntry]
    ops: tuple[OpDef, ...]
    types: Mapping[int, TypeDef]
    withdrawn: Mapping[int, WithdrawnType]
    enums: Mapping[str, EnumEntry]
    constants: Mapping[str, ConstantEntry]
    phases: tuple[PhaseEntry, ...]

    @property
    def name(self) -> str:
        """The version as text, such as ``7.0.0``."""
        return ".".join(str(part) for part in self.version)

    def command(self, name: str) -> CommandDef:
        """The command of that name; KeyError when this version has none."""
        for command in self.commands.values():
            if command.name == name:
                return command
        raise KeyError(f"protocol {self.name} has no command {name}")

    def op(self, name: str) -> OpDef:
        """The op of that name; KeyError when this version has none."""
        for op in self.ops:
            if op.name == name:
                return op
        raise KeyError(f"protocol {self.name} has no op {name}")

    def type(self, name: str) -> TypeDef:
        """The element type of that name; KeyError when this version has none."""
        for element in self.types.values():
            if element.name == name:
                return element
        raise KeyError(f"protocol {self.name} has no type {name}")

    def constant(self, name: str) -> int:
        """The value of a constant; KeyError when this version has none of that name."""
        return self.constants[name].value

    @property
    def hello_request_bytes(self) -> int:
        """Body size of a HELLO request."""
        return self.structs["hello_req"].size

    @property
    def conn_caps_bytes(self) -> int:
        """Size of the transport capabilities in both directions of HELLO."""
        return self.structs["hello_req"].field("conn_caps").size

    @property
    def fnv_offset(self) -> int:
        """FNV-1a 64: the value before the first byte."""
        return self.constant("FNV_OFFSET")

    @property
    def fnv_prime(self) -> int:
        """FNV-1a 64: the multiplier."""
        return self.constant("FNV_PRIME")

    def transitions(self) -> dict[tuple[str, str], str]:
        """(phase, command) > phase after it, for every legal pair; what is not in it closes the connection."""
        return {
            (phase, command.name): command.next or phase
            for command in self.commands.values()
            for phase in command.phase
        }
