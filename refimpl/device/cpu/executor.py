"""The loop that runs a program: compiled, without the GIL, the same in every thread.

Rules of this file:
- All threads walk the same steps. A step with its BARRIER word set waits until every thread has finished all steps
  before it. The last one to arrive looks at the stop word and at the count of faults and decides for all whether the
  run goes on, so that all end at the same barrier.
- Worker 0 alone runs the solo steps; the others go on to the next barrier.
- Each worker has a call of its own, a word that counts the runs it takes part in; a run may do without some workers.
- Whoever waits for its next call spins for some microseconds, then sleeps in the kernel until it is woken: an idle
  device burns no processor. Whoever waits for the others of a run lets other threads through for some milliseconds
  first: to be woken takes longer than most steps do.
- `launch` returns at once. When all threads are behind the last barrier, worker 0 writes to the bell, a file
  descriptor on which an event loop can wait.

The board is a block of int64, each word that threads wait for on a cache line of its own, the calls at its end:

    steps, count, bell, one | arrived | meeting, sleepers, verdict | faults: count, node, index, limit |
    for each worker: call, sleepers
"""

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from refimpl.kernels.cpu.compiled import function, inline, plain
from refimpl.kernels.cpu.step import BARRIER, COUNTER, KERNEL, SOLO, STOP, THREAD, WORD, WORDS, threads
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

__all__ = [
    "BELL",
    "BOARD_WORDS",
    "CALL_WORDS",
    "COUNT",
    "FAULTS",
    "ONE",
    "STEPS",
    "launch",
    "leave",
    "run_alone",
    "serve",
]

LINE = 64
PLAN, ARRIVED, MEETING, FAULT_LINE, CALLS = (LINE * line for line in range(5))
SLEEPERS = 8
"""where, behind a word that threads wait for, their number stands who sleep"""
STEPS, COUNT, BELL, ONE = (PLAN + 8 * word for word in range(4))
"""ONE holds the number that is written to the bell"""
VERDICT = MEETING + 16
FAULTS = FAULT_LINE // 8
"""first of the four words about faults, counted in words"""
CALL_WORDS = LINE // 8
BOARD_WORDS = CALLS // 8
"""of a board without its calls"""

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
write = types.ExternalFunction("write", types.int64(types.int32, types.int64, types.int64))


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


@inline
def _call_of(board: int, number: int) -> Any:
    return board + CALLS + LINE * number


@function(types.void(types.int64, types.int64))
def serve(board: int, worker: int) -> None:
    """Life of a worker: run what it is called to, until that is nothing."""
    number, seen = i64_at(worker + THREAD), 0
    while True:
        _wait_while(_call_of(board, number), seen, 0)
        seen += 1
        if i64_at(board + STEPS) == 0:
            return
        _run(board, worker)
        if number == 0:
            write(i64_at(board + BELL), board + ONE, WORD)


@function(types.void(types.int64, types.int64, types.int64, types.int64))
def launch(board: int, workers: int, steps: int, count: int) -> None:
    """Have the first so many workers run `count` steps; the bell says when the last has finished."""
    for number in range(count):
        store_i64(steps + number * STEP_BYTES + COUNTER, 0)
    store_i64(board + STEPS, steps)
    store_i64(board + COUNT, count)
    for number in range(workers):
        _advance(_call_of(board, number))


@function(types.void(types.int64, types.int64))
def leave(board: int, workers: int) -> None:
    """Let all workers return."""
    store_i64(board + STEPS, 0)
    for number in range(workers):
        _advance(_call_of(board, number))


@function(types.void(types.int64, types.int64, types.int64))
def run_alone(worker: int, steps: int, count: int) -> None:
    """Run steps in this thread, beside whatever the workers do; `worker` is one of a single thread."""
    for number in range(count):
        step = steps + number * STEP_BYTES
        store_i64(step + COUNTER, 0)
        _call(i64_at(step + KERNEL), step, worker)
