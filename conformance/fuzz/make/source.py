"""Where choices come from. Makers ask a Source and know neither Hypothesis nor a generator of random numbers.

The first of everything is the simplest: whoever shrinks goes towards it.
"""

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

__all__ = ["Chance", "Source", "between", "often", "pick", "seldom"]

Item = TypeVar("Item")
SELDOM = 8


class Source(Protocol):
    """Answers choices."""

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1."""

    def data(self, size: int) -> bytes:
        """So many bytes."""


class Chance:
    """Choices by a seed alone."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1."""
        return int(self._random.random() * bound)

    def data(self, size: int) -> bytes:
        """So many bytes."""
        return self._random.randbytes(size)


def pick(source: Source, items: Sequence[Item]) -> Item:
    """One of them."""
    return items[source.below(len(items))]


def between(source: Source, low: int, high: int) -> int:
    """A number from low to high, both included."""
    return low + source.below(high - low + 1)


def seldom(source: Source) -> bool:
    """True once in a while; False is the simpler."""
    return source.below(SELDOM) == SELDOM - 1


def often(source: Source) -> bool:
    """True as often as not; False is the simpler."""
    return source.below(2) == 1
