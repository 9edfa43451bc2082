"""A program on its way from nodes to steps: what each step calls, touches and needs, before it becomes a record.

Byte ranges are addresses of this process; they decide where threads have to wait for each other (`barriers`).
"""

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu.pool import aligned_words
from refimpl.graph.checked import ABSENT, TensorTable
from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.cpu.step import (
    BARRIER,
    DST,
    EXTRA,
    KERNEL,
    NODE,
    OPERAND_WORDS,
    PARAMS,
    SOLO,
    SOURCES,
    WORD,
    WORDS,
)

__all__ = ["PARAM_WORDS", "Footprint", "PlannedStep", "Range", "barriers", "records"]

Range = tuple[int, int]
"""first address, one past the last"""
PARAM_WORDS = 8
"""int64 words that hold the 16 words of op_params"""
MAX_EXTRA = 8
MOST_RANGES = 64
"""ranges read without a barrier after which there is one in any case, so that planning takes linear time"""


@attrs.frozen
class PlannedStep:
    """One kernel over operands of the graph."""

    kernel: Kernel
    node: int
    """tensor whose op_params, and for a message whose name, belong to the step"""
    dst: int
    """tensor index, or ABSENT where the result is no tensor"""
    sources: tuple[int, ...]
    """tensor indices or ABSENT, at most 5"""
    extra: tuple[int, ...] = ()
    scratch: int = 0
    """bytes for each worker"""
    reads: tuple[Range, ...] = ()
    """beside its sources"""
    writes: tuple[Range, ...] = ()
    """beside its result"""


@attrs.frozen
class Footprint:
    """What a step touches, for planning when threads meet."""

    reads: Sequence[Range]
    writes: Sequence[Range]
    solo: bool = False
    """runs in one thread, behind all other solo steps before it"""


def barriers(steps: Sequence[Footprint]) -> list[bool]:
    """For each step, whether it has to wait for all before it.

    It has to if it reads or writes a byte that a step since the last barrier writes, or writes one that such a step
    reads; two solo steps are in order anyway. Ranges may be larger than what is touched: that costs a barrier, never a
    result.
    """
    waits = []
    shared, solo = _Since(), _Since()
    for step in steps:
        wait = shared.full or solo.full or shared.conflicts(step) or (not step.solo and solo.conflicts(step))
        if wait:
            shared, solo = _Since(), _Since()
        (solo if step.solo else shared).add(step)
        waits.append(wait)
    return waits


class _Since:
    """What the steps since the last barrier touch."""

    def __init__(self) -> None:
        self._read: list[Range] = []
        self._written: list[Range] = []

    @property
    def full(self) -> bool:
        return len(self._read) > MOST_RANGES

    def conflicts(self, step: Footprint) -> bool:
        return (
            _touch(step.reads, self._written) or _touch(step.writes, self._written) or _touch(step.writes, self._read)
        )

    def add(self, step: Footprint) -> None:
        self._read.extend(step.reads)
        self._written.extend(step.writes)


def _touch(some: Sequence[Range], others: Sequence[Range]) -> bool:
    return any(start < end2 and start2 < end for start, end in some for start2, end2 in others)


def records(
    steps: Sequence[PlannedStep], table: TensorTable, addresses: NDArray[np.int64], footprints: Sequence[Footprint]
) -> NDArray[np.int64]:
    """(n, WORDS) records as kernels read them; addresses (t,) of the tensors, footprints of the steps."""
    made = aligned_words(max(1, len(steps)) * WORDS).reshape(-1, WORDS)[: len(steps)]
    if not steps:
        return made
    made[:, KERNEL // WORD] = [step.kernel.address for step in steps]
    made[:, BARRIER // WORD] = barriers(footprints)
    made[:, SOLO // WORD] = [footprint.solo for footprint in footprints]
    made[:, NODE // WORD] = [step.node for step in steps]
    params = np.ascontiguousarray(table.params[[step.node for step in steps]])
    made[:, PARAMS // WORD : PARAMS // WORD + PARAM_WORDS] = params.view(np.int64)
    extra = [step.extra + (0,) * (MAX_EXTRA - len(step.extra)) for step in steps]
    made[:, EXTRA // WORD : EXTRA // WORD + MAX_EXTRA] = extra
    operands = np.array(
        [(step.dst, *step.sources, *(ABSENT,) * (SOURCES - len(step.sources))) for step in steps], np.int64
    )
    here = operands != ABSENT
    for slot in range(SOURCES + 1):
        begin = DST // WORD + OPERAND_WORDS * slot
        rows, tensors = np.flatnonzero(here[:, slot]), operands[here[:, slot], slot]
        made[rows, begin] = addresses[tensors]
        made[rows, begin + 1 : begin + 5] = table.ne[tensors]
        made[rows, begin + 5 : begin + 9] = table.nb[tensors]
    return made
