"""Hypothesis strategies for every message of a dialect, in the context of a session; they shrink to the plainest one.

Rules
- Choices are small numbers, the first alternative of everything is the simplest, and payloads follow from one number:
  so an example is short for Hypothesis however long its bytes are, and what it shrinks to can be read.
- Strategies depend on the session: draw one when it is due, from `st.data()`.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

from conformance.fuzz.make.moves import fuzzed, opening, valid
from conformance.fuzz.make.scene import Scene
from conformance.fuzz.make.source import Source, between, often
from conformance.fuzz.request import Request

__all__ = ["Drawn", "fuzzed_requests", "openings", "pieces", "pipelines", "valid_requests"]

Result = TypeVar("Result")
PAYLOADS = 255
PIPELINED = 6
PIECES = 4


class Drawn:
    """A Source whose choices Hypothesis makes."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def below(self, bound: int) -> int:
        """A number from 0 to bound - 1."""
        return self._draw(st.integers(0, bound - 1)) if bound > 1 else 0

    def data(self, size: int) -> bytes:
        """So many bytes: zeros, or what follows from a small number."""
        seed = self._draw(st.integers(0, PAYLOADS))
        return random.Random(seed).randbytes(size) if seed else bytes(size)


def _made(make: Callable[[Source], Result]) -> st.SearchStrategy[Result]:
    """What a maker makes."""

    @st.composite
    def strategy(draw: st.DrawFn) -> Result:
        return make(Drawn(draw))

    return strategy()


def openings() -> st.SearchStrategy[list[Request]]:
    """HELLO and some buffers."""
    return _made(opening)


def valid_requests(scene: Scene, command: str | None = None) -> st.SearchStrategy[list[Request]]:
    """A valid request of that command, or of any, behind what it needs."""
    return _made(lambda source: valid(source, scene, command))


def fuzzed_requests(scene: Scene, command: str | None = None) -> st.SearchStrategy[list[Request]]:
    """The same with something changed."""
    return _made(lambda source: fuzzed(source, scene, command))


def pipelines(scene: Scene) -> st.SearchStrategy[list[Request]]:
    """Several at once; what is drawn later does not know what the earlier ones do."""

    def several(source: Source) -> list[Request]:
        count = between(source, 1, PIPELINED)
        moves = [fuzzed(source, scene) if often(source) else valid(source, scene) for _ in range(count)]
        return [request for move in moves for request in move]

    return _made(several)


def pieces(size: int) -> st.SearchStrategy[Sequence[int]]:
    """Where the pieces end in which so many bytes are sent."""
    return st.lists(st.integers(0, size), max_size=PIECES)
