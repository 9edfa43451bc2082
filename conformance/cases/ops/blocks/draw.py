"""Values drawn for a sample: the same at every run, told apart by the sample's name.

Rules
- What is drawn is what the tensor stores: floats are rounded to the tensor's type before anybody computes with them.
- Blocks are drawn as bytes, not quantised: every code of a format occurs, and no quantiser has to be right. Only
  scales are drawn with care, so that elements are about as large as 1.
"""

import zlib
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from conformance.cases.graph.build import Tensor, leaf, view
from conformance.cases.ops.blocks.decode import BF16_SHIFT, PLAIN, decoded, parts_of
from conformance.cases.ops.blocks.formats import Array
from spec.dialect import TypeDef
from spec.load import load

__all__ = ["Draw", "Operand", "encoded", "held", "shaped", "type_of", "values_of"]

SCALES = {
    "Q4_0": 0.15,
    "Q4_1": 0.1,
    "Q5_0": 0.07,
    "Q5_1": 0.05,
    "Q8_0": 0.01,
    "Q8_1": 0.01,
    "Q8_K": 0.01,
    "Q1_0": 0.7,
    "Q2_0": 0.7,
    "Q2_K": 0.05,
    "Q3_K": 0.02,
    "Q4_K": 0.004,
    "Q5_K": 0.002,
    "Q6_K": 0.0005,
    "TQ1_0": 0.8,
    "TQ2_0": 0.8,
    "IQ1_S": 0.1,
    "IQ2_XXS": 0.01,
    "IQ2_XS": 0.01,
    "IQ2_S": 0.01,
    "IQ3_XXS": 0.01,
    "IQ3_S": 0.005,
    "IQ4_NL": 0.01,
    "IQ4_XS": 0.0005,
}
"""format > about what its parts in floating point are drawn as"""
MXFP4_EXPONENTS = (124, 128)
NVFP4_SCALES = (0x20, 0x38)
IQ1_M_SCALES = (0x2C00, 0x3000)
"""binary16 between 2^-4 and 2^-3, whose four digits stand on top of the four words of scales"""


def type_of(kind: str) -> TypeDef:
    """The element type of that name, in the newest version."""
    spec = load()
    return spec.dialect(spec.versions[-1]).type(kind)


@attrs.frozen(eq=False)
class Operand:
    """A tensor of a graph, and its elements as they are stored: (n3, n2, n1, n0)."""

    tensor: Tensor
    values: Array

    @property
    def ne(self) -> tuple[int, ...]:
        """Extents, fastest first."""
        return self.values.shape[::-1]

    def permuted(self, *order: int, op: str = "PERMUTE") -> "Operand":
        """A view whose dimension i is dimension order[i] of this one; of a leaf without gaps and without blocks."""
        ne = self.ne
        width = type_of(self.tensor.type).bytes
        nb = [width * int(np.prod(ne[:dim])) for dim in range(len(ne))]
        there = view(self.tensor, [ne[dim] for dim in order], [nb[dim] for dim in order], op=op)
        return Operand(there, self.values.transpose([3 - dim for dim in reversed(order)]))

    def rows(self, first: int, count: int) -> "Operand":
        """A view of some elements of each row, of a leaf without gaps and without blocks."""
        ne = self.ne
        width = type_of(self.tensor.type).bytes
        nb = [width * int(np.prod(ne[:dim])) for dim in range(len(ne))]
        there = view(self.tensor, (count, *ne[1:]), nb, at=first * width)
        return Operand(there, self.values[..., first : first + count])


def values_of(operand: Operand | None) -> Array | None:
    """The elements of an operand that may be absent."""
    return None if operand is None else operand.values


def shaped(values: Array, ne: Sequence[int]) -> Array:
    """Elements in order as (n3, n2, n1, n0)."""
    return values.reshape(tuple(reversed((*ne, 1, 1, 1, 1)[:4])))


def encoded(values: NDArray[np.generic], kind: str) -> bytes:
    """Elements in order as bytes of a type without blocks, rounded to nearest, ties to even."""
    if kind == "BF16":
        words = values.astype(np.float32).reshape(-1).view(np.uint32).astype(np.uint64)
        odd = words >> BF16_SHIFT & 1
        return (words + 0x7FFF + odd >> BF16_SHIFT).astype("<u2").tobytes()
    return values.astype(PLAIN[kind]).tobytes()


def held(values: NDArray[np.generic], kind: str = "F32") -> Operand:
    """A leaf with these elements, (..., n1, n0), rounded to its type."""
    data = encoded(values, kind)
    ne = values.shape[::-1] or (1,)
    return Operand(leaf(kind, ne, data), shaped(decoded(type_of(kind), data), ne))


class Draw:
    """Draws for one sample."""

    def __init__(self, name: str) -> None:
        self._random = np.random.default_rng(zlib.crc32(name.encode()))

    def floats(self, *ne: int, kind: str = "F32", low: float = -1.0, high: float = 1.0) -> Operand:
        """Elements spread evenly over [low, high)."""
        return held(self._random.uniform(low, high, ne[::-1]), kind)

    def whole(self, *ne: int, below: int, kind: str = "I32", least: int = 0) -> Operand:
        """Whole numbers from `least` to below - 1."""
        return held(self._random.integers(least, below, ne[::-1]), kind)

    def distinct(self, *ne: int, kind: str = "F32", step: float = 0.25) -> Operand:
        """Floats that differ by at least `step` within each row, in any order."""
        steps = np.tile(np.arange(ne[0]) - ne[0] // 2, (*ne[:0:-1], 1))
        return held(self._random.permuted(steps, axis=-1) * step, kind)

    def choices(self, count: int, below: int, kind: str = "I32") -> Operand:
        """Different whole numbers from 0 to below - 1, in any order."""
        return held(self._random.permutation(below)[:count], kind)

    def blocks(self, *ne: int, kind: str) -> Operand:
        """Elements of a type with blocks."""
        element = type_of(kind)
        count = int(np.prod(ne)) // element.block
        data = bytearray(self._random.bytes(count * element.bytes))
        self._tame(element, parts_of(element, data))
        return Operand(leaf(kind, ne, bytes(data)), shaped(decoded(element, bytes(data)), ne))

    def any(self, *ne: int, kind: str) -> Operand:
        """Elements of a type of any kind."""
        element = type_of(kind)
        if element.quantised:
            return self.blocks(*ne, kind=kind)
        return self.whole(*ne, below=100, kind=kind) if element.kind == "integer" else self.floats(*ne, kind=kind)

    def _tame(self, element: TypeDef, blocks: NDArray[np.void]) -> None:
        """Give the blocks scales that are finite and of one size."""
        for part in element.layout:
            place = blocks[part.name]
            if part.type in ("f16", "f32"):
                about = SCALES[element.name]
                place[:] = self._random.uniform(about / 2, about, place.shape)
        match element.name:
            case "MXFP4":
                blocks["e"][:] = self._random.integers(*MXFP4_EXPONENTS, blocks["e"].shape)
            case "NVFP4":
                blocks["d"][:] = self._random.integers(*NVFP4_SCALES, blocks["d"].shape)
            case "IQ1_M":
                self._spread(blocks["scales"].view("<u2"))

    def _spread(self, words: NDArray[np.uint16]) -> None:
        """Spread a binary16 over the top digits of each four words: (blocks, 4)."""
        halves = self._random.integers(*IQ1_M_SCALES, (len(words), 1))
        digits = halves >> np.arange(0, 16, 4) & 15
        words[:] = words & 0x0FFF | (digits << 12).astype(np.uint16)
