"""What all connections of a server share out among them, and the threads in which long work is done.

Rules of this file:
- Work of one kind waits for work of the same kind only: a disk that hangs keeps no graph from being compiled, and
  whoever moves memory keeps nobody from the disk. Each queue is first come, first served.
- Large graphs are compiled one at a time, beside the others: they take seconds, ordinary ones do not.
"""

import math

import attrs
import trio

from refimpl.errors import OutOfMemory
from refimpl.limits import Limits
from refimpl.service.bounds.admission import Admission
from refimpl.service.bounds.arrivals import Arrivals
from refimpl.service.bounds.graph_room import GraphRoom

__all__ = ["BufferCount", "Shared", "Threads"]

COMPILING = 2
MOVING = 4
DISK = 4
HUGE_GRAPH = 8 << 20
"""bytes of a GRAPH_COMPUTE body; those of ordinary models have a megabyte or two"""


@attrs.frozen(eq=False)
class Threads:
    """How many threads do what at the same time."""

    moving: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(MOVING))
    """filling, copying and releasing memory, packing"""
    disk: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(DISK))
    """the tensor cache"""
    compiling_small: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(COMPILING))
    compiling_huge: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(1))
    unqueued: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(math.inf))
    """for whoever has waited already"""

    def compiling(self, body: int) -> trio.CapacityLimiter:
        """For checking and compiling a graph of so many bytes."""
        return self.compiling_huge if body > HUGE_GRAPH else self.compiling_small


class BufferCount:
    """Live buffers of all connections."""

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.buffers_in_all
        self.live = 0

    def take(self) -> None:
        """One more. Raises OutOfMemory."""
        if self.live >= self._limit:
            raise OutOfMemory(f"all connections own {self.live} buffers already (limits.buffers_in_all)")
        self.live += 1

    def give_back(self) -> None:
        """One less."""
        self.live -= 1


@attrs.frozen(eq=False)
class Shared:
    """One for each server."""

    admission: Admission
    arrivals: Arrivals
    graph_room: GraphRoom
    buffers: BufferCount
    threads: Threads = attrs.field(factory=Threads)

    @classmethod
    def of(cls, limits: Limits) -> "Shared":
        """Nothing of it taken yet."""
        return cls(Admission(limits), Arrivals(limits), GraphRoom(limits), BufferCount(limits))
