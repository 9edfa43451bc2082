"""The threads of a device: they wait in compiled code for work, and tell by a file descriptor that it is done.

One run at a time. Workers are Python threads that never take the GIL while they work or wait.

Scratch memory is per worker, counted as all memory of the device is, and kept from run to run up to KEPT bytes; more
is given back when the run that needed it has ended. A run may find in it what an earlier one left, of another
connection perhaps: a kernel reads no byte of scratch that it has not written itself.
"""

import os
import select
import threading

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu.executor import BELL, BOARD_WORDS, CALL_WORDS, FAULTS, ONE, launch, leave, run_alone, serve
from refimpl.device.cpu.memory import CpuAllocation, CpuMemory
from refimpl.kernels.cpu.step import FAULT, SCRATCH, STOP, THREAD, THREADS, WORD, WORKER_WORDS

__all__ = ["Bell", "Fault", "Pool", "StopFlag", "aligned_words", "run_here"]

CACHE_LINE = 64
KEPT = 16 << 20
"""bytes of scratch that a worker keeps between two runs"""


@attrs.frozen
class Fault:
    """A value of an index operand that is out of range: found by the step of `node`, `limit` rows there are."""

    node: int
    index: int
    limit: int


class StopFlag:
    """See refimpl.device.protocol.StopWord."""

    def __init__(self) -> None:
        self._word = aligned_words(1)

    @property
    def address(self) -> int:
        return int(self._word.ctypes.data)

    @property
    def is_set(self) -> bool:
        return bool(self._word[0])

    def set(self) -> None:
        self._word[0] = 1


def aligned_words(count: int) -> NDArray[np.int64]:
    """(count,) zeros that begin on a cache line and share none with anybody else."""
    line = CACHE_LINE // WORD
    room = np.zeros(-(-count // line) * line + line, np.int64)
    first = -room.ctypes.data % CACHE_LINE // WORD
    return room[first : first + count]


class Bell:
    """A file descriptor that is readable once it has been rung, by an 8-byte write of 1."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self.listening = self.ringing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        else:
            self.listening, self.ringing = os.pipe()
            os.set_blocking(self.listening, False)

    def quiet(self) -> bool:
        """Make it unreadable again; whether it had been rung."""
        try:
            return bool(os.read(self.listening, WORD))
        except BlockingIOError:
            return False

    def wait(self) -> None:
        """Wait until it is rung, and quiet it."""
        poll = select.poll()
        poll.register(self.listening, select.POLLIN)
        while not self.quiet():
            poll.poll()

    def close(self) -> None:
        for descriptor in {self.listening, self.ringing}:
            os.close(descriptor)


class Pool:
    """`threads` workers. Their scratch comes from `memory`."""

    def __init__(self, threads: int, memory: CpuMemory) -> None:
        self._memory = memory
        self._board = aligned_words(BOARD_WORDS + CALL_WORDS * threads)
        self._bell = Bell()
        self._board[BELL // WORD], self._board[ONE // WORD] = self._bell.ringing, 1
        self._workers = [_worker(number, threads, self._board) for number in range(threads)]
        self._scratch: list[CpuAllocation] = []
        self._room = -1
        self._turn = threading.Lock()
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name=f"cpu worker {number}", daemon=True)
            for number, worker in enumerate(self._workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def bell(self) -> int:
        """Readable when what `start` has begun is over."""
        return self._bell.listening

    @property
    def size(self) -> int:
        """Number of workers."""
        return len(self._workers)

    def start(self, steps: NDArray[np.int64], scratch: int, stop: StopFlag, threads: int) -> None:
        """Begin to run the records of `steps` (n, WORDS) with the first `threads` workers; `finish` ends it.

        scratch: bytes for each worker. Whoever comes while another run is going on waits for its end. OutOfMemory if
        there is not enough scratch.
        """
        self._turn.acquire()
        try:
            self._make_room(scratch)
        except BaseException:
            self._turn.release()
            raise
        for worker in self._workers[:threads]:
            worker[STOP // WORD], worker[THREADS // WORD] = stop.address, threads
        self._board[FAULTS : FAULTS + 4] = 0
        launch(self._board.ctypes.data, threads, steps.ctypes.data, len(steps))

    def finish(self) -> Fault | None:
        """Wait for the end of the run that has begun; its first fault, if any.

        After a stop or a fault the results mean nothing.
        """
        self._bell.wait()
        count, node, index, limit = self._board[FAULTS : FAULTS + 4].tolist()
        if self._room > KEPT:
            self._give_back()
        self._turn.release()
        return Fault(node, index, limit) if count else None

    def run(self, steps: NDArray[np.int64], scratch: int, stop: StopFlag) -> Fault | None:
        """`start` with all workers, and `finish`."""
        self.start(steps, scratch, stop, self.size)
        return self.finish()

    def close(self) -> None:
        """End the threads."""
        with self._turn:
            if not self._threads:
                return
            leave(self._board.ctypes.data, self.size)
            for thread in self._threads:
                thread.join()
            self._threads.clear()
            self._give_back()
            self._bell.close()

    def _serve(self, worker: NDArray[np.int64]) -> None:
        serve(self._board.ctypes.data, worker.ctypes.data)

    def _make_room(self, scratch: int) -> None:
        if scratch <= self._room:
            return
        self._give_back()
        for worker in self._workers:
            room = self._memory.allocate(scratch)
            self._scratch.append(room)
            worker[SCRATCH // WORD] = room.address
        self._room = scratch

    def _give_back(self) -> None:
        self._room = -1
        while self._scratch:
            self._memory.release(self._scratch.pop())


def run_here(steps: NDArray[np.int64], scratch: int) -> None:
    """Run steps in this thread, whatever a pool is doing; for steps that read no indices."""
    room, stop = aligned_words(-(-scratch // WORD) + 1), StopFlag()
    worker = _worker(0, 1, aligned_words(BOARD_WORDS))
    worker[SCRATCH // WORD], worker[STOP // WORD] = room.ctypes.data, stop.address
    run_alone(worker.ctypes.data, steps.ctypes.data, len(steps))


def _worker(number: int, threads: int, board: NDArray[np.int64]) -> NDArray[np.int64]:
    worker = aligned_words(WORKER_WORDS)
    worker[THREAD // WORD], worker[THREADS // WORD] = number, threads
    worker[FAULT // WORD] = board[FAULTS:].ctypes.data
    return worker
