"""The loop that runs a program: compiled, without the GIL, the same in every thread.

Rules of this file:
- All threads walk the same steps. A step with its BARRIER word set waits until every thread has finished all steps
  before it. The last one to arrive looks at the stop word and at the count of faults and decides for all whether the
  run goes on, so that all end at the same barrier.
- Worker 0 alone runs the solo steps; the others go on to the next barrier.
- Whoever waits for the next run spins for some microseconds, then sleeps in the kernel until it is woken: an idle
  device burns no processor. Whoever waits for the others of a run lets other threads through for some milliseconds
  first: to be woken takes longer than most steps do.
- The caller of `launch` is worker 0; it returns when all threads are behind the last barrier.

The board is a block of int64, each word that threads wait for on a cache line of its own:

    generation, sleepers | steps, count | arrived | meeting, sleepers, verdict | faults: count, node, index, limit
"""

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refimpl.kernels.cpu.compiled import function, inline, plain
from refimpl.kernels.cpu.step import BARRIER, COUNTER, KERNEL, SOLO, STOP, THREAD, WORDS, threads
from refimpl.kernels.cpu.words import (
    I64,
    add_release,
    i64_at,
    load_acquire,
    pause,
    pointer,
    store_i64,
    store_release,
)

__all__ = ["BOARD_WORDS", "COUNT", "FAULTS", "STEPS", "launch", "leave", "run_alone", "serve"]

LINE = 64
GENERATION, PLAN, ARRIVED, MEETING, FAULT_LINE = (LINE * line for line in range(5))
SLEEPERS = 8
"""where, behind a word that threads wait for, their number stands who sleep"""
STEPS, COUNT = PLAN, PLAN + 8
VERDICT = MEETING + 16
FAULTS = FAULT_LINE // 8
"""first of the four words about faults, counted in words"""
BOARD_WORDS = 5 * LINE // 8

STEP_BYTES = WORDS * 8
SPINS = 2000
"""turns of a waiting loop before others are let through: some 20 microseconds"""
YIELDS = 5000
"""turns after that, while others of the same run are waited for, before the thread sleeps"""
FUTEX = {("Linux", "x86_64"): 202, ("Linux", "aarch64"): 98}.get((platform.system(), platform.machine()), 0)
"""number of the system call; 0 where it is not known, then waiting only yields"""
FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE = 128, 129
LOW_WORD = 0xFFFF_FFFF
ALL = 1 << 30

sched_yield = types.ExternalFunction("sched_yield", types.int32())
syscall = types.ExternalFunction("syscall", types.int64(*[types.int64] * 7))


@intrinsic
def _call(typing: Any, kernel: Any, step: Any, worker: Any) -> Any:
    """Call the kernel at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [I64, I64])
        builder.call(pointer(builder, arguments[0], kind), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@inline
def _wait_while(word: int, seen: int, yields: int) -> None:
    """Wait until the number at `word` is no longer `seen`: spin, yield so often, then sleep."""
    turns = 0
    while load_acquire(word) == seen:
        turns += 1
        if turns <= SPINS:
            pause()
        elif turns <= SPINS + yields or FUTEX == 0:
            sched_yield()
        else:
            add_release(word + SLEEPERS, 1)
            if load_acquire(word) == seen:
                syscall(FUTEX, word, FUTEX_WAIT_PRIVATE, seen & LOW_WORD, 0, 0, 0)
            add_release(word + SLEEPERS, -1)


@inline
def _advance(word: int) -> None:
    """Count `word` up, with all that was written before, and wake whoever sleeps."""
    add_release(word, 1)
    if FUTEX != 0 and load_acquire(word + SLEEPERS) != 0:
        syscall(FUTEX, word, FUTEX_WAKE_PRIVATE, ALL, 0, 0, 0)


@inline
def _meet(board: int, worker: int) -> Any:
    """Wait for all threads; 0 if the run goes on."""
    meeting = load_acquire(board + MEETING)
    if add_release(board + ARRIVED, 1) == threads(worker) - 1:
        ended = load_acquire(i64_at(worker + STOP)) != 0 or load_acquire(board + FAULT_LINE) != 0
        store_i64(board + VERDICT, 1 if ended else 0)
        store_release(board + ARRIVED, 0)
        _advance(board + MEETING)
    else:
        _wait_while(board + MEETING, meeting, YIELDS)
    return i64_at(board + VERDICT)


@plain
def _run(board: int, worker: int) -> None:
    step, first = i64_at(board + STEPS), i64_at(worker + THREAD) == 0
    end = step + i64_at(board + COUNT) * STEP_BYTES
    while step < end:
        if i64_at(step + BARRIER) != 0 and _meet(board, worker) != 0:
            return
        if first or i64_at(step + SOLO) == 0:
            _call(i64_at(step + KERNEL), step, worker)
        step += STEP_BYTES
    _meet(board, worker)


@function(types.void(types.int64, types.int64, types.int64))
def serve(board: int, worker: int, seen: int) -> None:
    """Life of a worker other than 0, from the generation `seen` on: run what is published until it is nothing."""
    while True:
        _wait_while(board + GENERATION, seen, 0)
        seen += 1
        if i64_at(board + STEPS) == 0:
            return
        _run(board, worker)


@function(types.void(types.int64, types.int64, types.int64, types.int64))
def launch(board: int, worker: int, steps: int, count: int) -> None:
    """Run `count` steps in all threads and return when the last has finished; `worker` is worker 0."""
    for number in range(count):
        store_i64(steps + number * STEP_BYTES + COUNTER, 0)
    store_i64(board + STEPS, steps)
    store_i64(board + COUNT, count)
    if threads(worker) > 1:
        _advance(board + GENERATION)
    _run(board, worker)


@function(types.void(types.int64))
def leave(board: int) -> None:
    """Let the workers return."""
    store_i64(board + STEPS, 0)
    _advance(board + GENERATION)


@function(types.void(types.int64, types.int64, types.int64))
def run_alone(worker: int, steps: int, count: int) -> None:
    """Run steps in this thread, beside whatever the workers do; `worker` is one of a single thread."""
    for number in range(count):
        step = steps + number * STEP_BYTES
        store_i64(step + COUNTER, 0)
        _call(i64_at(step + KERNEL), step, worker)
