"""Bytes of a GGUF file > metadata and tensor descriptions, in one pass, before a byte of any weight is touched.

Layout: magic, version, tensor count, pair count, pairs (key, value type, value), descriptions (name, extents, type,
offset), padding up to `general.alignment`, weights. Everything is little-endian; a big-endian file is refused by its
version.

Why not `gguf.GGUFReader`: it makes several array objects per string, which costs seconds for a real vocabulary, and a
file that ends early shows up there as a reshape error that names no tensor. Names and numbers come from the gguf
library all the same.
"""

import struct
from typing import Any

import attrs
import numpy as np
from gguf.constants import GGUF_DEFAULT_ALIGNMENT, GGUFValueType

from refimpl.errors import ModelError
from refimpl.model.gguf.storage import DOWNLOAD_AGAIN

__all__ = ["GgufHeader", "TensorInfo", "read_header"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_DIMS = 4
ALIGNMENT_KEY = "general.alignment"

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_COUNTS = struct.Struct("<QQ")
_SCALARS = {
    GGUFValueType.UINT8: struct.Struct("<B"),
    GGUFValueType.INT8: struct.Struct("<b"),
    GGUFValueType.UINT16: struct.Struct("<H"),
    GGUFValueType.INT16: struct.Struct("<h"),
    GGUFValueType.UINT32: _U32,
    GGUFValueType.INT32: struct.Struct("<i"),
    GGUFValueType.FLOAT32: struct.Struct("<f"),
    GGUFValueType.BOOL: struct.Struct("<?"),
    GGUFValueType.UINT64: _U64,
    GGUFValueType.INT64: struct.Struct("<q"),
    GGUFValueType.FLOAT64: struct.Struct("<d"),
}


@attrs.frozen
class TensorInfo:
    """One tensor as the file describes it; nothing about it is proved except that it can be read."""

    name: str
    type: int
    """ggml type number, perhaps unknown"""
    ne: tuple[int, int, int, int]
    """extents, fastest first, padded with 1"""
    offset: int
    """bytes from the start of the weights"""


@attrs.frozen
class GgufHeader:
    """Everything before the weights."""

    metadata: dict[str, Any]
    """scalars as int, float, bool or str; arrays of numbers as numpy arrays, arrays of strings as lists"""
    tensors: tuple[TensorInfo, ...]
    """in file order, names unique"""
    data_start: int
    """byte in the file where the weights begin"""


def read_header(path: str, data: memoryview) -> GgufHeader:
    """Parse the head of a whole file's bytes. Raises ModelError: not a GGUF, other version, truncated, malformed."""
    cursor = _Cursor(path, data)
    if bytes(data[: len(MAGIC)]) != MAGIC:
        raise ModelError(path, "not a GGUF file (it does not begin with 'GGUF'); give -m a .gguf model")
    cursor.at = len(MAGIC)
    (version,) = cursor.unpack(_U32)
    if version not in VERSIONS:
        raise ModelError(path, f"GGUF version {version} is not served, only {VERSIONS}; convert the model again")
    n_tensors, n_pairs = cursor.unpack(_COUNTS)
    metadata: dict[str, Any] = {}
    for _ in range(n_pairs):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.value_type())
    tensors = [cursor.tensor_info() for _ in range(n_tensors)]
    _refuse_twins(path, tensors)
    return GgufHeader(metadata, tuple(tensors), _data_start(path, metadata, cursor.at))


def _refuse_twins(path: str, tensors: list[TensorInfo]) -> None:
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise ModelError(path, f"tensor '{tensor.name}' is described twice; {DOWNLOAD_AGAIN}")
        seen.add(tensor.name)


def _data_start(path: str, metadata: dict[str, Any], end: int) -> int:
    alignment = metadata.get(ALIGNMENT_KEY, GGUF_DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise ModelError(path, f"{ALIGNMENT_KEY} is {alignment!r}, not a power of two; {DOWNLOAD_AGAIN}")
    return -(-end // alignment) * alignment


@attrs.define
class _Cursor:
    """A place in the file; every read that would pass its end raises ModelError."""

    path: str
    data: memoryview
    at: int = 0

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        return layout.unpack(self.take(layout.size))

    def take(self, size: int) -> memoryview:
        end = self.at + size
        if end > len(self.data):
            raise ModelError(
                self.path,
                f"truncated: the header needs byte {end} and the file ends at {len(self.data)}; {DOWNLOAD_AGAIN}",
            )
        part = self.data[self.at : end]
        self.at = end
        return part

    def string(self) -> str:
        start = self.at
        (size,) = self.unpack(_U64)
        try:
            return str(self.take(size), "utf-8")
        except UnicodeDecodeError as error:
            raise ModelError(self.path, f"the string at byte {start} is not UTF-8; {DOWNLOAD_AGAIN}") from error

    def value_type(self) -> GGUFValueType:
        (number,) = self.unpack(_U32)
        try:
            return GGUFValueType(number)
        except ValueError as error:
            raise ModelError(self.path, f"unknown metadata value type {number} before byte {self.at}") from error

    def value(self, kind: GGUFValueType) -> Any:
        if kind is GGUFValueType.STRING:
            return self.string()
        if kind is GGUFValueType.ARRAY:
            return self.array()
        return self.unpack(_SCALARS[kind])[0]

    def array(self) -> Any:
        kind = self.value_type()
        (count,) = self.unpack(_U64)
        if kind is GGUFValueType.ARRAY:
            raise ModelError(self.path, f"an array of arrays before byte {self.at}: GGUF metadata has none")
        if kind is GGUFValueType.STRING:
            return [self.string() for _ in range(count)]
        layout = _SCALARS[kind]
        return np.frombuffer(self.take(count * layout.size), np.dtype(layout.format))

    def tensor_info(self) -> TensorInfo:
        name = self.string()
        (n_dims,) = self.unpack(_U32)
        if n_dims > MAX_DIMS:
            raise ModelError(
                self.path, f"tensor '{name}' has {n_dims} dimensions, at most {MAX_DIMS} exist; {DOWNLOAD_AGAIN}"
            )
        extents = [self.unpack(_U64)[0] for _ in range(n_dims)] + [1] * (MAX_DIMS - n_dims)
        (number,) = self.unpack(_U32)
        (offset,) = self.unpack(_U64)
        return TensorInfo(name, number, (extents[0], extents[1], extents[2], extents[3]), offset)
