"""One connection to a server on a plain blocking socket, for measuring what the server takes: bytes are made before
the clock starts, and nothing runs here between a request and its reply but the system's own calls.
"""

import socket
import struct
import time
from types import TracebackType

import numpy as np

from refimpl.limits import Limits
from refimpl.wire import messages as wire
from refimpl.wire.codec import Codec
from refimpl.wire.tensor import RPC_TENSOR
from spec.dialect import Dialect
from spec.names import Type

__all__ = ["Line", "bytes_at"]

SIZE = struct.Struct("<Q")
TIMEOUT = 60.0
"""seconds for any reply"""


class Line:
    """Greets when it is opened. Raises OSError, and EOFError where the server closes the connection."""

    def __init__(self, endpoint: str, dialect: Dialect) -> None:
        host, _, port = endpoint.rpartition(":")
        self.codec = Codec(dialect, Limits())
        self._socket = socket.create_connection((host, int(port)), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked(wire.Hello())

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._socket.close()

    def encoded(self, message: wire.Request, payload: bytes = b"") -> bytes:
        """The bytes of a request and its payload."""
        return self.codec.encode_request(message) + payload

    def asked(self, message: wire.Request) -> bytes:
        """Send a request and return the body of its reply."""
        self._socket.sendall(self.encoded(message))
        return self._reply()

    def seconds(self, sent: bytes, replies: int = 1) -> float:
        """From the first byte of `sent` to the last of so many replies."""
        begin = time.perf_counter()
        self._socket.sendall(sent)
        for _ in range(replies):
            self._reply()
        return time.perf_counter() - begin

    def buffer(self, size: int) -> tuple[int, int]:
        """Handle and base of a new buffer on device 0."""
        reply = self.codec.decode_reply(wire.AllocBuffer(0, size), self.asked(wire.AllocBuffer(0, size)))
        if not isinstance(reply, wire.AllocBufferReply) or not reply.handle:
            raise OSError(f"the server has no {size} bytes")
        base = self.codec.decode_reply(wire.BufferGetBase(reply.handle), self.asked(wire.BufferGetBase(reply.handle)))
        return reply.handle, base.base if isinstance(base, wire.BufferBaseReply) else 0

    def _reply(self) -> bytes:
        (size,) = SIZE.unpack(self._exactly(SIZE.size))
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise EOFError("the server has closed the connection")
            view = view[count:]
        return bytes(data)


def bytes_at(handle: int, address: int, size: int) -> np.void:
    """A record of `size` I8 elements at `address`."""
    record: np.void = np.zeros(1, RPC_TENSOR)[0]
    record["id"] = address
    record["type"] = Type.I8
    record["buffer"] = handle
    record["ne"] = (size, 1, 1, 1)
    record["nb"] = (1, size, size, size)
    record["data"] = address
    return record
