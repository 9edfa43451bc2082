"""Bytes of requests and replies, made and read from spec/data alone: the judge's own codec.

Rules
- It packs whatever it is told, right or wrong: a judge has to say wrong things. It knows no rule of the protocol but
  layouts, numbers and the byte order (FRAME-2, FRAME-3, FRAME-6).
- A field that is not named is zero. A name that the struct does not have is an error of the case (KeyError), and so is
  a value that does not fit its field (OverflowError, ValueError).
- A field that is itself a struct is given, and comes back, as its bytes; so are runs of u8 and char.
"""

from collections.abc import Mapping

import attrs

from spec.dialect import SCALAR_BYTES, Dialect, FieldDef

__all__ = ["COMMAND_BYTES", "HEAD_BYTES", "SIZE_BYTES", "Codec", "Value", "number"]

Value = int | bytes | tuple[int, ...]
COMMAND_BYTES = 1
SIZE_BYTES = 8
HEAD_BYTES = COMMAND_BYTES + SIZE_BYTES
RAW = ("u8", "char")


def number(data: bytes, signed: bool = False) -> int:
    """A number as it stands on the wire."""
    return int.from_bytes(data, "little", signed=signed)


@attrs.frozen
class Codec:
    """Packs and unpacks by the layouts of one dialect."""

    dialect: Dialect

    def head(self, command: str | int, declared: int) -> bytes:
        """Command byte and size of a request; a command by name, or any number at all."""
        byte = self.dialect.command(command).number if isinstance(command, str) else command
        return bytes([byte]) + declared.to_bytes(SIZE_BYTES, "little")

    def frame(self, command: str | int, body: bytes = b"") -> bytes:
        """A request with that body, its size declared truly."""
        return self.head(command, len(body)) + body

    def body(self, command: str, tail: bytes = b"", /, **values: Value) -> bytes:
        """The body of a request: its fixed part with those fields, then the tail."""
        struct = self.dialect.command(command).request
        return (self.pack(struct, values) if struct else b"") + tail

    def request(self, command: str, tail: bytes = b"", /, **values: Value) -> bytes:
        """A whole request: head, fixed part with those fields, tail."""
        return self.frame(command, self.body(command, tail, **values))

    def size(self, struct: str) -> int:
        """Bytes of a struct."""
        return self.dialect.structs[struct].size

    def fixed_bytes(self, command: str) -> int:
        """Bytes of the fixed part of a request."""
        struct = self.dialect.command(command).request
        return self.size(struct) if struct else 0

    def pack(self, struct: str, values: Mapping[str, Value]) -> bytes:
        """The bytes of a struct."""
        fields = self.dialect.structs[struct].fields
        if strangers := values.keys() - {field.name for field in fields}:
            raise KeyError(f"struct {struct} of {self.dialect.name} has no field {min(strangers)}")
        return b"".join(_packed(field, values.get(field.name)) for field in fields)

    def unpack(self, struct: str, data: bytes) -> dict[str, Value]:
        """Field name > value; `data` has exactly the struct's size, else ValueError."""
        definition = self.dialect.structs[struct]
        if len(data) != definition.size:
            raise ValueError(f"struct {struct} has {definition.size} bytes, not {len(data)}")
        return {
            field.name: _unpacked(field, data[field.offset : field.offset + field.size]) for field in definition.fields
        }

    def read(self, struct: str, field: str, data: bytes) -> int:
        """One number of a struct's bytes."""
        place = self.dialect.structs[struct].field(field)
        value = _unpacked(place, data[place.offset : place.offset + place.size])
        if not isinstance(value, int):
            raise ValueError(f"{struct}.{field} is not a single number")
        return value


def _packed(field: FieldDef, value: Value | None) -> bytes:
    if value is None:
        return bytes(field.size)
    if isinstance(value, bytes):
        if len(value) != field.size:
            raise ValueError(f"field {field.name} has {field.size} bytes, not {len(value)}")
        return value
    numbers = (value,) if isinstance(value, int) else value
    if len(numbers) != field.count:
        raise ValueError(f"field {field.name} holds {field.count} numbers, not {len(numbers)}")
    width, signed = field.size // field.count, field.type.startswith("i")
    return b"".join(each.to_bytes(width, "little", signed=signed) for each in numbers)


def _unpacked(field: FieldDef, data: bytes) -> Value:
    if field.type not in SCALAR_BYTES or (field.type in RAW and field.count > 1):
        return data
    width, signed = field.size // field.count, field.type.startswith("i")
    numbers = tuple(number(data[at : at + width], signed) for at in range(0, field.size, width))
    return numbers[0] if field.count == 1 else numbers
