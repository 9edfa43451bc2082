"""A sample: a small graph of one op, and what its results have to be. Samples are made when they are asked for.

Rules
- A sample is known by op and slug. Its values are drawn by that name, so they are the same at every run and in every
  process.
- What is expected is worked out in float64 from the operands as stored, by definitions/; never by an implementation.
- A result is compared element by element. Infinities have to be the same infinity, and NaN stands for NaN.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from conformance.cases.graph.build import Graph, Param, Tensor, graph, node
from conformance.cases.ops.blocks.decode import decoded
from conformance.cases.ops.blocks.draw import Draw, Operand, shaped, type_of
from conformance.cases.ops.blocks.formats import Array
from conformance.cases.ops.tolerance import ROUNDING, Tolerance, tolerance_of

__all__ = ["Book", "Entry", "Expected", "Make", "Sample", "onto", "result", "sampled", "within"]


@attrs.frozen(kw_only=True, eq=False)
class Expected:
    """What a tensor has to hold; `off_by` and `nmse` say how nearly, element by element and in all."""

    tensor: Tensor
    want: Array
    off_by: Array
    nmse: float | None = None
    any_order: bool = False
    """whether each row is a set"""

    def complaint(self, data: bytes) -> tuple[str, str] | None:
        """What was expected and what came, of the worst element; None when all is well."""
        got = shaped(decoded(type_of(self.tensor.type), data), self.want.shape[::-1])
        want = self.want
        if self.any_order:
            got, want = np.sort(got, axis=-1), np.sort(want, axis=-1)
        both = np.isfinite(want) & np.isfinite(got)
        same = np.isnan(want) & np.isnan(got) | (want == got)
        off = np.where(both, np.abs(np.where(both, got, 0) - np.where(both, want, 0)), np.where(same, 0.0, np.inf))
        over = off - self.off_by
        if (over > 0).any():
            return self._of_one(np.unravel_index(int(np.argmax(over)), over.shape), want, got, int((over > 0).sum()))
        return self._of_all(off, want)

    def _of_one(self, at: Sequence[np.intp], want: Array, got: Array, count: int) -> tuple[str, str]:
        place = [int(index) for index in reversed(at)]
        where = tuple(at)
        expected = f"{want[where]:.9g} within {self.off_by[where]:.3g} at {place}"
        return expected, f"{got[where]:.9g}; {count} of {want.size} elements are wrong"

    def _of_all(self, off: Array, want: Array) -> tuple[str, str] | None:
        size = float(np.sum(np.where(np.isfinite(want), want, 0) ** 2))
        nmse = float(np.sum(off**2)) / size if size else 0.0
        if self.nmse is None or nmse <= self.nmse:
            return None
        return f"a mean square error of at most {self.nmse:g} of the mean square", f"{nmse:g}"


@attrs.frozen(eq=False)
class Sample:
    """A graph, and what is expected of its results, in their order."""

    graph: Graph
    expected: tuple[Expected, ...]


def sampled(*expected: Expected, nodes: Sequence[Tensor] | None = None) -> Sample:
    """The sample of the graph that computes these tensors; `nodes` as in build.graph."""
    return Sample(graph(*(each.tensor for each in expected), nodes=nodes), expected)


Make = Callable[[Draw], Sample]


@attrs.frozen(kw_only=True)
class Entry:
    """A sample that can be made. `ordinary`: every working implementation computes it; else `why` says who does not."""

    op: str
    slug: str
    title: str
    make: Make
    clause: str
    why: str = ""

    @property
    def name(self) -> str:
        """Op and slug: what values are drawn by."""
        return f"{self.op}/{self.slug}"

    @property
    def ordinary(self) -> bool:
        """Whether no implementation is known that cannot be asked."""
        return not self.why

    def sample(self) -> Sample:
        """The sample, made anew."""
        return self.make(Draw(self.name))


class Book:
    """The samples of one subject, in order."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Samples by name."""
        return self._entries

    def add(self, op: str, slug: str, title: str, make: Make, *, clause: str = "", why: str = "") -> None:
        """Add a sample; `clause` when it asks about another clause than the op's own."""
        entry = Entry(op=op, slug=slug, title=title, make=make, clause=clause or f"OP-{op}", why=why)
        if entry.name in self._entries:
            raise ValueError(f"two samples are called {entry.name}")
        self._entries[entry.name] = entry

    def sample(self, op: str, slug: str, *, clause: str = "", why: str = "") -> Callable[[Make], Make]:
        """Add the decorated maker; the first line of its docstring is the title."""

        def declare(make: Make) -> Make:
            title = (make.__doc__ or "").strip().partition("\n")[0].removesuffix(".")
            self.add(op, slug, title, make, clause=clause, why=why)
            return make

        return declare


def result(
    op: str,
    want: NDArray[Any],
    *operands: Operand | None,
    type: str = "F32",
    params: Mapping[str, Param] | None = None,
    tolerance: Tolerance | None = None,
) -> Sample:
    """The sample of one node: its operands by slot, and what it has to hold, (..., n1, n0)."""
    extents = want.shape[::-1] or (1,)
    tensors = tuple(None if operand is None else operand.tensor for operand in operands)
    made = node(op, type, extents, *tensors, params=params)
    allowed = tolerance or tolerance_of(op, tuple(tensor.type for tensor in tensors if tensor is not None))
    return sampled(within(made, shaped(want.astype(np.float64), extents), allowed))


def onto(sample: Sample, home: Tensor) -> Sample:
    """The sample of one node over again, its result having the bytes of that tensor."""
    (expected,) = sample.expected
    return sampled(attrs.evolve(expected, tensor=attrs.evolve(expected.tensor, lies_in=home)))


def within(tensor: Tensor, want: Array, allowed: Tolerance) -> Expected:
    """What a tensor has to hold: within a tolerance and the rounding of its type, or exactly."""
    bound, nmse, step = allowed.bound(want), allowed.nmse, ROUNDING.get(tensor.type, 0.0)
    if not allowed.exact:
        bound = bound + np.where(np.isfinite(want), np.abs(want), 0.0) * step
        nmse = None if nmse is None else nmse + (step / 2) ** 2
    return Expected(tensor=tensor, want=want, off_by=bound, nmse=nmse)
