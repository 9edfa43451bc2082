"""What a kernel is given: a step, which is one piece of work of a graph, and a worker, which is one thread.

A step is a record of WORDS int64, a worker one of WORKER_WORDS. A kernel runs in all threads at once with the same
step; they share its units of work (rows, tiles) through `claim`. Kernels write no byte outside the result and may
use SCRATCH for themselves; two steps without a barrier between them run at the same time. A solo step runs in worker
0 alone, behind all solo steps before it: small work costs less than the meeting that sharing it takes.

    step    kernel | barrier | node | solo | counter (a cache line of its own) | params | extra | dst | src 0 .. 4
    operand address, 4 extents, 4 byte strides (0 fastest)

All of it was proved before the run, except for the values of index operands: a kernel checks each before it is used
and calls `fault`.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.words import add_release, float_of, i32_at, i64_at, load_acquire, store_i64

__all__ = [
    "BARRIER",
    "COUNTER",
    "DST",
    "EXTRA",
    "FAULT",
    "FAULT_INDEX",
    "FAULT_LIMIT",
    "FAULT_NODE",
    "KERNEL",
    "NODE",
    "OPERAND_WORDS",
    "PARAMS",
    "SCRATCH",
    "SOLO",
    "SOURCES",
    "SRC0",
    "SRC1",
    "SRC2",
    "SRC3",
    "SRC4",
    "STOP",
    "THREAD",
    "THREADS",
    "WORD",
    "WORDS",
    "WORKER_WORDS",
    "address",
    "chunk_of",
    "claim",
    "count",
    "extent",
    "extra",
    "fault",
    "real_param",
    "row",
    "rows_of",
    "scratch",
    "stride",
    "threads",
    "whole_param",
]

WORD = 8
KERNEL, BARRIER, NODE, SOLO = 0, 1 * WORD, 2 * WORD, 3 * WORD
COUNTER = 8 * WORD
PARAMS = 16 * WORD
EXTRA = 24 * WORD
DST = 32 * WORD
OPERAND_WORDS = 9
SOURCES = 5
OPERAND = OPERAND_WORDS * WORD
SRC0, SRC1, SRC2, SRC3, SRC4 = (DST + slot * OPERAND for slot in range(1, SOURCES + 1))
WORDS = 88
"""of one step: whole cache lines"""

THREAD, THREADS, SCRATCH, FAULT, STOP = (word * WORD for word in range(5))
WORKER_WORDS = 8
FAULT_NODE, FAULT_INDEX, FAULT_LIMIT = 1, 2, 3
"""words behind the count of faults: whose, which value, how many there are"""

NEVER = np.int64(1) << 62
CHUNKS = 4
"""pieces of work for each thread: few enough that claiming costs nothing, enough that none waits long"""
MOST_UNITS = 256
"""of one piece: a run that is to stop ends when the pieces at work are done, and a unit may be a row of products"""


@inline
def address(operand: int) -> Any:
    """First byte of an operand, `step + SRC0` for example; 0 where it is absent."""
    return i64_at(operand)


@inline
def extent(operand: int, dim: int) -> Any:
    return i64_at(operand + WORD + WORD * dim)


@inline
def stride(operand: int, dim: int) -> Any:
    """Bytes from one element, or block, to the next."""
    return i64_at(operand + 5 * WORD + WORD * dim)


@inline
def count(operand: int) -> Any:
    """Number of rows: the product of all extents but the first."""
    return extent(operand, 1) * extent(operand, 2) * extent(operand, 3)


@inline
def row(operand: int, i1: int, i2: int, i3: int) -> Any:
    """Address of a row."""
    return address(operand) + i1 * stride(operand, 1) + i2 * stride(operand, 2) + i3 * stride(operand, 3)


@inline
def rows_of(operand: int, number: int) -> Any:
    """(i1, i2, i3) of a row by number."""
    ne1, ne2 = extent(operand, 1), extent(operand, 2)
    rest = number // ne1
    return number - rest * ne1, rest % ne2, rest // ne2


@inline
def whole_param(step: int, word: int) -> Any:
    """op_params word as an integer"""
    return i32_at(step + PARAMS + 4 * word)


@inline
def real_param(step: int, word: int) -> Any:
    """op_params word as a float32"""
    return float_of(i32_at(step + PARAMS + 4 * word))


@inline
def extra(step: int, word: int) -> Any:
    """A word that the device has put there for this kernel."""
    return i64_at(step + EXTRA + WORD * word)


@inline
def threads(worker: int) -> Any:
    return i64_at(worker + THREADS)


@inline
def scratch(worker: int) -> Any:
    """Address of this thread's own bytes, as many as the kernel asked for, 64-byte aligned."""
    return i64_at(worker + SCRATCH)


@inline
def chunk_of(worker: int, units: int) -> Any:
    """How many units to claim at once."""
    return min(MOST_UNITS, max(1, units // (CHUNKS * threads(worker))))


@inline
def claim(step: int, worker: int, chunk: int) -> Any:
    """The first of this thread's next `chunk` units; beyond all units when the run is to stop."""
    if load_acquire(i64_at(worker + STOP)) != 0:
        return NEVER
    return add_release(step + COUNTER, chunk)


@inline
def fault(step: int, worker: int, index: int, limit: int) -> None:
    """Say that a value `index` of an index operand is not in 0 .. limit - 1; the first one is reported."""
    word = i64_at(worker + FAULT)
    if add_release(word, 1) == 0:
        store_i64(word + WORD * FAULT_NODE, i64_at(step + NODE))
        store_i64(word + WORD * FAULT_INDEX, index)
        store_i64(word + WORD * FAULT_LIMIT, limit)
