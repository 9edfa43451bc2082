"""What an earlier run left in a thread's scratch, of another connection perhaps, is in no result."""

from functools import cache

import numpy as np
import pytest

from refimpl.device.cpu.pool import Pool
from refimpl.kernels import contract
from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.evaluate import DEFINITIONS
from refimpl.tests.kernels.cpu_backend import run_case
from spec.names import Op

LEFT = (0x00, 0xFF, 0x41)
"""zeros, numbers that are none, and small ones, as bytes"""
THREADS = 2


@cache
def cases() -> tuple[Case, ...]:
    return tuple(contract.cases())


class Soiled:
    """Every byte of scratch has the value `left` when a run begins; `bytes` counts them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = 0
        self.bytes = 0
        make_room = Pool._make_room

        def soil(pool: Pool, scratch: int) -> None:
            make_room(pool, scratch)
            for room in pool._scratch:
                room.view(0, room.size)[:] = bytes([self.left]) * room.size
                self.bytes += room.size

        monkeypatch.setattr(Pool, "_make_room", soil)


@pytest.fixture
def soiled(monkeypatch: pytest.MonkeyPatch) -> Soiled:
    return Soiled(monkeypatch)


@pytest.mark.parametrize("op", DEFINITIONS, ids=lambda op: op.name)
def test_scratch_is_written_before_it_is_read(soiled: Soiled, op: Op) -> None:
    for case in cases():
        if case.op != op:
            continue
        results = []
        for soiled.left in LEFT:
            copy = contract.guarded(case)
            run_case(copy, THREADS)
            results.append(copy.dst.data.copy())
        assert all(np.array_equal(results[0], other) for other in results[1:]), case


def test_there_is_scratch_to_soil(soiled: Soiled) -> None:
    for case in cases():
        if case.op == Op.FLASH_ATTN_EXT:
            run_case(contract.guarded(case), THREADS)
    assert soiled.bytes > 0
