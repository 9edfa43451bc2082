"""What a device is: memory and execution, behind one Protocol that cpu/ (and later cuda/) implement.

A device knows allocations and programs; it knows no connection, handle or message. Its methods are synchronous. `run`
blocks without the GIL and is called in a thread; so are `compile`, `copy` and `fill` where they have much to do, and
whatever touches bytes that are `pending`. All others return at once. None may touch an allocation that a running
program leases. A program that has run before needs no thread: `begin` starts it, and its end is waited for like a
socket's bytes.
"""

from collections.abc import Mapping
from typing import Protocol

import attrs

from refimpl.graph.checked import CheckedGraph

__all__ = ["Allocation", "Device", "DeviceMemory", "Program", "Run", "StopWord"]


@attrs.frozen
class DeviceMemory:
    """Free and total memory of a device, in bytes."""

    free: int
    total: int


class Allocation(Protocol):
    """Bytes of a device. `address` is the device's own and never leaves the process."""

    @property
    def address(self) -> int: ...

    @property
    def size(self) -> int: ...


class StopWord(Protocol):
    """Set from any thread; a running program polls it between steps and ends with ComputeStopped."""

    def set(self) -> None: ...


class Program(Protocol):
    """A compiled graph of one device. Valid as long as the allocations it was compiled with live."""

    @property
    def handles(self) -> frozenset[int]:
        """Buffer handles whose allocations the program reads or writes."""

    @property
    def nbytes(self) -> int:
        """Memory that the program itself keeps, in bytes."""


class Run(Protocol):
    """A program at work. Whoever has begun it calls `finish`, whatever happens: until then its memory is in use."""

    def fileno(self) -> int:
        """A file descriptor that becomes readable when the program has come to its end."""

    def finish(self) -> None:
        """Wait for the end. Raises ComputeFault (names the tensor) or ComputeStopped."""


class Device(Protocol):
    """Memory and execution of one compute device."""

    name: str
    """as in ggml: ``CPU``, ``CUDA0``"""
    description: str
    alignment: int
    """power of two; every tensor starts at a multiple of it"""
    max_size: int
    """largest single allocation in bytes"""

    def memory(self) -> DeviceMemory: ...

    def allocate(self, size: int) -> Allocation:
        """Zero-filled bytes; raises OutOfMemory."""

    def release(self, allocation: Allocation) -> None: ...

    def writable(self, allocation: Allocation, offset: int, size: int) -> memoryview:
        """Bytes [offset, offset+size) for a socket to fill. The caller has checked the range against `size`."""

    def read(self, allocation: Allocation, offset: int, size: int) -> memoryview: ...

    def pending(self, allocation: Allocation, offset: int, size: int) -> int:
        """Bytes that the device has to put back into the order in which they were sent before it gives a view of
        [offset, offset + size): as long as that takes, `writable`, `read`, `copy` and `fill` of it do not return."""

    def copy(self, src: Allocation, src_offset: int, dst: Allocation, dst_offset: int, size: int) -> None:
        """memmove semantics; the two may overlap."""

    def fill(self, allocation: Allocation, offset: int, size: int, value: int) -> None: ...

    def new_stop_word(self) -> StopWord: ...

    def compile(self, graph: CheckedGraph, allocations: Mapping[int, Allocation]) -> Program:
        """Turn a checked graph into a program; `allocations` maps each handle of `graph.handles` to its memory.

        Raises UnsupportedError, naming op, types and tensor, where no kernel exists.
        """

    def begin(self, program: Program, stop: StopWord) -> Run | None:
        """Start a program without waiting for anything; None where there is something to do first, and `run` does it.

        One program at a time. Raises ComputeStopped.
        """

    def run(self, program: Program, stop: StopWord) -> None:
        """Run to the end, without the GIL. Raises ComputeFault (names the tensor) or ComputeStopped."""

    def close(self) -> None:
        """End the worker threads and give all memory back."""
