"""What the right server makes of a GRAPH_COMPUTE message: records that are found by id, and arrays over their bytes."""

import math
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from conformance.judge.codec import Codec, Value, number

__all__ = ["Record", "Records", "array", "parsed"]

ID_BYTES = 8
COUNT_BYTES = 4
ARRAYS = {"F32": "<f4", "F16": "<f2", "I8": "i1", "I32": "<i4", "I64": "<i8", "F64": "<f8"}


@attrs.frozen(eq=False)
class Record:
    """A tensor record, its fields by name."""

    data: bytes
    fields: Mapping[str, Value]

    def number(self, field: str) -> int:
        value = self.fields[field]
        assert isinstance(value, int)
        return value

    def numbers(self, field: str) -> tuple[int, ...]:
        value = self.fields[field]
        assert isinstance(value, tuple)
        return value

    @property
    def ne(self) -> tuple[int, ...]:
        return self.numbers("ne")

    @property
    def nb(self) -> tuple[int, ...]:
        return self.numbers("nb")

    @property
    def elements(self) -> int:
        return math.prod(self.ne)

    @property
    def is_elsewhere(self) -> bool:
        return self.number("buffer") == 0

    @property
    def references(self) -> tuple[int, ...]:
        """Ids that it names, 0 left out."""
        return tuple(other for other in (*self.numbers("src"), self.number("view_src")) if other)


Records = dict[int, Record]


def parsed(codec: Codec, tail: bytes, n_nodes: int) -> tuple[tuple[int, ...], tuple[Record, ...]] | None:
    """Node ids and records; None when the counts and the bytes do not agree."""
    begin = n_nodes * ID_BYTES + COUNT_BYTES
    step = codec.size("rpc_tensor")
    if begin > len(tail) or len(tail) - begin != step * number(tail[begin - COUNT_BYTES : begin]):
        return None
    ids = tuple(number(tail[at : at + ID_BYTES]) for at in range(0, n_nodes * ID_BYTES, ID_BYTES))
    pieces = [tail[at : at + step] for at in range(begin, len(tail), step)]
    return ids, tuple(Record(piece, codec.unpack("rpc_tensor", piece)) for piece in pieces)


def array(kind: str, record: Record, memory: memoryview) -> NDArray[Any]:
    """The elements, (n3, n2, n1, n0), where they lie."""
    return np.ndarray(record.ne[::-1], ARRAYS[kind], memory, 0, record.nb[::-1])
