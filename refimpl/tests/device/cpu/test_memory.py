"""Memory is zero, counted when it is promised, gone when nobody holds it; guarded, it kills whoever leaves it."""

import ctypes
import gc
import mmap
import signal
import subprocess
import sys
import threading
import weakref

import pytest

from refimpl.device.cpu.memory import ALIGNMENT, CpuAllocation, CpuMemory, MemoryDamaged
from refimpl.device.cpu.room import RESERVED_PART, UNLIMITED, Promises, System
from refimpl.errors import OutOfMemory
from refimpl.tests.project.tree import ROOT

MIB = 1 << 20
CAPACITY = 15 << 26
"""what there is, 16 parts of 64 MiB, less the reserve; none of it is touched"""
WHOLE = CAPACITY // (RESERVED_PART - 1) * RESERVED_PART
PAGE = mmap.PAGESIZE
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


LIMITED = """
import resource, sys
from refimpl.device.cpu.memory import CpuMemory
from refimpl.errors import OutOfMemory
kind = getattr(resource, sys.argv[1])
field = {"RLIMIT_AS": 0, "RLIMIT_DATA": 5}[sys.argv[1]]
used = int(open("/proc/self/statm").read().split()[field]) * resource.getpagesize()
resource.setrlimit(kind, (used + (1 << 29), resource.RLIM_INFINITY))
memory, held = CpuMemory(guard=False), []
try:
    while True:
        held.append(memory.allocate(1 << 24))
except OutOfMemory as error:
    assert "are free" in str(error), error
    spare = bytearray(1 << 24)
    print("refused", len(held) << 24)
"""


class Figures(System):
    """What the system says about memory; a test may change it."""

    def __init__(self, available: int = WHOLE) -> None:
        self.free = available
        self.resident = 0

    def total(self) -> int:
        return 2 * CAPACITY

    def available(self) -> int:
        return self.free

    def mappable(self) -> int:
        return UNLIMITED

    def touched(self) -> int:
        return self.resident


@pytest.fixture
def system() -> Figures:
    return Figures()


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


def test_promises_are_counted_although_nobody_has_touched_them(system: Figures) -> None:
    memory = CpuMemory(guard=False, shared=Promises(system))
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


def test_a_byte_takes_a_page(system: Figures) -> None:
    memory = CpuMemory(guard=False, shared=Promises(system))
    held = [memory.allocate(1) for _ in range(3)]
    assert memory.state().free == CAPACITY - 3 * PAGE
    for allocation in held:
        memory.release(allocation)
    assert memory.state().free == CAPACITY


def test_what_others_have_taken_meanwhile_is_not_free(system: Figures) -> None:
    memory = CpuMemory(guard=False, shared=Promises(system))
    system.free -= CAPACITY - 3 * PAGE + 1
    assert memory.state().free == 2 * PAGE
    with pytest.raises(OutOfMemory, match=f"{2 * PAGE + 1} bytes, {2 * PAGE} are free"):
        memory.allocate(2 * PAGE + 1)


def test_what_is_promised_and_not_touched_yet_is_not_free_for_others(system: Figures) -> None:
    """Another process takes half of what was there; the rest is what the promise will need."""
    memory = CpuMemory(guard=False, shared=Promises(system))
    promised = memory.allocate(CAPACITY // 2)
    system.free -= CAPACITY // 2
    assert memory.state().free == 0
    system.free -= CAPACITY // 4
    system.resident += CAPACITY // 4
    assert memory.state().free == 0
    memory.release(promised)
    assert memory.state().free == CAPACITY // 4


def test_two_devices_of_a_process_share_one_memory(system: Figures) -> None:
    shared = Promises(system)
    one, other = CpuMemory(guard=False, shared=shared), CpuMemory(guard=False, shared=shared)
    allocation = one.allocate(CAPACITY // 2)
    assert other.state().free == CAPACITY // 2
    with pytest.raises(OutOfMemory):
        other.allocate(CAPACITY // 2 + 1)
    one.release(allocation)
    other.release(other.allocate(CAPACITY))


def test_a_reserve_is_never_promised() -> None:
    memory = CpuMemory(guard=False, shared=Promises(Figures(1 << 40)))
    assert (1 << 40) - (1 << 31) < memory.state().free < 1 << 40


def test_no_more_is_given_than_one_is_told_to_give(system: Figures) -> None:
    memory = CpuMemory(guard=False, limit=10 * MIB, shared=Promises(system))
    assert (memory.state().free, memory.state().total) == (10 * MIB, 10 * MIB)
    allocation = memory.allocate(9 * MIB)
    with pytest.raises(OutOfMemory):
        memory.allocate(2 * MIB)
    memory.release(allocation)
    memory.release(memory.allocate(10 * MIB))


def test_a_machine_without_memory_gives_none() -> None:
    memory = CpuMemory(guard=False, shared=Promises(Figures(-1)))
    assert memory.state().free == 0
    with pytest.raises(OutOfMemory):
        memory.allocate(1)
    assert memory.allocate(0).size == 0


def test_what_the_system_refuses_is_not_counted() -> None:
    """Promised within the figures, but more than any address space holds."""
    memory = CpuMemory(guard=False, shared=Promises(Figures(1 << 62)))
    free = memory.state().free
    with pytest.raises(OutOfMemory, match=str(1 << 61)):
        memory.allocate(1 << 61)
    assert memory.state().free == free


@pytest.mark.parametrize("kind", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_process_with_limits_of_its_own_refuses_before_it_runs_into_them(kind: str) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, kind], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split()[0], done.returncode) == ("refused", 0), done.stderr
    assert int(done.stdout.split()[1]) > 400 * MIB


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
    system = Figures()
    memory = CpuMemory(guard=False, shared=Promises(system))

    class Owner:
        def __init__(self) -> None:
            self.myself = self
            weakref.finalize(self, memory.release, memory.allocate(MIB))

    def collecting() -> int:
        gc.collect()
        return WHOLE

    Owner()
    monkeypatch.setattr(system, "available", collecting)
    done: list[CpuAllocation] = []
    thread = threading.Thread(target=lambda: done.append(memory.allocate(1)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (memory._promised, len(done)) == (PAGE, 1)
