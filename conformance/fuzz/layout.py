"""Structs of a dialect, compiled: thousands of records a second are packed and read here.

Rules
- The layout is that of spec/data (FRAME-3), with one liberty: every number is taken as unsigned. Whoever means a sign
  or a float looks at the bits.
- A number that is too large for its field is cut to its width: a mutation may add to anything.
- A field that is itself a struct is its bytes, and so are runs of u8 and char.
"""

import functools
import struct
from collections.abc import Mapping

import attrs

from spec.dialect import Dialect, FieldDef, StructDef

__all__ = ["Layout", "Number", "layouts"]

Number = int | bytes | tuple[int, ...]
CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
RAW = ("u8", "char")


@attrs.frozen(eq=False)
class Layout:
    """One struct."""

    definition: StructDef
    packer: struct.Struct
    runs: tuple[tuple[str, int], ...]
    """name of each field and how many numbers it has; 0 for bytes"""

    @property
    def size(self) -> int:
        """Bytes of the struct."""
        return self.definition.size

    def field(self, name: str) -> FieldDef:
        """A field by name."""
        return self.definition.field(name)

    def has(self, name: str) -> bool:
        """Whether there is such a field."""
        return any(run[0] == name for run in self.runs)

    def pack(self, values: Mapping[str, Number]) -> bytes:
        """The bytes of a struct; what is not named is zero."""
        flat: list[int | bytes] = []
        for name, count in self.runs:
            flat += _flat(values.get(name), count, self.definition.field(name) if name in values else None)
        return self.packer.pack(*flat)

    def unpack(self, data: bytes, offset: int = 0) -> dict[str, Number]:
        """Field name > value, from `offset` in bytes that reach far enough."""
        flat = self.packer.unpack_from(data, offset)
        values: dict[str, Number] = {}
        at = 0
        for name, count in self.runs:
            values[name] = flat[at] if count < 2 else flat[at : at + count]
            at += count or 1
        return values


def _flat(value: Number | None, count: int, field: FieldDef | None) -> list[int | bytes]:
    if value is None or field is None:
        return [0] * count if count else [b""]
    if isinstance(value, bytes):
        return [value]
    mask = (1 << (8 * field.size // field.count)) - 1
    return [each & mask for each in ((value,) if isinstance(value, int) else value)]


def _run(field: FieldDef) -> int:
    width = field.size // field.count
    if width not in CODES or (field.type in RAW and field.count > 1):
        return 0
    return field.count


def _layout(definition: StructDef) -> Layout:
    runs = tuple((field.name, _run(field)) for field in definition.fields)
    codes = "".join(
        f"{field.size}s" if count == 0 else f"{count}{CODES[field.size // field.count]}"
        for field, (_, count) in zip(definition.fields, runs, strict=True)
    )
    return Layout(definition, struct.Struct("<" + codes), runs)


@functools.cache
def _of(version: str, structs: tuple[StructDef, ...]) -> dict[str, Layout]:
    return {definition.name: _layout(definition) for definition in structs}


def layouts(dialect: Dialect) -> dict[str, Layout]:
    """The structs of a dialect by name."""
    return _of(dialect.name, tuple(dialect.structs.values()))
