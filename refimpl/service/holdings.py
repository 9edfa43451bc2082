"""What one connection has on the devices of a node: buffers, their memory and compiled graphs, all its own.

The ledger knows numbers, a device knows memory; this file keeps the two together. `close` gives everything back,
which is all that a disconnect has to do. No method waits; those that move many bytes may be called in a thread, since
a connection does one thing at a time.
"""

from collections.abc import Sequence
from secrets import randbits
from typing import Any

import attrs
import trio

from refimpl.device.protocol import Allocation, Device
from refimpl.errors import HandleError, OutOfMemory
from refimpl.limits import Limits
from refimpl.service.programs import Programs
from refimpl.session.ledger import BufferEntry, Ledger
from refimpl.session.regions import Region, resolve, tensor_nbytes

__all__ = ["Holdings", "Seat"]


@attrs.frozen(eq=False)
class Seat:
    """A device and the queue of those who want to compute on it: first come, first served, one graph at a time."""

    device: Device
    turn: trio.StrictFIFOLock = attrs.field(factory=trio.StrictFIFOLock)


def _random_bits() -> int:
    """64 random bits for a new handle."""
    return randbits(64)


class Holdings:
    """Buffers and programs of one connection over the seats of a node; graph_uids as in Programs."""

    def __init__(self, seats: Sequence[Seat], limits: Limits, graph_uids: int = 0) -> None:
        self.seats = seats
        self.limits = limits
        self.ledger = Ledger(_random_bits, limits)
        self.programs = Programs(limits, graph_uids)
        self._memory: dict[int, Allocation] = {}

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
        if self.ledger.full:
            raise OutOfMemory(f"the connection owns {self.limits.buffers} buffers already (limits.buffers)")
        allocation = seat.device.allocate(size)
        try:
            entry = self.ledger.add(device, size)
        except OutOfMemory:
            seat.device.release(allocation)
            raise
        self._memory[entry.handle] = allocation
        return entry

    def free(self, handle: int) -> None:
        """Give a buffer back, and with it the programs that use it. Raises HandleError."""
        entry = self.ledger.free(handle)
        self.programs.drop(handle)
        self.seats[entry.device].device.release(self._memory.pop(handle))

    def memory(self, handle: int) -> tuple[Device, Allocation]:
        """Where a buffer lives. Raises HandleError."""
        entry = self.ledger.get(handle)
        return self.seats[entry.device].device, self._memory[handle]

    def memory_of(self, handles: Sequence[int]) -> dict[int, Allocation]:
        """The memory of several buffers by handle. Raises HandleError."""
        return {handle: self.memory(handle)[1] for handle in handles}

    def region(self, tensor: Any, offset: int, size: int) -> Region:
        """Bytes of a tensor as bytes of a buffer, proved; raises HandleError and RegionError."""
        return resolve(self.ledger, tensor, offset, size)

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

    def close(self) -> None:
        """Give everything back."""
        self.programs.clear()
        for entry in self.ledger.entries():
            self.free(entry.handle)
