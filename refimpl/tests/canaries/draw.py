"""Random choices for one example: types, extents, and how a tensor lies in memory.

All of an example hangs on its seed and its number, so that a run that died can be repeated without the others.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from refimpl.graph.layout import natural_strides, type_layouts
from refimpl.tests.graph.samples import T
from spec.names import Type

__all__ = ["EDGES", "Draw"]

EDGES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257)
"""extents at which vectors, tiles and chunks begin or end"""
FEW = 1 << 12
"""elements of one tensor: the oracle is slow"""

Choice = TypeVar("Choice")


class Draw:
    """Draws for example `number` of a seed."""

    def __init__(self, seed: int, number: int) -> None:
        self.rng = np.random.default_rng([seed, number])

    def one(self, *choices: Choice) -> Choice:
        """Any of them."""
        return choices[self.whole(0, len(choices) - 1)]

    def whole(self, least: int, most: int) -> int:
        """An integer, both ends included."""
        return int(self.rng.integers(least, most + 1))

    def chance(self, percent: int) -> bool:
        return self.whole(1, 100) <= percent

    def extent(self, most: int, unit: int = 1) -> int:
        """A multiple of `unit`, `most` at most: an edge or any."""
        largest = max(1, most // unit)
        if self.chance(70):
            return unit * self.one(*(edge for edge in EDGES if edge <= largest))
        return unit * self.whole(1, largest)

    def shape(self, unit: int = 1, few: int = FEW) -> tuple[int, int, int, int]:
        """Four extents, the first a multiple of `unit`, with `few` elements at most."""
        ne = [self.extent(max(few, unit), unit)]
        for limit in (64, 6, 4):
            room = max(1, few // max(1, int(np.prod(ne))))
            ne.append(self.extent(min(limit, room)) if self.chance(60) else 1)
        return ne[0], ne[1], ne[2], ne[3]

    def natural(self, type_: Type, ne: Sequence[int]) -> T:
        """Without gaps."""
        return T(type_, tuple(ne))

    def rows(self, type_: Type, ne: Sequence[int]) -> T:
        """Packed rows, which may have gaps between them and lie in another order."""
        return self._laid(type_, ne, (0, *self._shuffled(1, 2, 3)))

    def strided(self, type_: Type, ne: Sequence[int]) -> T:
        """Any order of dimensions and gaps anywhere; of a type with blocks, packed rows."""
        if int(type_layouts().block[type_]) > 1:
            return self.rows(type_, ne)
        return self._laid(type_, ne, self._shuffled(0, 1, 2, 3))

    def repeated(self, type_: Type, ne: Sequence[int]) -> T:
        """As `strided`, and perhaps the same bytes over and over in some dimensions."""
        tensor = self.strided(type_, ne)
        still = [self.chance(15) for _ in range(4)]
        nb = [0 if stays and type_ == Type.F32 else step for stays, step in zip(still, tensor.strides(), strict=True)]
        return T(type_, tensor.ne, (nb[0], nb[1], nb[2], nb[3]))

    def _shuffled(self, *dims: int) -> tuple[int, ...]:
        return tuple(self.rng.permutation(dims).tolist()) if self.chance(40) else dims

    def _laid(self, type_: Type, ne: Sequence[int], order: Sequence[int]) -> T:
        shape = T(type_, tuple(ne)).shape()
        if self.chance(40) and tuple(order) == (0, 1, 2, 3):
            return T(type_, shape, natural_strides(type_, shape))
        block, size = int(type_layouts().block[type_]), int(type_layouts().bytes[type_])
        counts = (shape[0] // block, *shape[1:])
        nb, step = [0, 0, 0, 0], size
        for dim in order:
            nb[dim] = step
            step *= counts[dim]
            step += size * self.one(0, 0, 0, 1, 3, 16)
        return T(type_, shape, (nb[0], nb[1], nb[2], nb[3]))
