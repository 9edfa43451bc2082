"""Memory is zero, counted when it is promised, gone when nobody holds it; guarded, it kills whoever leaves it."""

import ctypes
import gc
import mmap
import signal
import subprocess
import sys
import threading
import weakref
from types import SimpleNamespace

import psutil
import pytest

from refimpl.device.cpu.memory import ALIGNMENT, CpuAllocation, CpuMemory, MemoryDamaged
from refimpl.errors import OutOfMemory
from refimpl.tests.project.tree import ROOT

MIB = 1 << 20
CAPACITY = 1 << 30
"""none of it is touched"""
PATIENCE = 20.0
"""seconds after which whoever waits has found a fault"""

TRESPASS = """
import ctypes, resource, sys
from refimpl.device.cpu.memory import CpuMemory
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
memory = CpuMemory(guard=True)
allocation = memory.allocate(4096)
view = allocation.view(0, 4096)
view[:] = b"x" * 4096
assert ctypes.string_at(allocation.address, 4096) == b"x" * 4096
if sys.argv[1] == "released":
    memory.release(allocation)
print("inside", flush=True)
ctypes.string_at(allocation.address + int(sys.argv[2]), 1)
"""


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What psutil says about memory; a test may change it."""
    figures = SimpleNamespace(total=2 * CAPACITY, available=CAPACITY)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: figures)
    return figures


@pytest.fixture(params=[False, True], ids=["plain", "guarded"])
def memory(request: pytest.FixtureRequest) -> CpuMemory:
    return CpuMemory(request.param)


@pytest.mark.parametrize("size", [1, 63, 64, 4096, 4097, 3 * MIB + 5])
def test_memory_is_aligned_zero_and_writable(memory: CpuMemory, size: int) -> None:
    allocation = memory.allocate(size)
    assert allocation.size == size
    assert allocation.address % ALIGNMENT == 0
    assert not any(allocation.view(0, size))
    allocation.view(size - 1, 1)[:] = b"!"
    assert ctypes.string_at(allocation.address + size - 1, 1) == b"!"
    memory.release(allocation)


def test_no_bytes_are_an_allocation_too(memory: CpuMemory) -> None:
    before = memory._promised
    allocation = memory.allocate(0)
    assert (allocation.size, len(allocation.view(0, 0))) == (0, 0)
    memory.release(allocation)
    assert memory._promised == before


def test_promises_are_counted_although_nobody_has_touched_them(system: SimpleNamespace) -> None:
    memory = CpuMemory(guard=False)
    held = [memory.allocate(CAPACITY // 4) for _ in range(4)]
    assert memory.state().free == 0
    assert memory.state().total == 2 * CAPACITY
    with pytest.raises(OutOfMemory, match="1 bytes, 0 are free"):
        memory.allocate(1)
    memory.release(held.pop())
    assert memory.state().free == CAPACITY // 4
    held.append(memory.allocate(CAPACITY // 4))
    for allocation in held:
        memory.release(allocation)
    assert memory.state().free == CAPACITY


def test_what_others_have_taken_meanwhile_is_not_free(system: SimpleNamespace) -> None:
    memory = CpuMemory(guard=False)
    system.available = 1000
    assert memory.state().free == 1000
    with pytest.raises(OutOfMemory, match="1001 bytes, 1000 are free"):
        memory.allocate(1001)


def test_what_the_system_refuses_is_not_counted(system: SimpleNamespace) -> None:
    """Promised within the figures, but more than any address space holds."""
    system.available = 1 << 62
    memory = CpuMemory(guard=False)
    with pytest.raises(OutOfMemory, match=str(1 << 61)):
        memory.allocate(1 << 61)
    assert memory.state().free == 1 << 62


def test_a_system_without_huge_pages_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 9999)
    memory = CpuMemory(guard=False)
    allocation = memory.allocate(4 * MIB)
    assert not any(allocation.view(0, 4 * MIB))
    memory.release(allocation)


def test_released_memory_goes_back_at_once() -> None:
    memory = CpuMemory(guard=False)
    allocation = memory.allocate(MIB)
    mapping = weakref.ref(allocation._mapping)
    memory.release(allocation)
    assert mapping() is None
    assert len(allocation.view(0, 0)) == 0


def test_a_view_outlives_the_release_and_then_the_memory_goes() -> None:
    memory = CpuMemory(guard=False)
    allocation = memory.allocate(MIB)
    mapping = weakref.ref(allocation._mapping)
    view = allocation.view(10, 5)
    view[:] = b"bytes"
    memory.release(allocation)
    assert memory._promised == 0
    assert bytes(view) == b"bytes"
    del view
    assert mapping() is None


@pytest.mark.parametrize("at", [-1, -64, 100, 127])
def test_a_byte_changed_beside_guarded_memory_is_found_when_it_is_released(at: int) -> None:
    memory = CpuMemory(guard=True)
    allocation = memory.allocate(100)
    ctypes.memset(allocation.address + at, 0, 1)
    with pytest.raises(MemoryDamaged, match="100 bytes"):
        memory.release(allocation)
    assert memory._promised == 0


@pytest.mark.parametrize(("when", "step"), [("live", "4096"), ("live", "-1"), ("released", "0"), ("released", "4095")])
def test_who_leaves_guarded_memory_or_comes_back_to_it_dies(when: str, step: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRESPASS, when, step], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("inside\n", -signal.SIGSEGV), done.stderr


def test_memory_that_the_collector_gives_back_in_the_middle_of_an_allocation_is_no_deadlock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A program dies in a cycle, with an exception perhaps; its workspace is released wherever that comes to light."""
    memory = CpuMemory(guard=False)
    figures = psutil.virtual_memory()

    class Owner:
        def __init__(self) -> None:
            self.myself = self
            weakref.finalize(self, memory.release, memory.allocate(MIB))

    def collecting() -> object:
        gc.collect()
        return figures

    Owner()
    monkeypatch.setattr(psutil, "virtual_memory", collecting)
    done: list[CpuAllocation] = []
    thread = threading.Thread(target=lambda: done.append(memory.allocate(1)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (memory._promised, len(done)) == (1, 1)
