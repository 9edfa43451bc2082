"""Element types as layouts, and the strides and byte sizes that follow from them.

One table for all dialects: type numbers are never reused or shifted, so a number means one layout or none. Python
integers here; the check of a peer's graph does the same arithmetic over arrays in placement.py.
"""

from collections.abc import Sequence
from functools import cache

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.wire.tensor import GGML_MAX_DIMS
from spec.load import load

__all__ = ["Shape", "TypeLayouts", "is_contiguous", "natural_strides", "span", "type_layouts"]

Shape = tuple[int, int, int, int]
"""four extents or four byte strides, fastest dimension first"""


@attrs.frozen(eq=False)
class TypeLayouts:
    """Elements and bytes per block, indexed by type number; both are 0 where a number is unused or withdrawn."""

    block: NDArray[np.int64]
    bytes: NDArray[np.int64]


@cache
def type_layouts() -> TypeLayouts:
    """The layouts of every type of every dialect."""
    kinds = load().types
    block = np.zeros(max(kind.number for kind in kinds) + 1, np.int64)
    size = np.zeros_like(block)
    for kind in kinds:
        block[kind.number], size[kind.number] = kind.block, kind.bytes
    return TypeLayouts(block, size)


def _block(type: int) -> tuple[int, int]:
    layouts = type_layouts()
    return int(layouts.block[type]), int(layouts.bytes[type])


def natural_strides(type: int, ne: Sequence[int]) -> Shape:
    """Byte strides of a tensor without gaps. ValueError if a row is no whole number of blocks."""
    block, size = _block(type)
    if ne[0] % block:
        raise ValueError(f"a row of {ne[0]} elements is no whole number of blocks of {block}")
    nb = [size, size * (ne[0] // block)]
    for extent in ne[1 : GGML_MAX_DIMS - 1]:
        nb.append(nb[-1] * extent)
    return nb[0], nb[1], nb[2], nb[3]


def span(type: int, ne: Sequence[int], nb: Sequence[int]) -> int:
    """Bytes from the first to the last byte of a tensor (clause TENSOR-2); 0 if it has no elements."""
    if 0 in ne:
        return 0
    block, size = _block(type)
    row = size + (ne[0] - 1) * nb[0] if block == 1 else ne[0] * nb[0] // block
    return row + sum((extent - 1) * stride for extent, stride in zip(ne[1:], nb[1:], strict=True))


def is_contiguous(type: int, ne: Sequence[int], nb: Sequence[int]) -> bool:
    """Whether the elements lie without gaps in logical order; the stride of an extent of 1 does not matter."""
    natural = natural_strides(type, ne)
    return nb[0] == natural[0] and all(
        extent == 1 or mine == wanted for extent, mine, wanted in zip(ne[1:], nb[1:], natural[1:], strict=True)
    )
