"""The commands of the CPU device, without a graph: names, bytes, and what it does not take for its own."""

import mmap
import threading
import time

import llvmlite.binding as llvm
import pytest

from refimpl.device.cpu import CpuDevice
from refimpl.errors import DeviceError, OutOfMemory
from refimpl.kernels.cpu.words import X86
from refimpl.tests.fake_device import FakeDevice

SIZE = 1000
LARGE = 1 << 28


def counted(device: CpuDevice) -> tuple:
    """An allocation in which byte i is i modulo 251."""
    allocation = device.allocate(SIZE)
    device.writable(allocation, 0, SIZE)[:] = bytes(i % 251 for i in range(SIZE))
    return allocation, bytearray(i % 251 for i in range(SIZE))


def test_it_says_what_it_is(device: CpuDevice) -> None:
    assert device.name == "CPU"
    assert device.description
    assert device.alignment.bit_count() == 1
    assert 0 < device.memory().free <= device.memory().total


def test_memory_counts_what_is_given_out(device: CpuDevice) -> None:
    before = device._memory._promised
    allocation = device.allocate(SIZE)
    assert device._memory._promised == before + mmap.PAGESIZE
    device.release(allocation)
    assert device._memory._promised == before
    with pytest.raises(OutOfMemory):
        device.allocate(device.max_size)


def test_a_part_is_written_and_read(device: CpuDevice) -> None:
    allocation, model = counted(device)
    device.writable(allocation, 100, 3)[:] = model[100:103] = b"abc"
    assert device.read(allocation, 0, SIZE) == model
    assert device.read(allocation, 99, 5) == model[99:104]
    assert len(device.read(allocation, SIZE, 0)) == 0
    device.release(allocation)


@pytest.mark.parametrize(("source", "target", "size"), [(0, 500, 500), (0, 7, 900), (7, 0, 900), (3, 3, 50), (9, 5, 0)])
def test_a_copy_within_one_allocation_may_overlap(device: CpuDevice, source: int, target: int, size: int) -> None:
    allocation, model = counted(device)
    device.copy(allocation, source, allocation, target, size)
    model[target : target + size] = bytes(model[source : source + size])
    assert device.read(allocation, 0, SIZE) == model
    device.release(allocation)


def test_a_copy_goes_to_another_allocation(device: CpuDevice) -> None:
    (source, model), target = counted(device), device.allocate(50)
    device.copy(source, 100, target, 10, 40)
    assert device.read(target, 0, 50) == bytes(10) + model[100:140]
    for allocation in (source, target):
        device.release(allocation)


@pytest.mark.parametrize("size", [0, 1, 63, 64, (1 << 20) + 5])
def test_a_fill_writes_all_of_its_range_and_nothing_else(device: CpuDevice, size: int) -> None:
    allocation = device.allocate(size + 20)
    device.fill(allocation, 10, size, 0xAB)
    assert device.read(allocation, 0, size + 20) == bytes(10) + bytes([0xAB]) * size + bytes(10)
    device.release(allocation)


@pytest.mark.parametrize("move", ["fill", "copy"])
def test_other_threads_go_on_while_many_bytes_are_moved(move: str) -> None:
    device = CpuDevice(1)
    allocation, source = device.allocate(LARGE), device.allocate(LARGE)
    times: list[float] = []

    def moving() -> None:
        times.append(time.perf_counter())
        if move == "fill":
            device.fill(allocation, 0, LARGE, 1)
        else:
            device.copy(source, 0, allocation, 0, LARGE)
        times.append(time.perf_counter())

    thread = threading.Thread(target=moving)
    thread.start()
    longest, last = 0.0, time.perf_counter()
    while thread.is_alive():
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    thread.join()
    assert longest < (times[1] - times[0]) / 2
    device.close()


def test_nothing_can_be_done_with_no_bytes(device: CpuDevice) -> None:
    allocation = device.allocate(0)
    device.fill(allocation, 0, 0, 1)
    device.copy(allocation, 0, allocation, 0, 0)
    assert len(device.read(allocation, 0, 0)) == len(device.writable(allocation, 0, 0)) == 0
    device.release(allocation)


def test_what_belongs_to_another_device_is_refused(device: CpuDevice) -> None:
    other = FakeDevice()
    with pytest.raises(TypeError, match="another device"):
        device.read(other.allocate(1), 0, 1)
    with pytest.raises(TypeError, match="another device"):
        device.run(object(), device.new_stop_word())  # type: ignore[arg-type]


def test_its_threads_end_with_it() -> None:
    device = CpuDevice(4)
    threads = list(device._pool._threads)
    assert len(threads) == 4
    assert all(thread.is_alive() for thread in threads)
    device.close()
    assert not any(thread.is_alive() for thread in threads)
    device.close()


@pytest.mark.skipif(not X86, reason="about processors of one family")
def test_a_processor_that_cannot_convert_halves_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "get_host_cpu_features", dict)
    with pytest.raises(DeviceError, match="F16C"):
        CpuDevice(1)
