"""Models in several files, as llama.cpp's gguf-split writes them.

Part n of m (counted from 1) is named ``PREFIX-0000n-of-0000m.gguf``. Each part says `split.no` (from 0), `split.count`
and `split.tensors.count`, the tensors of all parts together; the first also has the metadata of the model. -m names the
first. What is missing, of another model, or there twice is refused by the name of its file.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ModelError
from refimpl.model.gguf.header import GgufHeader, read_header
from refimpl.model.gguf.storage import DOWNLOAD_AGAIN, LoadMode, read_bytes

__all__ = ["Part", "part_path", "read_parts"]

NUMBER, COUNT, TENSORS = "split.no", "split.count", "split.tensors.count"
MAX_PARTS = (1 << 16) - 1
_NAME = re.compile(r"(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)


@attrs.frozen(eq=False)
class Part:
    """One file of a model."""

    path: str
    header: GgufHeader
    data: NDArray[np.uint8]
    """the whole file"""


def part_path(prefix: str, number: int, count: int) -> str:
    """File name of part `number`, counted from 0."""
    return f"{prefix}-{number + 1:05d}-of-{count:05d}.gguf"


def read_parts(path: str, mode: LoadMode = LoadMode.AUTO) -> tuple[Part, ...]:
    """All files of the model that begins with `path`: this one, or with it all the others that it names.

    Raises ModelError, with the path of the file at fault.
    """
    first = _read(path, mode)
    count = _number(first, COUNT, 1)
    if count <= 1:
        return (first,)
    prefix = _prefix(first, count)
    parts = [first]
    for number in range(1, count):
        parts.append(_read_other(first, part_path(prefix, number, count), number, mode))
    _refuse_twins(parts)
    total, wanted = sum(len(part.header.tensors) for part in parts), _number(first, TENSORS, -1)
    if total != wanted:
        raise ModelError(path, f"its {count} parts hold {total} tensors, {TENSORS} says {wanted}; {DOWNLOAD_AGAIN}")
    return tuple(parts)


def _read(path: str, mode: LoadMode) -> Part:
    data = read_bytes(path, mode)
    return Part(path, read_header(path, data.data), data)


def _read_other(first: Part, path: str, number: int, mode: LoadMode) -> Part:
    """Part `number` (from 0), proved to be of the same model as the first."""
    count = _number(first, COUNT, 1)
    which = f"part {number + 1} of {count} of {first.path}"
    if not Path(path).exists():
        raise ModelError(path, f"is missing: {which}; put all parts into one folder, or download it again")
    part = _read(path, mode)
    if NUMBER not in part.header.metadata:
        raise ModelError(path, f"is a whole model where {which} is expected; {DOWNLOAD_AGAIN}")
    if (found := _number(part, NUMBER, -1)) != number:
        raise ModelError(path, f"says that it is part {found + 1}, where {which} is expected; {DOWNLOAD_AGAIN}")
    for key in (COUNT, TENSORS):
        theirs, ours = _number(part, key, -1), _number(first, key, -1)
        if theirs != ours:
            raise ModelError(path, f"is of another model: its {key} is {theirs}, that of {first.path} is {ours}")
    arch = "general.architecture"
    if part.header.metadata.get(arch, first.header.metadata.get(arch)) != first.header.metadata.get(arch):
        raise ModelError(path, f"is of another model: its {arch} is not that of {first.path}")
    return part


def _prefix(first: Part, count: int) -> str:
    """What the names of all parts begin with."""
    name = _NAME.fullmatch(first.path)
    number = _number(first, NUMBER, 0)
    if name and number:
        start = part_path(name["prefix"], 0, count)
        raise ModelError(first.path, f"part {number + 1} of {count}; give -m the first of them: {start}")
    if number or not name or (int(name["number"]), int(name["count"])) != (1, count):
        wanted = part_path("NAME", number, count)
        raise ModelError(first.path, f"part {number + 1} of {count}, and its name does not say so: name it {wanted}")
    return name["prefix"]


def _number(part: Part, key: str, default: int) -> int:
    metadata: Mapping[str, Any] = part.header.metadata
    value = metadata.get(key, default)
    if type(value) is not int or not default <= value <= (MAX_PARTS if key != TENSORS else 1 << 31):
        raise ModelError(part.path, f"metadata key '{key}' is {value!r}, no number of a part; {DOWNLOAD_AGAIN}")
    return value


def _refuse_twins(parts: list[Part]) -> None:
    owners: dict[str, str] = {}
    for part in parts:
        for tensor in part.header.tensors:
            other = owners.setdefault(tensor.name, part.path)
            if other != part.path:
                raise ModelError(part.path, f"tensor '{tensor.name}' is in {other} as well; {DOWNLOAD_AGAIN}")
