"""Structs of the specification as struct.Struct, bound to attribute names.

Byte order and frame heads stand here; the only other place is the dtype in tensor.py, held to the same data by a test.

Rules:
- A layout is made from a StructDef of spec/data; field order, sizes and types are never written down a second time.
- Padding is written as zero and not looked at. Text is padded with NUL and loses its padding when read; all other byte
  fields have exactly their size.
- Reading cannot fail once there are enough bytes. Writing raises ValueError for a value that its field cannot hold.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

from refimpl.wire.tensor import RPC_TENSOR
from spec.dialect import FieldDef, StructDef

__all__ = ["NODE_IDS", "N_TENSORS", "REPLY_HEAD", "REQUEST_HEAD", "Layout"]

REQUEST_HEAD = struct.Struct("<BQ")
"""command byte, body size"""
REPLY_HEAD = struct.Struct("<Q")
"""body size"""
NODE_IDS = np.dtype("<u8")
"""node ids in the tail of GRAPH_COMPUTE"""
N_TENSORS = struct.Struct("<I")
"""count of the records in the tail of GRAPH_COMPUTE"""

SCALARS: Mapping[str, str] = {
    "u8": "B",
    "i8": "b",
    "u16": "H",
    "i16": "h",
    "u32": "I",
    "i32": "i",
    "f32": "f",
    "u64": "Q",
}
RECORD = "rpc_tensor"
PADDING = "padding"


def _one_record(raw: bytes) -> Any:
    return np.frombuffer(raw, RPC_TENSOR)[0]


def _records(raw: bytes) -> Any:
    return np.frombuffer(raw, RPC_TENSOR)


def _text(raw: bytes) -> bytes:
    return raw.rstrip(b"\0")


@attrs.frozen
class _Field:
    """One attribute of a message on the wire."""

    name: str
    size: int
    from_raw: Callable[[bytes], Any] | None
    """turns the unpacked bytes into the attribute's value; None where they are it already"""

    def to_raw(self, value: Any) -> Any:
        if self.from_raw in (_one_record, _records):
            if value.dtype != RPC_TENSOR:
                raise ValueError(f"{self.name} holds {value.dtype}, not RPC_TENSOR")
            value = value.tobytes()
        if isinstance(value, bytes):
            fits = len(value) <= self.size if self.from_raw is _text else len(value) == self.size
            if not fits:
                raise ValueError(f"{self.name} has {len(value)} bytes where {self.size} belong")
        return value


def _wire_field(field: FieldDef) -> tuple[str, _Field | None]:
    """struct code of a field, and the attribute it stands for (None for padding)."""
    if field.name == PADDING:
        return f"{field.size}x", None
    if field.type == RECORD:
        return f"{field.size}s", _Field(field.name, field.size, _one_record if field.count == 1 else _records)
    if field.type == "char":
        return f"{field.size}s", _Field(field.name, field.size, _text)
    if field.count > 1:
        return f"{field.size}s", _Field(field.name, field.size, None)
    return SCALARS[field.type], _Field(field.name, field.size, None)


class Layout:
    """A struct of one dialect; None stands for an empty body."""

    def __init__(self, definition: StructDef | None) -> None:
        pairs = [_wire_field(field) for field in definition.fields] if definition else []
        self._fields = tuple(field for _, field in pairs if field)
        self._struct = struct.Struct("<" + "".join(code for code, _ in pairs))
        self._converted = tuple((field.name, field.from_raw) for field in self._fields if field.from_raw)
        self.names = tuple(field.name for field in self._fields)
        """attributes in wire order"""
        self.size = self._struct.size
        """bytes"""

    def unpack(self, body: bytes) -> dict[str, Any]:
        """Attribute values from the first `size` bytes of `body`, which has them. Records are read-only."""
        values: dict[str, Any] = dict(zip(self.names, self._struct.unpack_from(body), strict=True))
        for name, from_raw in self._converted:
            values[name] = from_raw(values[name])
        return values

    def pack(self, values: Mapping[str, Any]) -> bytes:
        """The struct's bytes; raises ValueError naming the field for a value that it cannot hold."""
        raw = [field.to_raw(values[field.name]) for field in self._fields]
        try:
            return self._struct.pack(*raw)
        except struct.error as error:
            numbers = {name: values[name] for name in self.names if isinstance(values[name], int)}
            raise ValueError(f"a number does not fit its field: {numbers} ({error})") from error
