"""Requests to one node and its replies, for any number of tasks.

Rules of this file:
- A request without a reply is written and forgotten: it waits for the socket only, also while another task awaits a
  reply.
- Requests with a reply are asked one at a time; the reply that comes belongs to the one that was asked.
- This protocol has no error reply: a node refuses a command by closing, and the client sees it at a later one. So the
  error names every command since the last reply, the refused one among them.
- No reply comes unasked: bytes that are there before a request goes out belong to no reply, and nor does what has
  another size than the reply that is awaited. Whoever sends such bytes is not understood any further.
- A message that was cut short, by a cancellation or a timeout, makes the rest of the stream meaningless: the channel
  is broken from then on and says why.
- A node answers in the order of the requests, so behind one that makes it compute, or move much memory, every other has
  to wait. Until a reply shows that it is done, the longer patience holds.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs
import trio

from refimpl.errors import FrameError, NodeClosed, NodeError, NodeTimeout, ProtocolError
from refimpl.service.transport import Transport
from refimpl.session.connection import Connection, ConnectionClosed, NeedData, PayloadExpected
from refimpl.wire.messages import Reply, Request, SetTensor, TensorData
from spec.names import Command

__all__ = ["Channel", "Patience", "Progress"]

Progress = Callable[[int], None]
"""called on the event loop with the payload bytes handed to the socket so far"""

PIECE = 4 << 20
"""payload bytes between two reports of progress"""
NAMED = 8
"""commands that an error names at most"""
LABOUR = frozenset(
    {
        Command.GRAPH_COMPUTE,
        Command.GRAPH_RECOMPUTE,
        Command.BUFFER_CLEAR,
        Command.MEMSET_TENSOR,
        Command.COPY_TENSOR,
        Command.SET_TENSOR_HASH,
    }
)
"""what may keep a node busy for as long as a graph does; also SET_TENSOR where the node keeps the bytes on its disk"""


@attrs.frozen
class Patience:
    """The longest waits, in seconds, for a byte of a reply or for room to send one."""

    reply: float
    computing: float
    """while the node may be computing"""


class Channel:
    """The client's end of one connection."""

    def __init__(self, endpoint: str, transport: Transport, connection: Connection, patience: Patience) -> None:
        self.endpoint = endpoint
        self._transport = transport
        self._connection = connection
        self._patience = patience
        self._labouring = False
        self._writing = trio.StrictFIFOLock()
        self._asking = trio.StrictFIFOLock()
        self._since_reply: deque[tuple[str, int]] = deque(maxlen=NAMED)
        self._answered = ""
        self._broken: NodeError | None = None

    async def push(self, request: Request, payload: memoryview | bytes = b"", progress: Progress | None = None) -> None:
        """Send a request that has no reply, with its payload (contiguous bytes) straight from where it is.

        Raises NodeClosed or NodeTimeout.
        """
        async with self._writing:
            with self._whole(request):
                self._note(request)
                head = self._connection.send(request)
                if len(payload) <= PIECE >> 6:
                    await self._transport.send(head + bytes(payload), self._silence)
                else:
                    await self._transport.send(head, self._silence)
                    await self._send_pieces(memoryview(payload), progress)
        if progress is not None:
            progress(len(payload))

    async def ask(self, request: Request, into: memoryview | None = None) -> Reply:
        """Send a request and await its reply; a bulk reply goes to `into`, which has exactly its size.

        Raises NodeClosed, NodeTimeout, and ProtocolError, with the endpoint in its detail, for a reply that is none.
        """
        async with self._asking:
            with self._whole(request):
                self._check_quiet()
            await self.push(request)
            with self._whole(request):
                reply = await self._reply(into)
                self._since_reply.clear()
                self._answered = request.command.name
                self._labouring = False
                return reply

    def close(self) -> None:
        """Leave, without a goodbye: this protocol has none."""
        self._transport.close()

    @property
    def pending(self) -> str:
        """The commands since the last reply, in words; empty when there are none."""
        return self._suspects()

    def _check_quiet(self) -> None:
        """FrameError when there are bytes although no request awaits a reply."""
        if self._connection.buffered or self._transport.has_bytes():
            behind = [f"the reply to {self._answered}"] if self._answered else []
            behind += [self._suspects()] if self._since_reply else []
            raise FrameError("FRAME-6", f"sends what nobody asked for, behind {' and '.join(behind) or 'nothing'}")

    @property
    def _silence(self) -> float:
        return self._patience.computing if self._labouring else self._patience.reply

    async def _send_pieces(self, payload: memoryview, progress: Progress | None) -> None:
        for start in range(0, len(payload), PIECE):
            await self._transport.send(payload[start : start + PIECE], self._silence)
            if progress is not None:
                progress(min(start + PIECE, len(payload)))

    async def _reply(self, into: memoryview | None) -> Reply:
        while isinstance(event := self._connection.next_event(), NeedData):
            self._connection.receive(await self._transport.receive(self._silence))
        if isinstance(event, ConnectionClosed):
            raise ConnectionError
        if isinstance(event, PayloadExpected) and isinstance(event.message, TensorData):
            if into is None or len(into) != event.size:
                raise ValueError(f"a reply of {event.size} bytes needs memory of that size")
            await self._receive_payload(into)
            return event.message
        if not isinstance(event, Reply):
            raise TypeError(f"a client got {event!r}")
        return event

    async def _receive_payload(self, view: memoryview) -> None:
        done = self._connection.take_payload(view)
        while done < len(view):
            count = await self._transport.receive_into(view[done:], self._silence)
            if not count:
                raise ConnectionError
            self._connection.payload_received(count)
            done += count

    @contextmanager
    def _whole(self, request: Request) -> Iterator[None]:
        """All of a request or a reply, or the channel is broken."""
        if self._broken is not None:
            raise type(self._broken)(self.endpoint, self._broken.detail)
        name = request.command.name
        try:
            yield
        except ConnectionError:
            self._broken = NodeClosed(self.endpoint, self._closed())
            raise self._broken from None
        except trio.TooSlowError:
            doing = ", which may take long," if self._labouring else ""
            detail = f"silent for {self._silence:g} s during {name}; not answered yet{doing}: {self._suspects()}"
            self._broken = NodeTimeout(self.endpoint, detail)
            raise self._broken from None
        except ProtocolError as error:
            self._broken = NodeClosed(self.endpoint, f"answered {name} with what is no answer ({error})")
            since = f"; since the last right reply: {self._suspects()}" if len(self._since_reply) > 1 else ""
            raise type(error)(error.clause, f"{self.endpoint}: {error.detail}{since}") from None
        except BaseException:
            self._broken = NodeClosed(self.endpoint, f"{name} was given up halfway; connect again")
            raise

    def _note(self, request: Request) -> None:
        """Remember a command that the node may yet refuse, and whether it makes it labour."""
        name = request.command.name
        count = self._since_reply.pop()[1] + 1 if self._since_reply and self._since_reply[-1][0] == name else 1
        self._since_reply.append((name, count))
        kept = isinstance(request, SetTensor) and request.cache_flag != 0
        self._labouring = self._labouring or kept or request.command in LABOUR

    def _closed(self) -> str:
        return f"closed the connection: it ended, or it refused {self._suspects()}; its log says which"

    def _suspects(self) -> str:
        words = [name if count == 1 else f"{name} ({count} of them)" for name, count in self._since_reply]
        return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
