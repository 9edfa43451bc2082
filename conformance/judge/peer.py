"""The raw peer: one connection to a testee, on which anything can be said, and a record of what was.

Rules
- Every wait ends within the time that the caller gives. A testee that declares a huge reply gets no memory for it:
  a body over READ_AT_MOST is not read.
- The record keeps the first RECORD_BYTES of every piece sent and every frame received: evidence, not a capture.
"""

import socket
import struct
from collections.abc import Awaitable, Callable

import attrs
import trio

from conformance.judge.codec import SIZE_BYTES, number
from conformance.judge.steps import (
    Answer,
    End,
    Finish,
    Leave,
    OnConnection,
    Pause,
    Receive,
    Reply,
    Reset,
    Send,
    Silence,
    Sip,
    Trickle,
)

__all__ = ["Dial", "Peer", "Recorded"]

Dial = Callable[[], Awaitable[trio.abc.HalfCloseableStream]]
"""opens a connection to the testee; raises OSError where nobody takes it"""

READ_AT_MOST = 1 << 26
RECORD_BYTES = 512
CHUNK = 1 << 16
LINGER_NOT = struct.pack("ii", 1, 0)


@attrs.frozen
class Recorded:
    """One piece of a connection: sent or received, how many bytes, the first of them; a note for what is not bytes."""

    sent: bool
    size: int
    data: bytes
    note: str = ""


class _Ended(Exception):
    """The stream ended inside what was read."""


class Peer:
    """One connection; `timeout` is seconds for each step."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, timeout: float) -> None:
        self._stream = stream
        self._timeout = timeout
        self._buffered = bytearray()
        self._gone = False
        self.record: list[Recorded] = []

    async def perform(self, step: OnConnection) -> Answer:
        """Carry out one step on this connection."""
        match step:
            case Send(data):
                await self._send(data)
            case Trickle(data):
                await self._trickle(data)
            case Receive(within=within):
                return await self.receive(within)
            case Sip(size):
                await self._sip(size)
            case Pause(seconds):
                await trio.sleep(seconds)
            case Finish():
                await self._finish()
            case Leave():
                await self.close()
            case Reset():
                await self._reset()
        return None

    async def receive(self, within: float | None = None) -> Reply | End | Silence:
        """Wait for one frame, for the time limit or `within` seconds."""
        seconds = self._timeout if within is None else within
        with trio.move_on_after(seconds):
            answer = await self._frame()
            self._note(answer)
            return answer
        silence = Silence(seconds, bytes(self._buffered))
        self.record.append(Recorded(False, 0, b"", str(silence)))
        return silence

    async def close(self) -> None:
        """Close the connection; doing it twice is once."""
        self._gone = True
        with trio.move_on_after(self._timeout, shield=True):
            await self._stream.aclose()

    async def _send(self, data: bytes) -> None:
        self.record.append(Recorded(True, len(data), data[:RECORD_BYTES]))
        await self._push(data)

    async def _push(self, data: bytes) -> None:
        """Hand bytes over; those that a closed or stuffed connection does not take are lost."""
        if self._gone:
            return
        with trio.move_on_after(self._timeout) as scope:
            try:
                await self._stream.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._gone = True
        if scope.cancelled_caught:
            self._gone = True
            self.record.append(Recorded(True, 0, b"", f"not taken in within {self._timeout:g} s"))

    async def _trickle(self, data: bytes) -> None:
        self.record.append(Recorded(True, len(data), data[:RECORD_BYTES], "one byte at a time"))
        for at in range(len(data)):
            await self._push(data[at : at + 1])

    async def _sip(self, size: int) -> None:
        """Buffer up to `size` bytes more; an end is left for the next Receive to find."""
        with trio.move_on_after(self._timeout):
            try:
                self._buffered += await self._stream.receive_some(size)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def _finish(self) -> None:
        self.record.append(Recorded(True, 0, b"", "end of stream"))
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._gone = True

    async def _reset(self) -> None:
        self.record.append(Recorded(True, 0, b"", "connection reset"))
        if isinstance(self._stream, trio.SocketStream):
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        await self.close()

    async def _frame(self) -> Reply | End:
        try:
            await self._fill(SIZE_BYTES)
            declared = number(bytes(self._buffered[:SIZE_BYTES]))
            if declared > READ_AT_MOST:
                return Reply(declared, b"")
            await self._fill(SIZE_BYTES + declared)
        except _Ended:
            rest = bytes(self._buffered)
            self._buffered.clear()
            return End(rest)
        body = bytes(self._buffered[SIZE_BYTES : SIZE_BYTES + declared])
        del self._buffered[: SIZE_BYTES + declared]
        return Reply(declared, body)

    async def _fill(self, size: int) -> None:
        while len(self._buffered) < size:
            try:
                more = await self._stream.receive_some(CHUNK)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                more = b""
            if not more:
                raise _Ended
            self._buffered += more

    def _note(self, answer: Reply | End) -> None:
        if isinstance(answer, End):
            self.record.append(Recorded(False, len(answer.rest), answer.rest[:RECORD_BYTES], "end of stream"))
        else:
            data = answer.declared.to_bytes(SIZE_BYTES, "little") + answer.body
            self.record.append(Recorded(False, len(data), data[:RECORD_BYTES]))
