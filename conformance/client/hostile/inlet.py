"""Exact reads from a stream, for whoever cuts it into frames."""

from collections.abc import AsyncIterator

import trio

__all__ = ["Ended", "Inlet"]

CHUNK = 1 << 18


class Ended(Exception):
    """The stream ended; `rest` is what had come of what was asked for."""

    def __init__(self, rest: bytes = b"") -> None:
        super().__init__(f"the stream ended behind {len(rest)} bytes")
        self.rest = rest


class Inlet:
    """The reading side of a stream. A stream that is broken off has ended, like one that is closed."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffered = bytearray()

    async def exactly(self, size: int) -> bytes:
        """So many bytes; raises Ended."""
        while len(self._buffered) < size:
            more = await self._more()
            if not more:
                raise Ended(bytes(self._buffered))
            self._buffered += more
        taken = bytes(self._buffered[:size])
        del self._buffered[:size]
        return taken

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        """So many bytes, as they come; raises Ended."""
        while size > 0:
            if not self._buffered:
                self._buffered += await self._more()
            if not self._buffered:
                raise Ended
            piece = bytes(self._buffered[:size])
            del self._buffered[: len(piece)]
            size -= len(piece)
            yield piece

    async def rest(self) -> int:
        """Read to the end, keep nothing; how many bytes that was."""
        count = len(self._buffered)
        self._buffered.clear()
        while more := await self._more():
            count += len(more)
        return count

    async def _more(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(CHUNK))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""
