"""One connection without I/O: bytes in, events out, messages in, bytes out. One class for both ends.

Rules:
- A server receives requests and sends replies; a client the other way round. Replies have no tag: the oldest request
  that awaits one gets it. A request without a reply is never queued.
- A request is refused on its 9-byte head alone if its command, its phase or its size is wrong, a reply on its 8-byte
  head if its size is not the one that the request calls for. Nothing is stored before that.
- Small messages are parsed from one buffer. Bulk bytes are not: after PayloadExpected the caller takes what is buffered
  with `take_payload`, fills the rest itself and reports each piece with `payload_received`; only then do events go on.
- A violation ends the connection: the error is raised, and raised again by every later call that looks for an event.
- Requests that came before the end of the stream or before a violation may still be answered.
- The caller is trusted: its mistakes are ValueError and RuntimeError, never ProtocolError.

    while (event := connection.next_event()) is not NEED_DATA: ...
"""

from collections import deque
from enum import Enum
from typing import Final

import attrs

from refimpl.errors import FrameError, PhaseError, ProtocolError
from refimpl.limits import Limits
from refimpl.session.phases import Phase, check, transitions
from refimpl.wire.codec import Codec
from refimpl.wire.layout import REPLY_HEAD, REQUEST_HEAD
from refimpl.wire.messages import Reply, Request, TensorData
from spec.dialect import Dialect
from spec.names import Command

__all__ = ["NEED_DATA", "Connection", "ConnectionClosed", "Event", "NeedData", "PayloadExpected", "Role"]


class Role(Enum):
    """Which end of the connection this is."""

    SERVER = "server"
    CLIENT = "client"


class NeedData(Enum):
    """The one value of this class says: nothing to do before more bytes are received."""

    NEED_DATA = "NEED_DATA"


NEED_DATA: Final = NeedData.NEED_DATA


@attrs.frozen
class ConnectionClosed:
    """The peer sent no more. inside_message: it stopped in the middle of one."""

    inside_message: bool


@attrs.frozen
class PayloadExpected:
    """`size` bulk bytes belong to `message`: SetTensor or SetTensor2D at a server, TensorData at a client."""

    message: Request | TensorData
    size: int


Event = Request | Reply | PayloadExpected | ConnectionClosed | NeedData

SMALL = 4096
"""bytes; below it two copies are cheaper than a view"""
KEEP_CONSUMED = 1 << 16
"""bytes already parsed that may stay in front of the buffer; bounds the work of cutting them off"""


class Connection:
    """See the module's rules. `limits` bounds what a peer may declare, not what a client asks for."""

    def __init__(self, role: Role, dialect: Dialect, limits: Limits, codec: Codec | None = None) -> None:
        self.role = role
        self.codec = codec or Codec(dialect, limits)
        self._transitions = transitions(dialect)
        self._enter(Phase.GREETING)
        self._head = REQUEST_HEAD if role is Role.SERVER else REPLY_HEAD
        self._buffer = bytearray()
        self._parsed = 0
        self._declared: tuple[int, int, int] | None = None
        self._payload_left = 0
        self._unanswered: deque[Request] = deque()
        self._ended = False
        self._error: ProtocolError | None = None

    @property
    def buffered(self) -> int:
        """Bytes received and not yet parsed or taken."""
        return len(self._buffer) - self._parsed

    @property
    def missing(self) -> int:
        """How many more bytes the next event needs at least; the rest of the payload while one is awaited."""
        if self._payload_left:
            return self._payload_left
        wanted = self._declared[1] if self._declared else self._head.size
        return max(wanted - self.buffered, 0)

    @property
    def payload_left(self) -> int:
        """Bulk bytes still to be taken or reported before events go on."""
        return self._payload_left

    @property
    def inside_message(self) -> bool:
        """Whether a message has begun of which more is to come, or of which bytes are still to be parsed."""
        return bool(self.buffered or self._declared or self._payload_left)

    @property
    def unanswered(self) -> int:
        """Requests that await a reply."""
        return len(self._unanswered)

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Append what the transport read; empty means that the peer sends no more, and may be said again."""
        if not data:
            self._ended = True
            return
        if self._ended:
            raise RuntimeError("bytes after the end of the stream")
        if self._parsed == len(self._buffer):
            self._buffer.clear()
            self._parsed = 0
        elif self._parsed > KEEP_CONSUMED:
            del self._buffer[: self._parsed]
            self._parsed = 0
        self._buffer += data

    def next_event(self) -> Event:
        """The next thing that happened. Raises ProtocolError (FrameError, PhaseError) when the peer broke a clause."""
        if self._error is not None:
            raise self._error
        if self._payload_left:
            return self._inside_payload()
        try:
            return self._next_request() if self.role is Role.SERVER else self._next_reply()
        except ProtocolError as error:
            self._error = error
            self._enter(Phase.CLOSED)
            raise

    def take_payload(self, view: memoryview) -> int:
        """Move buffered bulk bytes into `view` (writable, of single bytes); returns how many, perhaps 0."""
        count = min(len(view), self.buffered, self._payload_left)
        if count:
            start = self._parsed
            with memoryview(self._buffer) as whole:
                view[:count] = whole[start : start + count]
            self._parsed += count
            self._payload_left -= count
        return count

    def payload_received(self, count: int) -> None:
        """Report `count` bulk bytes that went past this object, straight into their place."""
        if count < 0 or count > self._payload_left or self.buffered:
            raise ValueError(f"{count} bytes reported; {self._payload_left} awaited, {self.buffered} still buffered")
        self._payload_left -= count

    def send(self, message: Request | Reply) -> bytes:
        """Bytes to write for a message, without its bulk, which follows. RuntimeError if it may not be sent now."""
        if isinstance(message, Reply):
            return self._send_reply(message)
        return self._send_request(message)

    def _send_request(self, request: Request) -> bytes:
        if self.role is not Role.CLIENT:
            raise RuntimeError("only a client sends requests")
        try:
            self._check_phase(request.command)
        except PhaseError as error:
            raise RuntimeError(f"{request.command.name} may not be sent: {error}") from error
        encoded = self.codec.encode_request(request)
        self._accept(request)
        return encoded

    def _send_reply(self, reply: Reply) -> bytes:
        if self.role is not Role.SERVER:
            raise RuntimeError("only a server sends replies")
        if not self._unanswered:
            raise RuntimeError(f"no request awaits {type(reply).__name__}")
        request = self._unanswered[0]
        if not self.codec.answers(request, reply):
            raise RuntimeError(f"{reply} does not answer {request}")
        encoded = self.codec.encode_reply(reply)
        self._unanswered.popleft()
        return encoded

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._legal: dict[int, Phase] = {
            int(command): after for (before, command), after in self._transitions.items() if before is phase
        }

    def _check_phase(self, command: int) -> None:
        """PhaseError if `command`, one of the dialect's, may not be sent now."""
        if command not in self._legal:
            check(self._transitions, self.phase, Command(command))

    def _accept(self, request: Request) -> None:
        """Await the reply to `request`, if it has one, and go where the table says."""
        if self.codec.has_reply(request):
            self._unanswered.append(request)
        after = self._legal[request.command]
        if after is not self.phase:
            self._enter(after)

    def _inside_payload(self) -> Event:
        if self._ended and not self.buffered:
            return self._closed(inside_message=True)
        raise RuntimeError(f"{self._payload_left} bytes of payload are to be taken before the next event")

    def _closed(self, inside_message: bool) -> ConnectionClosed:
        self._enter(Phase.CLOSED)
        return ConnectionClosed(inside_message)

    def _starved(self) -> Event:
        """Too few bytes for the next step: wait for more, or there are none to come."""
        if not self._ended:
            return NEED_DATA
        return self._closed(inside_message=bool(self.buffered or self._declared))

    def _take(self, size: int) -> bytes:
        start = self._parsed
        self._parsed = end = start + size
        if size < SMALL:
            return bytes(self._buffer[start:end])
        with memoryview(self._buffer) as whole:
            taken = bytes(whole[start:end])
        if end == len(self._buffer):
            self._buffer, self._parsed = bytearray(), 0  # the peer may be silent for long: its graph is not kept twice
        return taken

    def _next_request(self) -> Event:
        declared = self._declared
        if declared is None:
            if self.buffered < REQUEST_HEAD.size:
                return self._starved()
            declared = self._declared = self._read_head()
        command, needed, size = declared
        if self.buffered < needed:
            return self._starved()
        self._declared = None
        request = self.codec.decode_request(command, self._take(needed), size - needed)
        self._accept(request)
        if self.codec.has_bulk(command):
            self._payload_left = request.payload_bytes
            return PayloadExpected(request, request.payload_bytes)
        return request

    def _read_head(self) -> tuple[int, int, int]:
        """Command, bytes of the body to buffer, and declared body size of the request at the cursor; all checked."""
        command, size = REQUEST_HEAD.unpack_from(self._buffer, self._parsed)
        self.codec.check_known(command)
        self._check_phase(command)
        self.codec.check_size(command, size)
        self._parsed += REQUEST_HEAD.size
        return command, self.codec.fixed_bytes(command, size), size

    def _next_reply(self) -> Event:
        if self._declared is None:
            if self.buffered < REPLY_HEAD.size:
                return self._starved()
            self._declared = self._read_reply_head()
        _, needed, size = self._declared
        if self.buffered < needed:
            return self._starved()
        self._declared = None
        reply = self.codec.decode_reply(self._unanswered[0], self._take(needed))
        self._unanswered.popleft()
        if isinstance(reply, TensorData):
            self._payload_left = size
            return PayloadExpected(reply, size)
        return reply

    def _read_reply_head(self) -> tuple[int, int, int]:
        """Command, bytes to buffer and declared size of the reply at the cursor; all checked."""
        (size,) = REPLY_HEAD.unpack_from(self._buffer, self._parsed)
        if not self._unanswered:
            raise FrameError("FRAME-6", f"a reply of {size} bytes that no request awaits")
        request = self._unanswered[0]
        expected = self.codec.reply_size(request)
        if size != expected:
            raise FrameError("FRAME-6", f"{request.command.name} is answered with {size} bytes instead of {expected}")
        self._parsed += REPLY_HEAD.size
        return request.command, 0 if request.reply_bytes is not None else size, size
