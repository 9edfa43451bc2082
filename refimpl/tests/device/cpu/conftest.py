"""Devices whose memory is guarded: what a kernel damages is found when the memory is released.

Tests are small, and the device leaves small steps to one thread; so all steps are shared but with the last parameter.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from refimpl.device.cpu import CpuDevice, lower
from refimpl.tests.device.cpu.stage import Stage

PARAMETERS = {
    "1 thread": (1, 0),
    "2 threads": (2, 0),
    "5 threads": (5, 0),
    "2 threads as in use": (2, lower.SMALL),
}


@contextmanager
def _made(kind: str) -> Iterator[CpuDevice]:
    threads, small = PARAMETERS[kind]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower, "SMALL", small)
        made = CpuDevice(threads, guard=True)
        yield made
        made.close()


@pytest.fixture(params=PARAMETERS)
def device(request: pytest.FixtureRequest) -> Iterator[CpuDevice]:
    """One for each test."""
    with _made(request.param) as made:
        yield made


@pytest.fixture(scope="module", params=PARAMETERS)
def shared(request: pytest.FixtureRequest) -> Iterator[CpuDevice]:
    """One for all examples of Hypothesis."""
    with _made(request.param) as made:
        yield made


@pytest.fixture
def stage(device: CpuDevice) -> Iterator[Stage]:
    """Buffers that are released, and so looked at, when the test has ended."""
    made = Stage(device)
    yield made
    for allocation in made.memory.values():
        device.release(allocation)
