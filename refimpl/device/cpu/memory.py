"""Memory of the CPU device: anonymous mappings, zero-filled by the system when they are first touched.

Rules of this file:
- What is given out is counted at once, in whole pages, although the system gives the pages later: all promises together
  stay below what was available at the start, and what was promised and has not been touched yet is taken off what is
  available now. So no sum of allocations makes the system end the process, also where others take memory meanwhile.
- A reserve is never promised: the process needs memory besides, for messages, graphs and page tables.
- What programs and threads need besides the buffers of clients (workspaces, scratch) is given out here too.
- Released memory goes back at once, unless somebody still holds a view of it; then when that view is gone.
- The size of pages is the system's choice. Huge ones, when asked for, took three times as long to be touched first on a
  virtual machine, where they have to come from memory that the host has not handed out yet.
- With `guard`, a net for tests: an allocation ends at a page that nobody may touch, has one before it too, canaries
  fill what the alignment leaves, and released memory can never be touched again. Broken canaries are reported when
  the allocation is released.
"""

import ctypes
import mmap

from refimpl.device.cpu.packed import PackedRegions
from refimpl.device.cpu.room import UNLIMITED, Promises, promises
from refimpl.device.protocol import DeviceMemory
from refimpl.errors import OutOfMemory

__all__ = ["ALIGNMENT", "CpuAllocation", "CpuMemory", "MemoryDamaged", "aligned_address"]

ALIGNMENT = 64
CANARY = 0xC5
PROT_NONE = 0
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
"""and not shared with child processes, which is what `mmap` would give: pages of that kind are slower to come by"""


class MemoryDamaged(Exception):
    """A canary beside an allocation has changed: a kernel of ours has written outside its result."""


class CpuAllocation:
    """`size` bytes at `address`, as long as the object or a view of it lives."""

    def __init__(self, mapping: mmap.mmap | None, start: int, size: int) -> None:
        self.size = size
        self.packed = PackedRegions()
        self._mapping = mapping
        self._start = start
        self.address = 0 if mapping is None else aligned_address(mapping) + start

    def view(self, offset: int, size: int) -> memoryview:
        """Bytes [offset, offset + size), writable. The caller has checked the range."""
        if self._mapping is None:
            return memoryview(bytearray())
        begin = self._start + offset
        return memoryview(self._mapping)[begin : begin + size]

    def close(self) -> None:
        """Unmap, or let the last view do it."""
        mapping, self._mapping = self._mapping, None
        if mapping is not None:
            try:
                mapping.close()
            except BufferError:
                return

    def check_canaries(self) -> None:
        """Raises MemoryDamaged. For a guarded allocation only."""
        if self._mapping is None:
            return
        page = mmap.PAGESIZE
        whole = memoryview(self._mapping)
        before = bytes(whole[page : self._start])
        after = bytes(whole[self._start + self.size : len(whole) - page])
        if before.strip(bytes([CANARY])) or after.strip(bytes([CANARY])):
            raise MemoryDamaged(f"bytes beside an allocation of {self.size} bytes have changed")


def aligned_address(mapping: mmap.mmap) -> int:
    """Address of a mapping: a page's."""
    return ctypes.addressof(ctypes.c_char.from_buffer(mapping))


class CpuMemory:
    """All memory of one device. `limit` bounds what it gives away; `shared` is what the process has promised in all."""

    def __init__(self, guard: bool, limit: int | None = None, shared: Promises | None = None) -> None:
        self._shared = shared or promises()
        self._limit = UNLIMITED if limit is None else limit
        self.total = min(self._limit, self._shared.system.total())
        self._promised = 0
        self._guard = guard
        self._graves: list[mmap.mmap] = []

    def state(self) -> DeviceMemory:
        """Free is what can still be promised and is there now, in whole pages."""
        free = max(0, min(self._shared.left(), self._limit - self._promised))
        return DeviceMemory(free=free // mmap.PAGESIZE * mmap.PAGESIZE, total=self.total)

    def allocate(self, size: int) -> CpuAllocation:
        """Zero-filled bytes. Raises OutOfMemory."""
        with self._shared.lock:
            free = self.state().free
            if _pages(size) > free:
                raise OutOfMemory(f"{size} bytes, {free} are free")
            self._promise(_pages(size))
        try:
            return self._guarded(size) if self._guard else self._plain(size)
        except (OSError, ValueError, OverflowError) as error:
            self._promise(-_pages(size))
            raise OutOfMemory(f"{size} bytes: {error}") from error

    def release(self, allocation: CpuAllocation) -> None:
        """Give an allocation back; raises MemoryDamaged with `guard`, after it has been given back."""
        try:
            if self._guard:
                allocation.check_canaries()
        finally:
            self._promise(-_pages(allocation.size))
            if self._guard:
                self._bury(allocation)
            else:
                allocation.close()

    def close(self) -> None:
        """Forget the released memory that `guard` keeps inaccessible."""
        self._graves.clear()

    def _promise(self, size: int) -> None:
        with self._shared.lock:
            self._promised += size
            self._shared.change(size)

    def _plain(self, size: int) -> CpuAllocation:
        if not size:
            return CpuAllocation(None, 0, 0)
        return CpuAllocation(mmap.mmap(-1, size, flags=PRIVATE), 0, size)

    def _guarded(self, size: int) -> CpuAllocation:
        page = mmap.PAGESIZE
        room = -(-max(size, 1) // page) * page
        mapping = mmap.mmap(-1, room + 2 * page, flags=PRIVATE)
        start = page + (room - size) // ALIGNMENT * ALIGNMENT
        whole = memoryview(mapping)
        whole[page:start] = bytes([CANARY]) * (start - page)
        whole[start + size : page + room] = bytes([CANARY]) * (page + room - start - size)
        _protect(aligned_address(mapping), page)
        _protect(aligned_address(mapping) + page + room, page)
        return CpuAllocation(mapping, start, size)

    def _bury(self, allocation: CpuAllocation) -> None:
        mapping = allocation._mapping
        if mapping is not None:
            _protect(aligned_address(mapping), len(mapping))
            self._graves.append(mapping)
            allocation._mapping = None


def _pages(size: int) -> int:
    """Bytes of the pages that `size` bytes take."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _protect(address: int, size: int) -> None:
    """Make pages inaccessible."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), PROT_NONE):
        raise OSError(ctypes.get_errno(), "mprotect")
