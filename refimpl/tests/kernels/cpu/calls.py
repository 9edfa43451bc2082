"""One kernel called by its address, as the executor calls it, over arrays that the test owns."""

import ctypes
from collections.abc import Sequence

from refimpl.device.cpu.pool import aligned_words
from refimpl.kernels.cpu import step as layout
from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.operand import Operand

__all__ = ["call"]


def call(kernel: Kernel, dst: Operand | None, srcs: Sequence[Operand], extra: Sequence[int] = ()) -> None:
    """Run `kernel` in this thread. Scratch is as large as the first source."""
    step, worker = aligned_words(layout.WORDS), aligned_words(layout.WORKER_WORDS)
    for slot, operand in enumerate((dst, *srcs)):
        if operand is not None:
            begin = layout.DST // layout.WORD + layout.OPERAND_WORDS * slot
            step[begin] = operand.data.ctypes.data + operand.offset
            step[begin + 1 : begin + 5], step[begin + 5 : begin + 9] = operand.ne, operand.nb
    step[layout.EXTRA // layout.WORD :][: len(extra)] = extra
    scratch, words = aligned_words(srcs[0].data.size // layout.WORD + 1), aligned_words(layout.WORKER_WORDS)
    worker[layout.THREADS // layout.WORD] = 1
    worker[layout.SCRATCH // layout.WORD] = scratch.ctypes.data
    worker[layout.FAULT // layout.WORD] = worker[layout.STOP // layout.WORD] = words.ctypes.data
    ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(kernel.address)(step.ctypes.data, worker.ctypes.data)
