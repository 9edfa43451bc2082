"""The same program with something wrong in the engine: what canaries and forbidden pages are there to find.

python -m refimpl.tests.canaries.spoiled KIND ...
"""

import ctypes
import sys
from collections.abc import Callable, Mapping

from refimpl.device.cpu.lower import _Lowering
from refimpl.device.cpu.pool import Pool
from refimpl.device.cpu.program import Workspace
from refimpl.kernels.operand import Case
from refimpl.tests.canaries.__main__ import main
from refimpl.tests.kernels import cpu_backend

__all__ = ["KINDS"]

TOO_LITTLE = 128
"""bytes that are lacking"""


def _little_scratch() -> None:
    right = Pool._make_room
    Pool._make_room = lambda self, scratch: right(self, max(0, scratch - TOO_LITTLE))  # type: ignore[method-assign]


def _little_workspace() -> None:
    right = _Lowering._workspace

    def less(self: _Lowering, size: int) -> Workspace:
        return right(self, max(0, size - TOO_LITTLE))

    _Lowering._workspace = less  # type: ignore[method-assign]


def _beside_the_result(touch: Callable[[int], object]) -> None:
    right = cpu_backend.run_case

    def run(case: Case, threads: int) -> None:
        right(case, threads)
        touch(case.dst.data.ctypes.data + case.dst.data.size)
        touch(case.dst.data.ctypes.data - 1)

    cpu_backend.run_case = run


KINDS: Mapping[str, Callable[[], None]] = {
    "little scratch": _little_scratch,
    "little workspace": _little_workspace,
    "writes beside the result": lambda: _beside_the_result(lambda address: ctypes.memset(address, 0, 1)),
    "reads beside the result": lambda: _beside_the_result(lambda address: ctypes.string_at(address, 1)),
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
