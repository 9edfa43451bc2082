"""Every case of the contract with all memory flush against a page that nobody may touch: a program, for it may die.

    python -m refimpl.tests.kernels.cpu.flush (start | end) THREADS

Each array begins, or ends, at such a page with the first, or last, byte that any operand has in it; so does each
thread's scratch memory, to 64 bytes. Names each case before it runs, so that the last line tells where it died.
"""

import mmap
import resource
import sys

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu import lower
from refimpl.device.cpu.memory import _protect, aligned_address
from refimpl.device.cpu.pool import Pool
from refimpl.kernels import contract
from refimpl.kernels.cpu.step import SCRATCH, WORD
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.views import byte_index
from refimpl.tests.kernels.cpu_backend import device, run_case

__all__ = ["END", "START", "between_pages", "flush"]

START, END = "start", "end"
LINE = 64
JUNK = 0xFF


def between_pages(data: NDArray[np.uint8], side: str) -> NDArray[np.uint8]:
    """A copy of `data` with a forbidden page right before it, or right behind it, and another on the other side."""
    page = mmap.PAGESIZE
    room = -(-max(data.size, 1) // page) * page
    mapping = mmap.mmap(-1, room + 2 * page)
    _protect(aligned_address(mapping), page)
    _protect(aligned_address(mapping) + page + room, page)
    copy = np.frombuffer(mapping, np.uint8, data.size, page if side == START else page + room - data.size)
    copy[:] = data
    return copy


def flush(case: Case, side: str) -> Case:
    """A copy of `case`; shared arrays stay shared."""
    operands = [case.dst, *(source for source in case.srcs if source is not None)]
    copies: dict[int, tuple[NDArray[np.uint8], int]] = {}
    for data in {id(operand.data): operand.data for operand in operands}.values():
        used = [byte_index(operand) for operand in operands if operand.data is data]
        first = min((int(index.min()) for index in used if index.size), default=0)
        last = max((int(index.max()) for index in used if index.size), default=first - 1)
        copies[id(data)] = between_pages(data[first : last + 1], side), first

    def moved(operand: Operand) -> Operand:
        data, first = copies[id(operand.data)]
        return attrs.evolve(operand, data=data, offset=operand.offset - first)

    srcs = tuple(None if source is None else moved(source) for source in case.srcs)
    return attrs.evolve(case, srcs=srcs, dst=moved(case.dst), params=case.params.copy())


class _Rooms:
    """Scratch memory of a pool, new for each run and no larger than asked for."""

    def __init__(self, pool: Pool, side: str) -> None:
        self._pool, self._side = pool, side

    def __call__(self, scratch: int) -> None:
        junk = np.full(-(-scratch // LINE) * LINE, JUNK, np.uint8)
        self._rooms = [between_pages(junk, self._side) for _ in self._pool._workers]
        for worker, room in zip(self._pool._workers, self._rooms, strict=True):
            worker[SCRATCH // WORD] = room.ctypes.data


def main(side: str, threads: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pool = device(threads)._pool
    pool._make_room = _Rooms(pool, side)  # type: ignore[method-assign]
    lower.SMALL = 0
    contract.guarded = lambda case: flush(case, side)
    for case in contract.cases():
        print(case.op.name, case.label, flush=True)
        contract.check(run_case, case, threads)
    for case in contract.fault_cases():
        print("fault", case.op.name, case.label, flush=True)
        contract.check_fault(run_case, case, threads)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
