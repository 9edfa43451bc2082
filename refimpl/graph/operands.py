"""What holds for the results and operands of every op that runs, before the op's own rule.

- Each lies here and has elements (GRAPH-14).
- Types with blocks: the blocks of a row follow each other without gaps. Plain types: address and strides are
  multiples of the element size, so that a kernel may use typed loads (GRAPH-32).
- No byte of a result belongs to two of its elements, so that threads can write it without order (GRAPH-33). Operands
  may overlap themselves, as a repeated row with stride 0 does.

Results that share part of their bytes with an operand are let through: ggml's clients use memory again, and what
comes of a partial overlap is wrong numbers, never an access outside a buffer. Index operands are the exception; see
rules/rows.py.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import GraphError
from refimpl.graph.checked import ABSENT, TensorTable
from refimpl.graph.layout import type_layouts
from refimpl.graph.refusal import Bools, Judge
from refimpl.wire.tensor import GGML_MAX_DIMS

__all__ = ["apart", "check_operands"]

FAR = np.int64(1) << 62
"""sorts behind every stride"""


def check_operands(judge: Judge, table: TensorTable, elements: NDArray[np.int64], running: NDArray[np.int32]) -> None:
    """Check the results `running` (m,) and all their operands; raises GraphError."""
    judge.require(
        table.buffer[running] != ABSENT, GraphError, "GRAPH-14", lambda i: "it runs but lives elsewhere", running
    )
    entry, slot = np.nonzero(table.src[running] != ABSENT)
    reader = running[entry]
    source = table.src[reader, slot]

    def naming(text: str) -> "_Why":
        return _Why(judge, source, slot, text)

    here = table.buffer[source] != ABSENT
    judge.require(here, GraphError, "GRAPH-14", naming("lives elsewhere"), reader)
    judge.require(elements[source] > 0, GraphError, "GRAPH-18", naming("has no elements"), reader)
    used = np.unique(np.concatenate((running, source)))
    _check_layout(judge, table, used)
    _check_self_overlap(judge, table, running)


class _Why:
    """The words for an operand, found by the number of the failed entry."""

    def __init__(self, judge: Judge, source: NDArray[np.int32], slot: NDArray[np.intp], text: str) -> None:
        self._judge, self._source, self._slot, self._text = judge, source, slot, text

    def __call__(self, entry: int) -> str:
        return f"its src[{self._slot[entry]}], {self._judge.label(int(self._source[entry]))}, {self._text}"


def _check_layout(judge: Judge, table: TensorTable, used: NDArray[np.int32]) -> None:
    layouts = type_layouts()
    type, ne, nb = table.type[used], table.ne[used], table.nb[used]
    blocked, size = layouts.block[type] > 1, layouts.bytes[type]
    packed = ~blocked | (nb[:, 0] == size)
    judge.require(
        packed, GraphError, "GRAPH-32", lambda i: f"its blocks of {size[i]} bytes are {nb[i, 0]} bytes apart", used
    )
    steps = np.where(ne > 1, nb, 0)
    aligned = blocked | ((table.offset[used] % size == 0) & (steps % size[:, None] == 0).all(axis=1))

    def why(i: int) -> str:
        return f"offset {table.offset[used[i]]} and strides {nb[i].tolist()} are no multiples of {size[i]} bytes"

    judge.require(aligned, GraphError, "GRAPH-32", why, used)


def _check_self_overlap(judge: Judge, table: TensorTable, running: NDArray[np.int32]) -> None:
    nb = table.nb[running]
    judge.require(
        apart(table.type[running], table.ne[running], nb),
        GraphError,
        "GRAPH-33",
        lambda i: f"with strides {nb[i].tolist()} its elements overlap",
        running,
    )


def apart(type: NDArray[np.int32], ne: NDArray[np.int64], nb: NDArray[np.int64]) -> Bools:
    """(m,) of types (m,), extents and strides (m, 4): whether no byte belongs to two elements, as far as this can tell.

    From the smallest stride to the largest, each one steps over all bytes of the dimensions before it.
    """
    layouts = type_layouts()
    extents = ne.copy()
    extents[:, 0] //= layouts.block[type]
    strides = np.where(extents > 1, nb, FAR)
    by_size = np.argsort(strides, axis=1, kind="stable")
    strides = np.take_along_axis(strides, by_size, axis=1)
    extents = np.take_along_axis(extents, by_size, axis=1)
    covered = layouts.bytes[type].copy()
    good = np.ones(len(type), np.bool_)
    for dim in range(GGML_MAX_DIMS):
        good &= strides[:, dim] >= covered
        covered += np.where(extents[:, dim] > 1, (extents[:, dim] - 1) * strides[:, dim], 0)
    return good
