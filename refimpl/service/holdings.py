"""What one connection has on the devices of a node: buffers, their memory and compiled graphs, all its own.

The ledger knows numbers, a device knows memory; this file keeps the two together. `strike` and `strike_all` take
buffers out of the books and hand over their memory, `release` gives that back: all that a disconnect has to do. No
method waits; those that move many bytes may be called in a thread, since a connection does one thing at a time, and so
may `release`, for which the system may take a second per gigabyte or two.
"""

from collections.abc import Sequence
from secrets import randbits
from typing import Any

import attrs
import trio

from refimpl.device.protocol import Allocation, Device, DeviceMemory
from refimpl.errors import HandleError, OutOfMemory
from refimpl.limits import Limits
from refimpl.service.bounds.shared import Shared
from refimpl.service.programs import Programs
from refimpl.session.ledger import BufferEntry, Ledger
from refimpl.session.regions import Region, resolve, tensor_nbytes

__all__ = ["Holdings", "Loose", "Seat", "release"]


MOST_PROVED = 256
"""regions that are remembered, with some 300 bytes each: more than the inputs and outputs of all usual graphs"""


@attrs.frozen(eq=False)
class Seat:
    """A device and the queue of those who want to compute on it: first come, first served, one graph at a time."""

    device: Device
    turn: trio.StrictFIFOLock = attrs.field(factory=trio.StrictFIFOLock)
    thread: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))
    """for whoever has the turn, so that no other long work is in the way"""


@attrs.frozen(eq=False)
class Loose:
    """Memory that belongs to no buffer any more and has not been given back yet."""

    device: Device
    allocation: Allocation


def release(loose: Sequence[Loose]) -> None:
    """Give memory back to its devices; may be called in any thread."""
    for one in loose:
        one.device.release(one.allocation)


def _random_bits() -> int:
    """64 random bits for a new handle."""
    return randbits(64)


class Holdings:
    """Buffers and programs of one connection over the seats of a node; graph_uids as in Programs.

    shared: with all other connections; without it this one has everything to itself.
    """

    def __init__(
        self, seats: Sequence[Seat], limits: Limits, graph_uids: int = 0, shared: Shared | None = None
    ) -> None:
        self.seats = seats
        self.limits = limits
        self.shared = shared or Shared.of(limits)
        self.ledger = Ledger(_random_bits, limits)
        self.programs = Programs(limits, graph_uids, self.shared)
        self.bytes = 0
        """of all buffers"""
        self._memory: dict[int, Allocation] = {}
        self._proved: dict[tuple[bytes, int, int], Region] = {}
        """regions by record, offset and size"""

    def seat(self, device: int) -> Seat:
        """The seat of a device by number; raises HandleError (DEVICE-2) if the node has none."""
        if device >= len(self.seats):
            raise HandleError("DEVICE-2", f"device {device} of {len(self.seats)}")
        return self.seats[device]

    def allocate(self, device: int, size: int) -> BufferEntry:
        """A new buffer. Raises OutOfMemory, and HandleError as `seat` does."""
        seat = self.seat(device)
        if size > seat.device.max_size:
            raise OutOfMemory(f"{size} bytes, {seat.device.name} gives at most {seat.device.max_size} at once")
        if size > self.limits.buffer_bytes - self.bytes:
            detail = f"{size} bytes more than {self.bytes} of one connection (limits.buffer_bytes)"
            raise OutOfMemory(detail)
        if self.ledger.full:
            raise OutOfMemory(f"the connection owns {self.limits.buffers} buffers already (limits.buffers)")
        self.shared.buffers.take()
        try:
            entry = self._enter(device, size, seat.device)
        except OutOfMemory:
            self.shared.buffers.give_back()
            raise
        self.bytes += size
        return entry

    def _enter(self, number: int, size: int, device: Device) -> BufferEntry:
        allocation = device.allocate(size)
        try:
            entry = self.ledger.add(number, size)
        except OutOfMemory:
            device.release(allocation)
            raise
        self._memory[entry.handle] = allocation
        return entry

    def available(self, device: int) -> DeviceMemory:
        """Memory of a device as far as this connection may have it. Raises HandleError as `seat` does."""
        memory = self.seat(device).device.memory()
        most = self.limits.buffer_bytes
        return DeviceMemory(free=min(memory.free, most - self.bytes), total=min(memory.total, most))

    def strike(self, handle: int) -> Loose:
        """Take a buffer out of the books, and with it the programs that use it. Raises HandleError."""
        entry = self.ledger.free(handle)
        self._proved.clear()
        self.programs.drop(handle)
        self.shared.buffers.give_back()
        self.bytes -= entry.size
        return Loose(self.seats[entry.device].device, self._memory.pop(handle))

    def free(self, handle: int) -> None:
        """Give a buffer back at once. Raises HandleError."""
        release([self.strike(handle)])

    def memory(self, handle: int) -> tuple[Device, Allocation]:
        """Where a buffer lives. Raises HandleError."""
        entry = self.ledger.get(handle)
        return self.seats[entry.device].device, self._memory[handle]

    def memory_of(self, handles: Sequence[int]) -> dict[int, Allocation]:
        """The memory of several buffers by handle. Raises HandleError."""
        return {handle: self.memory(handle)[1] for handle in handles}

    def region(self, tensor: Any, offset: int, size: int) -> Region:
        """Bytes of a tensor as bytes of a buffer, proved; raises HandleError and RegionError.

        A main host names the same bytes by the same record for every token: what was proved of them stays proved until
        a buffer is freed.
        """
        key = tensor.tobytes(), offset, size
        found = self._proved.get(key)
        if found is None:
            found = resolve(self.ledger, tensor, offset, size)
            if len(self._proved) >= MOST_PROVED:
                self._proved.clear()
            self._proved[key] = found
        return found

    def room(self, tensor: Any, offset: int) -> Region:
        """All bytes of a tensor from `offset` on; raises as `region` does."""
        start = self.region(tensor, offset, 0)
        return Region(start.handle, start.offset, tensor_nbytes(tensor, self.limits) - offset)

    def writable(self, region: Region) -> memoryview:
        """Memory of a region, to be filled."""
        device, allocation = self.memory(region.handle)
        return device.writable(allocation, region.offset, region.size)

    def readable(self, region: Region) -> memoryview:
        """Memory of a region, to be sent."""
        device, allocation = self.memory(region.handle)
        return device.read(allocation, region.offset, region.size)

    def fill(self, region: Region, value: int) -> None:
        """Set every byte of a region."""
        device, allocation = self.memory(region.handle)
        device.fill(allocation, region.offset, region.size, value)

    def copy(self, src: Region, dst: Region) -> bool:
        """Copy between regions of one size; False where the two are on different devices."""
        device, source = self.memory(src.handle)
        other, target = self.memory(dst.handle)
        if device is not other:
            return False
        device.copy(source, src.offset, target, dst.offset, src.size)
        return True

    def pending(self, region: Region) -> int:
        """Bytes that have to be moved before the memory of a region can be seen; see Device.pending."""
        device, allocation = self.memory(region.handle)
        return device.pending(allocation, region.offset, region.size)

    def strike_all(self) -> list[Loose]:
        """Take everything out of the books."""
        self.programs.clear()
        return [self.strike(entry.handle) for entry in self.ledger.entries()]
