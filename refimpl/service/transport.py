"""Bytes in and out of one connected TCP socket, on Trio: the only place of the service that reads or writes a socket.

Rules of this file:
- Payloads go straight between the socket and the memory that they are meant for; nothing here copies.
- The socket is tried first and waited for only when it has nothing. A plain Trio stream goes through the scheduler
  for every read; a node that takes in thousands of small messages per graph cannot afford that. The price is that a
  call may return without a checkpoint, so every `PATIENCE` bytes moved without waiting this file makes one: no peer
  starves the others.
- Every wait has a limit: `silence` is the longest time without a single byte moving, after which trio.TooSlowError is
  raised.
- The system asks a silent peer now and then whether it is still there (keepalive), so that one that lost its power or
  its cable is found within two minutes; where it had not confirmed all bytes yet, the system tries for a quarter of an
  hour. It is the peer's system that answers: a process that hangs is not found so.
- A peer that resets the connection, or that the network no longer reaches, has gone, as one that closes it: reading
  answers end of file, writing raises ConnectionError.
"""

import errno
import fcntl
import select
import socket
import struct
import termios

import trio

__all__ = ["Transport", "endpoint_text"]

SCRATCH = 1 << 16
"""bytes of one buffered read"""
CHUNK = 1 << 22
"""most bytes asked of the socket at once: bounds how long one system call keeps the event loop"""
PATIENCE = 1 << 23
CALL_COST = 1 << 12
"""what one system call counts for against PATIENCE, besides its bytes"""
LOST = frozenset((errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN))
"""what a socket reports once the network no longer reaches its peer, and Python does not call a ConnectionError"""
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 6}
"""seconds of silence before the first question, seconds between two, unanswered ones after which the peer has gone"""
HANG_UP_POLL = 0.05
"""seconds between two looks at a peer whose bytes nobody reads for the moment"""


def endpoint_text(host: str, port: int) -> str:
    """``host:port`` as a person types it: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _gone(error: OSError) -> bool:
    return isinstance(error, ConnectionError) or error.errno in LOST


class Transport:
    """One connected socket; the owner closes it. One task reads and one task writes at a time."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._sock = sock
        self._scratch = memoryview(bytearray(SCRATCH))
        self._greed = 0

    @classmethod
    def from_stream(cls, stream: trio.SocketStream) -> "Transport":
        """Take over the socket of a fresh Trio stream; the stream must not be used again."""
        sock = socket.socket(fileno=stream.socket.detach())
        try:
            if hasattr(socket, "TCP_NOTSENT_LOWAT"):
                # Trio keeps little unsent, for the sake of latency behind a queue. There is no queue here: 0 is the
                # system's.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 0)
            return cls(sock)
        except OSError:
            sock.close()
            raise

    async def receive(self, silence: float) -> memoryview:
        """Some bytes, valid until the next call; empty at end of file."""
        return self._scratch[: await self.receive_into(self._scratch, silence)]

    async def receive_into(self, view: memoryview, silence: float) -> int:
        """Fill the front of `view` (not empty) with what there is; the count of bytes, 0 at end of file."""
        while True:
            await self._yield_in_turn()
            try:
                count = self._sock.recv_into(view[:CHUNK])
            except BlockingIOError:
                self._greed = 0
                with trio.fail_after(silence):
                    await trio.lowlevel.wait_readable(self._sock)
            except OSError as error:
                if not _gone(error):
                    raise
                return 0
            else:
                self._greed += count + CALL_COST
                return count

    def has_bytes(self) -> bool:
        """Whether a byte could be read at once; it is left where it is. The end of the stream is none."""
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        except OSError:  # nothing there, or the peer has gone: whoever reads or writes next finds that out
            return False

    async def send(self, data: bytes | memoryview, silence: float) -> None:
        """Write all of `data`, a contiguous view of bytes. Raises ConnectionError where the peer has gone."""
        view = memoryview(data)
        while view:
            await self._yield_in_turn()
            try:
                count = self._sock.send(view[:CHUNK])
            except BlockingIOError:
                self._greed = 0
                await self._wait_writable(silence)
            except OSError as error:
                if not _gone(error):
                    raise
                raise ConnectionError(error.errno, error.strerror) from error
            else:
                view = view[count:]
                self._greed += count + CALL_COST

    async def _wait_writable(self, silence: float) -> None:
        """The system tells of room only where there is much of it, so what the peer has taken in meanwhile counts."""
        left = self._not_taken_in()
        while True:
            with trio.move_on_after(silence):
                await trio.lowlevel.wait_writable(self._sock)
                return
            before, left = left, self._not_taken_in()
            if left >= before:
                raise trio.TooSlowError

    def _not_taken_in(self) -> int:
        """Bytes sent that the peer's system has not confirmed; 0 where the platform cannot tell."""
        told = bytearray(struct.calcsize("i"))
        try:
            fcntl.ioctl(self._sock, termios.TIOCOUTQ, told)
        except OSError:
            return 0
        (count,) = struct.unpack("i", told)
        return int(count)

    async def wait_hang_up(self) -> None:
        """Return once the peer has closed or reset, although bytes from it may still wait to be read.

        An event loop reports unread bytes and the end behind them as the same readiness, so this looks now and then.
        Where the platform cannot tell, it never returns: the end is found when the bytes are read.
        """
        poll = select.poll()
        poll.register(self._sock, getattr(select, "POLLRDHUP", 0))
        while not poll.poll(0):
            await trio.sleep(HANG_UP_POLL)

    def close_with_reset(self, on: bool) -> None:
        """Whether closing resets the connection, also at the end of the process; what is unsent is lost then."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", on, 0))

    def close(self) -> None:
        """Close the socket; a task that waits for it gets trio.ClosedResourceError."""
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    async def _yield_in_turn(self) -> None:
        # Before a system call, never after one: a cancellation must not swallow bytes that were moved already.
        if self._greed >= PATIENCE:
            self._greed = 0
            await trio.lowlevel.checkpoint()
