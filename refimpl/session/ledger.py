"""The ledger of buffers: which handles a connection owns, and which addresses it was told.

Rules:
- A handle is an opaque non-zero 64-bit number. It is never given out twice in a process, not after FREE_BUFFER and not
  to another connection, so that a stale handle can only be refused.
- A base address is synthetic: it is cut from one range of numbers that grows as long as the process lives and begins
  above every address that a process can have. No two bases overlap, freed or not. A buffer of size 0 has base 0.
- The ledger knows numbers only. The memory behind a handle is the device's; the service keeps the two together.

Unsatisfying: a handle carries 32 random bits, not 64: it owes its uniqueness to a serial number instead of a set of all
handles ever given out, which a peer could make grow without end. Handles guard nothing: each connection has its own
ledger.

Not thread-safe: every ledger of a process belongs to the one event loop.
"""

from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import HandleError, OutOfMemory
from refimpl.limits import Limits

__all__ = ["BASE_ALIGNMENT", "FIRST_BASE", "AddressSpace", "BufferEntry", "BufferTable", "Ledger"]

BASE_ALIGNMENT = 4096
"""every non-zero base is a multiple of it"""
FIRST_BASE = 1 << 48
"""first base of a process: above the 47 bits that user addresses have"""
END_OF_BASES = 1 << 62
"""base + size stays below it, so that int64 arithmetic on addresses cannot wrap"""

U32 = (1 << 32) - 1
U64 = (1 << 64) - 1


@attrs.frozen
class BufferEntry:
    """One live buffer as its client knows it: handle, first address, bytes, and the number of the device it is on."""

    handle: int
    base: int
    size: int
    device: int

    def holds(self, address: int, size: int) -> bool:
        """Whether the bytes [address, address + size) lie in this buffer; size 0 may stand at its very end."""
        return self.base <= address and address + size <= self.base + self.size


@attrs.frozen(eq=False)
class BufferTable:
    """The live buffers as arrays, for checks over many tensors at once. Row i of each array is one buffer."""

    handles: NDArray[np.uint64]
    """(b,) ascending"""
    bases: NDArray[np.uint64]
    """(b,)"""
    sizes: NDArray[np.int64]
    """(b,) bytes"""


class AddressSpace:
    """Source of the handles and bases of a whole process: each is given out once."""

    def __init__(self) -> None:
        self._serial = 0
        self._next_base = FIRST_BASE

    def new_handle(self, random: int) -> int:
        """A handle that was never given out; the low 32 bits of `random` make it hard to guess."""
        self._serial += 1
        return _scramble((self._serial & U32) << 32 | random & U32)

    def new_base(self, size: int) -> int:
        """First address of `size` bytes that no other buffer has or had; a gap of one page at least follows them.

        0 for size 0. Raises OutOfMemory once the process has given out all addresses.
        """
        if size == 0:
            return 0
        base = self._next_base
        end = base + size + BASE_ALIGNMENT
        if end >= END_OF_BASES:
            raise OutOfMemory(f"no synthetic addresses are left for {size} bytes: restart the server")
        self._next_base = -(-end // BASE_ALIGNMENT) * BASE_ALIGNMENT
        return base


def _scramble(number: int) -> int:
    """A bijection of the 64-bit numbers that leaves 0 alone: different numbers in, different numbers out."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & U64
    number = (number ^ number >> 27) * 0x94D049BB133111EB & U64
    return number ^ number >> 31


PROCESS_SPACE = AddressSpace()
"""the one that all ledgers share unless a test brings its own"""


class Ledger:
    """The buffers of one connection. `random` returns non-negative integers of at least 32 random bits."""

    def __init__(self, random: Callable[[], int], limits: Limits, space: AddressSpace = PROCESS_SPACE) -> None:
        self.limits = limits
        self._random = random
        self._space = space
        self._entries: dict[int, BufferEntry] = {}
        self._table: BufferTable | None = None

    @property
    def full(self) -> bool:
        """Whether Limits.buffers live buffers exist; `add` would refuse another."""
        return len(self._entries) >= self.limits.buffers

    def add(self, device: int, size: int) -> BufferEntry:
        """Enter a new buffer of `size` bytes on `device`; OutOfMemory when no buffers or addresses are left."""
        if self.full:
            raise OutOfMemory(f"the connection owns {len(self._entries)} buffers already (limits.buffers)")
        base = self._space.new_base(size)
        entry = BufferEntry(self._space.new_handle(self._random()), base, size, device)
        self._entries[entry.handle] = entry
        self._table = None
        return entry

    def get(self, handle: int) -> BufferEntry:
        """The live buffer of that handle; raises HandleError (HANDLE-2) if this connection owns none."""
        try:
            return self._entries[handle]
        except KeyError:
            raise HandleError("HANDLE-2", f"handle {handle:#018x} is no live buffer of this connection") from None

    def free(self, handle: int) -> BufferEntry:
        """Strike a buffer out and return what it was; raises HandleError as `get` does."""
        entry = self.get(handle)
        del self._entries[handle]
        self._table = None
        return entry

    def entries(self) -> tuple[BufferEntry, ...]:
        """Every live buffer, oldest first."""
        return tuple(self._entries.values())

    def table(self) -> BufferTable:
        """The live buffers as arrays; the same object until a buffer is added or freed."""
        if self._table is None:
            ordered = sorted(self._entries.values(), key=lambda entry: entry.handle)
            self._table = BufferTable(
                handles=np.array([entry.handle for entry in ordered], np.uint64),
                bases=np.array([entry.base for entry in ordered], np.uint64),
                sizes=np.array([entry.size for entry in ordered], np.int64),
            )
        return self._table
