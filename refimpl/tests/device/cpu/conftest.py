"""A device of its own for each test, its memory guarded: what a kernel damages is found when the memory is released."""

from collections.abc import Iterator

import pytest

from refimpl.device.cpu import CpuDevice
from refimpl.tests.device.cpu.stage import Stage


@pytest.fixture(params=[1, 2, 5], ids=lambda threads: f"{threads} threads")
def device(request: pytest.FixtureRequest) -> Iterator[CpuDevice]:
    made = CpuDevice(request.param, guard=True)
    yield made
    made.close()


@pytest.fixture
def stage(device: CpuDevice) -> Iterator[Stage]:
    """Buffers that are released, and so looked at, when the test has ended."""
    made = Stage(device)
    yield made
    for allocation in made.memory.values():
        device.release(allocation)
