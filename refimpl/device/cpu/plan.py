"""A program on its way from nodes to steps: what each step calls, touches and needs, before it becomes a record.

Byte ranges are addresses of this process; they decide where threads have to wait for each other (`barriers`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import attrs
import numpy as np
from numba import types
from numpy.typing import NDArray

from refimpl.device.cpu.pool import aligned_words
from refimpl.graph.checked import ABSENT, TensorTable
from refimpl.kernels.cpu.compiled import Kernel, function, inline
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

__all__ = [
    "MOST_RANGES",
    "Footprints",
    "PlannedStep",
    "Range",
    "barriers",
    "find_barriers",
    "footprints",
    "operands_of",
    "records",
]

Range = tuple[int, int]
"""first address, one past the last"""
PARAM_WORDS = 8
"""int64 words that hold the 16 words of op_params"""
MAX_EXTRA = 8
MORE_READS, MORE_WRITES = 2, 1
"""ranges that a step may touch beside its tensors"""
MOST_RANGES = 64
"""ranges read without a barrier after which there is one in any case, so that planning takes linear time"""


class PlannedStep(NamedTuple):
    """One kernel over operands of the graph. A tuple, since there is one for each node of each new graph."""

    kernel: Kernel
    node: int
    """tensor whose op_params, and for a message whose name, belong to the step"""
    dst: int
    """tensor index, or ABSENT where the result is no tensor"""
    sources: Sequence[int]
    """SOURCES tensor indices or ABSENT"""
    extra: tuple[int, ...] = ()
    scratch: int = 0
    """bytes for each worker"""
    reads: tuple[Range, ...] = ()
    """beside its sources"""
    writes: tuple[Range, ...] = ()
    """beside its result"""


@attrs.frozen(eq=False)
class Footprints:
    """What n steps touch, for planning when threads meet; ranges are [first, last), an empty one touches nothing."""

    reads: NDArray[np.int64]
    """(n, r, 2)"""
    writes: NDArray[np.int64]
    """(n, w, 2)"""
    solo: NDArray[np.bool_]
    """(n,) runs in one thread, behind all other solo steps before it"""


def operands_of(steps: Sequence[PlannedStep]) -> NDArray[np.int64]:
    """(n, 1 + SOURCES) tensor indices: result, sources."""
    flat = [index for step in steps for index in (step.dst, *step.sources)]
    return np.array(flat, np.int64).reshape(len(steps), 1 + SOURCES)


def footprints(
    steps: Sequence[PlannedStep],
    operands: NDArray[np.int64],
    places: tuple[NDArray[np.int64], NDArray[np.int64]],
    small: int,
) -> Footprints:
    """Of steps with `operands` (see `operands_of`) among tensors that lie at `places` [first, last), (t,) each.

    A step that touches at most `small` bytes is done solo.
    """
    ranges = np.stack([np.append(place, 0)[operands] for place in places], axis=2)
    more_reads = _ranges([step.reads for step in steps], MORE_READS)
    more_writes = _ranges([step.writes for step in steps], MORE_WRITES)
    reads = np.concatenate((ranges[:, 1:], more_reads), axis=1)
    writes = np.concatenate((ranges[:, :1], more_writes), axis=1)
    touched = np.diff(reads).sum(axis=(1, 2)) + np.diff(writes).sum(axis=(1, 2))
    return Footprints(reads, writes, touched <= small)


def _ranges(some: Sequence[tuple[Range, ...]], most: int) -> NDArray[np.int64]:
    """(n, most, 2); most have none"""
    made = np.zeros((len(some), most, 2), np.int64)
    for at, own in enumerate(some):
        if own:
            made[at, : len(own)] = own
    return made


def barriers(steps: Footprints) -> NDArray[np.bool_]:
    """(n,) for each step, whether it has to wait for all before it.

    It has to if it reads or writes a byte that a step since the last barrier writes, or writes one that such a step
    reads; two solo steps are in order anyway. Ranges may be larger than what is touched: that costs a barrier, never a
    result.
    """
    waits = np.zeros(len(steps.solo), np.bool_)
    find_barriers(np.ascontiguousarray(steps.reads), np.ascontiguousarray(steps.writes), steps.solo, waits)
    return waits


Array = NDArray[np.int64]
RANGES, FLAGS = types.int64[:, :, ::1], types.boolean[::1]


@inline
def _touch(some: Array, i: int, others: Array, j: int) -> Any:
    """Whether a range of step i in `some` shares a byte with one of step j in `others`."""
    for a in range(some.shape[1]):
        for b in range(others.shape[1]):
            if some[i, a, 0] < others[j, b, 1] and others[j, b, 0] < some[i, a, 1]:
                return True
    return False


@inline
def _conflict(reads: Array, writes: Array, i: int, j: int) -> Any:
    return _touch(reads, i, writes, j) or _touch(writes, i, writes, j) or _touch(writes, i, reads, j)


@inline
def _number(ranges: Array, i: int) -> Any:
    """How many ranges of step i are not empty."""
    found = 0
    for a in range(ranges.shape[1]):
        if ranges[i, a, 0] < ranges[i, a, 1]:
            found += 1
    return found


@function(types.void(RANGES, RANGES, FLAGS, FLAGS))
def find_barriers(reads: Array, writes: Array, solo: NDArray[np.bool_], waits: NDArray[np.bool_]) -> None:
    """Fill waits (n,); see `barriers`."""
    since, shared_reads, solo_reads = 0, 0, 0
    for i in range(len(waits)):
        wait = shared_reads > MOST_RANGES or solo_reads > MOST_RANGES
        for j in range(since, i):
            if wait:
                break
            wait = not (solo[i] and solo[j]) and _conflict(reads, writes, i, j)
        if wait:
            since, shared_reads, solo_reads = i, 0, 0
        waits[i] = wait
        if solo[i]:
            solo_reads += _number(reads, i)
        else:
            shared_reads += _number(reads, i)


def records(
    steps: Sequence[PlannedStep],
    operands: NDArray[np.int64],
    table: TensorTable,
    addresses: NDArray[np.int64],
    touched: Footprints,
) -> NDArray[np.int64]:
    """(n, WORDS) records as kernels read them; addresses (t,) of the tensors."""
    made = aligned_words(max(1, len(steps)) * WORDS).reshape(-1, WORDS)[: len(steps)]
    if not steps:
        return made
    entries = {kernel: kernel.address for kernel in {step.kernel for step in steps}}
    nodes = [step.node for step in steps]
    made[:, KERNEL // WORD] = [entries[step.kernel] for step in steps]
    made[:, BARRIER // WORD] = barriers(touched)
    made[:, SOLO // WORD] = touched.solo
    made[:, NODE // WORD] = nodes
    params = np.ascontiguousarray(table.params[nodes])
    made[:, PARAMS // WORD : PARAMS // WORD + PARAM_WORDS] = params.view(np.int64)
    extra = [word for step in steps for word in (*step.extra, *(0,) * (MAX_EXTRA - len(step.extra)))]
    made[:, EXTRA // WORD : EXTRA // WORD + MAX_EXTRA] = np.array(extra, np.int64).reshape(-1, MAX_EXTRA)
    _fill_operands(made, operands, table, addresses)
    return made


def _fill_operands(
    made: NDArray[np.int64], operands: NDArray[np.int64], table: TensorTable, addresses: NDArray[np.int64]
) -> None:
    """Address, extents and strides of each operand that is there; operands as `operands_of` gives them."""
    flat = operands.reshape(-1)
    words = np.concatenate((addresses[flat, None], table.ne[flat], table.nb[flat]), axis=1)
    words[flat == ABSENT] = 0
    begin = DST // WORD
    made[:, begin : begin + OPERAND_WORDS * operands.shape[1]] = words.reshape(len(operands), -1)
