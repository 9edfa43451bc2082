"""The threads of a device: worker 0 is whoever calls `run`, the others wait in compiled code for work.

One run at a time; a second caller waits for its turn. Workers are Python threads that never take the GIL while they
work or wait. Scratch memory is per worker and grows to what the largest program asks for.
"""

import threading

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu.executor import BOARD_WORDS, FAULTS, launch, leave, run_alone, serve
from refimpl.kernels.cpu.step import FAULT, SCRATCH, STOP, THREAD, THREADS, WORD, WORKER_WORDS

__all__ = ["Fault", "Pool", "StopFlag", "aligned_words", "run_here"]

CACHE_LINE = 64


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


class Pool:
    """`threads` workers, of which `threads` - 1 are threads of their own."""

    def __init__(self, threads: int) -> None:
        self._board = aligned_words(BOARD_WORDS)
        self._workers = [_worker(number, threads, self._board) for number in range(threads)]
        self._scratch: list[NDArray[np.int64]] = []
        self._room = -1
        self._turn = threading.Lock()
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name=f"cpu worker {number}", daemon=True)
            for number, worker in enumerate(self._workers)
            if number
        ]
        for thread in self._threads:
            thread.start()

    def run(self, steps: NDArray[np.int64], scratch: int, stop: StopFlag) -> Fault | None:
        """Run the records of `steps` (n, WORDS), with `scratch` bytes for each worker; the first fault, if any.

        After a stop or a fault the results mean nothing. MemoryError if there is not enough scratch.
        """
        with self._turn:
            self._make_room(scratch)
            for worker in self._workers:
                worker[STOP // WORD] = stop.address
            faults = self._board[FAULTS : FAULTS + 4]
            faults[:] = 0
            launch(self._board.ctypes.data, self._workers[0].ctypes.data, steps.ctypes.data, len(steps))
            return Fault(*faults[1:].tolist()) if faults[0] else None

    def close(self) -> None:
        """End the threads."""
        with self._turn:
            if self._threads:
                leave(self._board.ctypes.data)
            for thread in self._threads:
                thread.join()
            self._threads.clear()

    def _serve(self, worker: NDArray[np.int64]) -> None:
        serve(self._board.ctypes.data, worker.ctypes.data, 0)

    def _make_room(self, scratch: int) -> None:
        if scratch <= self._room:
            return
        self._scratch = [aligned_words(-(-scratch // WORD) + 1) for _ in self._workers]
        for worker, room in zip(self._workers, self._scratch, strict=True):
            worker[SCRATCH // WORD] = room.ctypes.data
        self._room = scratch


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
