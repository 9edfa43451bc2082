"""What a node claims in its replies: a client looks at each value before it computes anything from it.

Rules:
- A value that a clause excludes is a ProtocolError with that clause; its detail names the endpoint, the command that
  was answered so, and the value (CLIENT-4, CLIENT-5).
- What is legal and of no use, such as no devices or no memory, is none of this file's business.
- Claims belong to one connection, as the buffers do that they are about.
- A node can still lie: what it says within these bounds is taken for true.
"""

from refimpl.errors import ProtocolError
from spec.names import Command

__all__ = ["MAX_DEVICES", "Claims"]

MAX_DEVICES = 1024
"""more than any node has; a client asks several questions about each"""
ADDRESSES = 1 << 64


class Claims:
    """What has been claimed on one connection. Every method returns what it has found to be possible."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._buffers: dict[int, tuple[int, int]] = {}

    def devices(self, count: int) -> int:
        """The number of devices, at most MAX_DEVICES (CLIENT-6)."""
        if count > MAX_DEVICES:
            raise self._wrong("CLIENT-6", Command.DEVICE_COUNT, f"{count}, more than {MAX_DEVICES}")
        return count

    def alignment(self, device: int, alignment: int) -> int:
        """The alignment of a device, a power of two."""
        if alignment.bit_count() != 1:
            said = f"{alignment} for device {device}, which is no power of two"
            raise self._wrong("ALLOC-6", Command.GET_ALIGNMENT, said)
        return alignment

    def max_size(self, device: int, size: int) -> int:
        """The largest buffer of a device, at least a byte."""
        if size == 0:
            raise self._wrong("ALLOC-7", Command.GET_MAX_SIZE, f"0 bytes for device {device}")
        return size

    def granted(self, asked: int, handle: int, size: int) -> None:
        """A new buffer: no live one has its handle, and it has all bytes that were asked for."""
        if handle in self._buffers:
            raise self._wrong("HANDLE-1", Command.ALLOC_BUFFER, f"the handle {handle:#x} of another live buffer")
        if size < asked:
            raise self._wrong("ALLOC-3", Command.ALLOC_BUFFER, f"{size} bytes where {asked} were asked for")

    def based(self, handle: int, base: int, size: int, alignment: int) -> int:
        """The base of a new buffer, which is live from here on."""
        if (base == 0) != (size == 0):
            raise self._no_base(base, size, "be 0 together or not at all")
        if base % alignment:
            raise self._no_base(base, size, f"begin at a multiple of {alignment}")
        if base + size > ADDRESSES:
            raise self._no_base(base, size, "end below 2^64")
        if any(base < other + length and other < base + size for other, length in self._buffers.values()):
            raise self._no_base(base, size, "lie apart from every other buffer")
        self._buffers[handle] = base, size
        return base

    def freed(self, handle: int) -> None:
        """That buffer is not live any more."""
        self._buffers.pop(handle, None)

    def flag(self, clause: str, command: Command, flag: int) -> bool:
        """A flag, 0 or 1."""
        if flag > 1:
            raise self._wrong(clause, command, f"{flag}, which is neither 0 nor 1")
        return bool(flag)

    def _no_base(self, base: int, size: int, want: str) -> ProtocolError:
        said = f"base {base:#x} for a buffer of {size} bytes; they have to {want}"
        return self._wrong("HANDLE-5", Command.BUFFER_GET_BASE, said)

    def _wrong(self, clause: str, command: Command, said: str) -> ProtocolError:
        return ProtocolError(clause, f"{self._endpoint}: {command.name} is answered with {said}")
