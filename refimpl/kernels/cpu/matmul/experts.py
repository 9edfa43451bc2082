"""MUL_MAT_ID: each row of activations times the matrices of the experts that it was sent to.

    W (k, m, experts), X (k, r, t), ids (u, t) -> dst (m, u, t): dst[:, e, j] = W[ids[e, j]] . X[:, e mod r, j]

Rules of this file:
- First one thread deals the slots (e, j) out to their experts (`deal_slots`). Each id is read once and checked before
  it counts; for one outside of the experts a fault is reported and its slot is left out.
- A product is MUL_MAT's: for a slice of one expert's rows and a panel of its slots the kernel of the weights' type is
  called as if that were all there is, on a step of this thread's own. So every type that MUL_MAT takes is taken here,
  packed weights too, with the same bits.
- A panel of several slots is gathered first, so that the kernel meets its columns one behind the other, and its results
  are spread afterwards; a single slot, as in decoding, is used and written where it lies.

The list of slots, int64: how many experts have slots | for each of these: expert, first slot, one past the last |
slots by expert, number e + u j | room for the ids and for a count for each expert.

Extra words of the product: activations as blocks, or 0 where the kernel takes F32 rows | bytes of a row of activations
| the list | the kernel | bytes of scratch before those of the kernel.
"""

from typing import Any

from llvmlite import ir
from numba import types

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.moves import move_1
from refimpl.kernels.cpu.simd import operation
from refimpl.kernels.cpu.step import (
    COUNTER,
    DST,
    EXTRA,
    FAULT,
    NODE,
    PARAMS,
    SCRATCH,
    SRC0,
    SRC1,
    STOP,
    THREAD,
    THREADS,
    WORD,
    WORDS,
    WORKER_WORDS,
    chunk_of,
    claim,
    extent,
    extra,
    fault,
    row,
    scratch,
    stride,
)
from refimpl.kernels.cpu.words import I64, i32_at, i64_at, pointer, store_i64

__all__ = ["KERNEL_WORD", "deal_slots", "list_bytes", "mul_mat_by_expert", "scratch_bytes"]

BLOCKS, ROW_BYTES, LIST, KERNEL_WORD, OWN_SCRATCH = range(5)
"""extra words"""
LIST_OF_SLOTS, EXPERTS = 0, 1
"""extra words of `deal_slots`"""

F32 = 4
ROWS = 64
"""of a slice: whole groups of packed rows, that stay in the second-level cache while panels pass by"""
PANEL = 16
"""slots of a panel"""
RUN = 3 * WORD
"""expert, first, end"""
OWN_STEP, OWN_WORKER, OWN_ROWS = 0, WORDS * WORD, (WORDS + WORKER_WORDS) * WORD
"""in scratch: the step and the worker that the called kernel sees, then gathered activations, then results"""

_call = operation(
    types.void,
    [types.int64] * 3,
    lambda b, kernel, step, worker: b.call(
        pointer(b, kernel, ir.FunctionType(ir.VoidType(), [I64, I64])), [step, worker]
    ),
)
"""(kernel, step, worker): call the kernel at an address"""


def list_bytes(experts: int, slots: int) -> int:
    """Of the list of slots."""
    return WORD * (1 + 4 * experts + 2 * slots)


def scratch_bytes(row_bytes: int) -> int:
    """For each thread, before what the called kernel asks for; row_bytes are those of a row of activations."""
    return -(-(OWN_ROWS + PANEL * (row_bytes + ROWS * F32)) // 64) * 64


@inline
def _count_slots(step: int, worker: int, ids: int, counts: int) -> None:
    """Copy the ids, -1 for those that are outside, and count them by expert."""
    experts, u, t = extra(step, EXPERTS), extent(step + SRC0, 0), extent(step + SRC0, 1)
    for expert in range(experts):
        store_i64(counts + WORD * expert, 0)
    for j in range(t):
        for e in range(u):
            expert = i32_at(row(step + SRC0, j, 0, 0) + e * stride(step + SRC0, 0))
            if 0 <= expert < experts:
                store_i64(counts + WORD * expert, i64_at(counts + WORD * expert) + 1)
            else:
                fault(step, worker, expert, experts)
                expert = -1
            store_i64(ids + WORD * (e + u * j), expert)


@kernel
def deal_slots(step: int, worker: int) -> None:
    """src0 I32 ids (u, t) -> the list of slots at extra word 0, for as many experts as extra word 1 says"""
    if claim(step, worker, 1) != 0:
        return
    experts, total = extra(step, EXPERTS), extent(step + SRC0, 0) * extent(step + SRC0, 1)
    runs = extra(step, LIST_OF_SLOTS) + WORD
    slots = runs + RUN * experts
    ids = slots + WORD * total
    counts = ids + WORD * total
    _count_slots(step, worker, ids, counts)
    used, first = 0, 0
    for expert in range(experts):
        number = i64_at(counts + WORD * expert)
        store_i64(counts + WORD * expert, first)
        if number > 0:
            store_i64(runs + RUN * used, expert)
            store_i64(runs + RUN * used + WORD, first)
            store_i64(runs + RUN * used + 2 * WORD, first + number)
            used, first = used + 1, first + number
    store_i64(extra(step, LIST_OF_SLOTS), used)
    for slot in range(total):
        expert = i64_at(ids + WORD * slot)
        if expert >= 0:
            place = i64_at(counts + WORD * expert)
            store_i64(slots + WORD * place, slot)
            store_i64(counts + WORD * expert, place + 1)


@inline
def _activations(step: int, slot: int) -> Any:
    """Address of the row of activations of a slot."""
    u, r = extent(step + DST, 1), extent(step + SRC1, 1)
    e, j = slot % u, slot // u
    if extra(step, BLOCKS) != 0:
        return extra(step, BLOCKS) + (e % r + r * j) * extra(step, ROW_BYTES)
    return row(step + SRC1, e % r, j, 0)


@inline
def _result(step: int, slot: int) -> Any:
    """Address of the column of results of a slot."""
    u = extent(step + DST, 1)
    return row(step + DST, slot % u, slot // u, 0)


@inline
def _describe(operand: int, at: int, extents: Any, strides: Any) -> None:
    """An operand of two dimensions."""
    store_i64(operand, at)
    store_i64(operand + WORD, extents[0])
    store_i64(operand + 2 * WORD, extents[1])
    store_i64(operand + 3 * WORD, 1)
    store_i64(operand + 4 * WORD, 1)
    store_i64(operand + 5 * WORD, strides[0])
    store_i64(operand + 6 * WORD, strides[1])
    store_i64(operand + 7 * WORD, strides[1] * extents[1])
    store_i64(operand + 8 * WORD, strides[1] * extents[1])


@inline
def _prepare(step: int, worker: int) -> Any:
    """The step and the worker that the called kernel sees, as far as they are the same for all panels."""
    own = scratch(worker) + OWN_STEP
    for word in range(WORDS):
        store_i64(own + WORD * word, 0)
    store_i64(own + NODE, i64_at(step + NODE))
    for word in range((EXTRA - PARAMS) // WORD):
        store_i64(own + PARAMS + WORD * word, i64_at(step + PARAMS + WORD * word))
    theirs = scratch(worker) + OWN_WORKER
    store_i64(theirs + THREAD, i64_at(worker + THREAD))
    store_i64(theirs + THREADS, 1)
    store_i64(theirs + SCRATCH, scratch(worker) + extra(step, OWN_SCRATCH))
    store_i64(theirs + FAULT, i64_at(worker + FAULT))
    store_i64(theirs + STOP, i64_at(worker + STOP))
    return own, theirs


@inline
def _multiply(step: int, own: Any, weights: Any, x: int, out: Any) -> None:
    """weights = (address, rows), x the first of out[1] columns of activations, out = (address, columns, stride)."""
    step_, worker_ = own
    k = extent(step + SRC0, 0)
    store_i64(step_ + COUNTER, 0)
    store_i64(step_ + EXTRA, x)
    _describe(step_ + DST, out[0], (weights[1], out[1]), (F32, out[2]))
    _describe(step_ + SRC0, weights[0], (k, weights[1]), (stride(step + SRC0, 0), stride(step + SRC0, 1)))
    _describe(step_ + SRC1, x, (k, out[1]), (F32, extra(step, ROW_BYTES)))
    _call(extra(step, KERNEL_WORD), step_, worker_)


@inline
def _panel(step: int, worker: int, own: Any, weights: Any, slots: Any) -> None:
    """weights = (address, rows, number of the first row), slots = (address of the first, how many)."""
    size, n, below = extra(step, ROW_BYTES), slots[1], F32 * weights[2]
    if n == 1:
        slot = i64_at(slots[0])
        column = _result(step, slot) + below
        _multiply(step, own, weights, _activations(step, slot), (column, 1, F32 * weights[1]))
        return
    gathered = scratch(worker) + OWN_ROWS
    results, column_bytes = gathered + PANEL * size, F32 * weights[1]
    for i in range(n):
        move_1(gathered + i * size, _activations(step, i64_at(slots[0] + WORD * i)), size)
    _multiply(step, own, weights, gathered, (results, n, column_bytes))
    for i in range(n):
        move_1(_result(step, i64_at(slots[0] + WORD * i)) + below, results + i * column_bytes, column_bytes)


@kernel
def mul_mat_by_expert(step: int, worker: int) -> None:
    """src0 weights, src1 F32 activations; the other operands are extra words"""
    listed, m = extra(step, LIST), extent(step + SRC0, 1)
    runs, slots = listed + WORD, listed + WORD + RUN * extent(step + SRC0, 2)
    slices = (m + ROWS - 1) // ROWS
    own = _prepare(step, worker)
    units = i64_at(listed) * slices
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            number = unit // slices
            first = (unit - number * slices) * ROWS
            run = runs + RUN * number
            at = row(step + SRC0, first, i64_at(run), 0)
            slot, end = i64_at(run + WORD), i64_at(run + 2 * WORD)
            while slot < end:
                n = min(PANEL, end - slot)
                _panel(step, worker, own, (at, min(ROWS, m - first), first), (slots + WORD * slot, n))
                slot += n
        start = claim(step, worker, chunk)
