"""One connection of a node, from its first byte to its last.

Rules of this file:
- Commands take effect in the order in which they came, one at a time. What is buffered is dealt with before the
  socket is looked at again; after `BURST` commands without a pause the other connections get their turn.
- A payload goes from the socket straight to where it belongs, and a tensor from where it is straight to the socket.
- Whatever takes long without waiting (a graph, a large fill, giving much memory back, the tensor cache) goes to a
  thread, and the connection waits for it.
- Every wait for the peer has a limit. A message has to come in whole in one such time, so that nobody keeps one open
  byte by byte; tensor data, of any size, must not pause for longer.
- While a graph runs the socket is read ahead, up to `limits.read_ahead` bytes, to learn when the peer leaves. Then
  the graph is stopped, and what the peer had sent behind it is dropped: nobody is left to see its effects. That holds
  also for a peer that only said it would send no more, because TCP cannot tell the two apart and this protocol's
  clients never do that. Outside a run, everything that came before the end is honoured.
- A fault that a run found (a bad index) ends the connection before any later reply leaves it.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import trio

from refimpl.service.commands import COMMANDS, moved_bytes
from refimpl.service.describe import describe
from refimpl.service.holdings import Holdings, Loose, release
from refimpl.service.node import Node, Peer
from refimpl.service.running import Computing
from refimpl.service.transport import Transport
from refimpl.session.connection import Connection, ConnectionClosed, NeedData, PayloadExpected, Role
from refimpl.session.phases import Phase
from refimpl.session.regions import Region, resolve_2d
from refimpl.trace import CommandTaken
from refimpl.wire import messages as wire
from refimpl.wire.strided import BATCH, Pieces

__all__ = ["Conversation"]

BURST = 64
"""commands dealt with before others get their turn"""
BURST_BYTES = 64 << 10
"""bytes of memory traffic that count as one more command"""
LARGE_MOVE = 1 << 20
"""bytes of memory traffic that are worth a thread"""
LARGE_RELEASE = 16 << 20
"""bytes that are worth a thread to be given back"""
MANY_RELEASED = 64
"""buffers that are"""
SMALL_REPLY = 64 << 10
"""bytes of tensor data that are copied behind their head, to leave in one packet"""


T = TypeVar("T")


class Conversation:
    """Drives one Connection over one Transport. `close` gives back what it has, however `run` has ended."""

    def __init__(self, node: Node, transport: Transport, peer: Peer) -> None:
        self.own = Holdings(node.seats, node.limits, node.graph_uids, node.shared)
        self.commands = 0
        self.cut_short = False
        """the peer has left in the middle of a message"""
        self.awaited = ""
        """what the peer was last waited for, in words that name the limit"""
        self._node = node
        self._transport = transport
        self._peer = peer
        self._connection = Connection(Role.SERVER, node.dialect, node.limits, node.codec)
        self._arrival = node.shared.arrivals.join()
        self._computing = Computing(node, self.own, self._arrival, peer.endpoint)
        self._burst = 0
        self._opened = trio.current_time()
        self._begun: float | None = None
        """when the rest of the message under way was waited for first"""

    async def run(self) -> None:
        """Talk until the peer leaves.

        Raises ProtocolError for a peer that broke a clause, ComputeStopped for one that left while its graph ran,
        ConnectionError for one that left before its reply, trio.TooSlowError for one that was silent for too long,
        OutOfMemory for one whose message or graph there is no room for.
        """
        while (message := await self._next_request()) is not None:
            self.commands += 1
            if self._node.tell_commands:
                self._node.trace(CommandTaken(self._peer.endpoint, message.command.name, describe(message)))
            await self._take(message)
            self._burst += 1
            if self._burst >= BURST:
                self._burst = 0
                await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        """Give back everything that the connection had."""
        self._node.shared.arrivals.leave(self._arrival)
        await self._give_back(self.own.strike_all())

    async def _next_request(self) -> wire.Request | None:
        """The next request, complete but for its payload; None when the peer has gone."""
        while isinstance(event := self._connection.next_event(), NeedData):
            self._connection.receive(await self._more())
        self._begun = None
        self.cut_short = isinstance(event, ConnectionClosed) and event.inside_message
        message = event.message if isinstance(event, PayloadExpected) else event
        return message if isinstance(message, wire.Request) else None

    async def _more(self) -> memoryview:
        """Some more bytes of requests; none at the end. What is kept of a large one counts among all connections'."""
        kept, silence = self._connection.buffered, self._silence()
        if kept <= self._node.limits.read_ahead:
            return await self._transport.receive(silence)
        self._arrival.grow(kept)
        with self._arrival.waiting():
            data = await self._transport.receive(silence)
        self._arrival.check()
        return data

    def _silence(self) -> float:
        """How long the peer may say nothing now."""
        limits, now = self._node.limits, trio.current_time()
        if self._connection.phase is Phase.GREETING:
            self.awaited = "HELLO (limits.hello_timeout)"
            return max(0.0, self._opened + limits.hello_timeout - now)
        if self._connection.inside_message:
            self.awaited = "the rest of a message (limits.message_timeout)"
            self._begun = now if self._begun is None else self._begun
            return max(0.0, self._begun + limits.message_timeout - now)
        self.awaited = "the next message (limits.idle_timeout)"
        return limits.idle_timeout

    async def _take(self, message: wire.Request) -> None:
        if waiting := WAITING.get(type(message)):
            await waiting(self, message)
            return
        handler = COMMANDS[type(message)]
        moved = moved_bytes(self.own, message)
        if moved >= LARGE_MOVE:
            reply = await self._in_thread(partial(handler, self.own, message))
        else:
            reply = handler(self.own, message)
            self._burst += moved // BURST_BYTES
        if reply is not None:
            await self._answer(reply)

    async def _in_thread(self, move: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(move, limiter=self._node.shared.threads.moving)

    async def _view(self, region: Region, memory: Callable[[Region], memoryview]) -> memoryview:
        """Memory of a region, by one of Holdings' two ways to it."""
        if self.own.pending(region) >= LARGE_MOVE:
            return await self._in_thread(partial(memory, region))
        return memory(region)

    async def _free_buffer(self, message: wire.FreeBuffer) -> None:
        await self._give_back([self.own.strike(message.handle)])

    async def _give_back(self, loose: list[Loose]) -> None:
        """Not to be cancelled: nobody else knows of this memory any more."""
        if len(loose) > MANY_RELEASED or sum(one.allocation.size for one in loose) > LARGE_RELEASE:
            with trio.CancelScope(shield=True):
                await self._in_thread(partial(release, loose))
        else:
            release(loose)

    async def _send(self, data: bytes | memoryview) -> None:
        self.awaited = "it to take in a reply (limits.send_timeout)"
        await self._transport.send(data, self._node.limits.send_timeout)

    async def _answer(self, reply: wire.Reply) -> None:
        await self._send(self._connection.send(reply))

    async def _hello(self, message: wire.Hello) -> None:
        """Capabilities of all zeros decline whatever transport the peer offers besides TCP."""
        await self._answer(wire.HelloReply(*self._node.dialect.version))

    async def _set_tensor(self, message: wire.SetTensor) -> None:
        view = await self._view(self.own.region(message.tensor, message.offset, message.size), self.own.writable)
        if not await self._receive_payload(view):
            return
        cache = self._node.cache
        if message.cache_flag and cache is not None:
            disk = self._node.shared.threads.disk
            await trio.to_thread.run_sync(cache.store, view, self._peer.host, limiter=disk)

    async def _receive_payload(self, view: memoryview) -> bool:
        """Fill `view`; False if the peer left before it was full."""
        self.awaited = "tensor data (limits.message_timeout)"
        done = self._connection.take_payload(view)
        while done < len(view):
            count = await self._transport.receive_into(view[done:], self._node.limits.message_timeout)
            if not count:
                self._connection.receive(b"")
                return False
            self._connection.payload_received(count)
            done += count
        return True

    async def _get_tensor(self, message: wire.GetTensor) -> None:
        region = self.own.region(message.tensor, message.offset, message.size)
        head = self._connection.send(wire.TensorData(region.size))
        await self._send_data(head, await self._view(region, self.own.readable))

    async def _send_data(self, head: bytes, data: memoryview) -> None:
        if len(data) <= SMALL_REPLY:
            await self._send(head + data)
        else:
            await self._send(head)
            await self._send(data)

    async def _set_tensor_2d(self, message: wire.SetTensor2D) -> None:
        span, pieces = await self._span(message, self.own.writable)
        if pieces.contiguous:
            await self._receive_payload(span)
            return
        scratch = memoryview(bytearray(0 if pieces.whole else min(BATCH, pieces.packed_bytes)))
        for first, count in pieces.batches():
            if pieces.whole:
                if not await self._receive_payload(pieces.piece(span, first)):
                    return
                continue
            packed = scratch[: count * pieces.size]
            if not await self._receive_payload(packed):
                return
            pieces.scatter(span, first, packed)

    async def _get_tensor_2d(self, message: wire.GetTensor2D) -> None:
        span, pieces = await self._span(message, self.own.readable)
        head = self._connection.send(wire.TensorData(pieces.packed_bytes))
        if pieces.contiguous:
            await self._send_data(head, span)
            return
        await self._send(head)
        for first, count in pieces.batches():
            packed = pieces.piece(span, first) if pieces.whole else pieces.gather(span, first, count)
            await self._send(packed)

    async def _span(
        self, message: wire.SetTensor2D | wire.GetTensor2D, memory: Callable[[Region], memoryview]
    ) -> tuple[memoryview, Pieces]:
        """Memory from the first byte of the first piece on, and where in it the pieces are."""
        numbers = (message.size, message.n_copies, message.stride)
        region = resolve_2d(self.own.ledger, message.tensor, message.offset, numbers)
        return await self._view(region, memory), Pieces(message.size, message.n_copies, message.stride)

    async def _set_tensor_hash(self, message: wire.SetTensorHash) -> None:
        """Without a cache, and for a tensor that is not in it, the answer is 0 whatever the tensor says."""
        found, cache = False, self._node.cache
        if cache is not None:
            room = partial(self.own.room, message.tensor, message.offset)
            load = partial(cache.load, message.hash, self._peer.host, lambda: self.own.writable(room()))
            found = await trio.to_thread.run_sync(load, limiter=self._node.shared.threads.disk)
        await self._answer(wire.SetTensorHashReply(int(found)))

    async def _graph_compute(self, message: wire.GraphCompute) -> None:
        self._burst = 0
        await self._computing.compute(message, self._until_gone)

    async def _graph_recompute(self, message: wire.GraphRecompute) -> None:
        self._burst = 0
        await self._computing.recompute(message, self._until_gone)

    async def _until_gone(self) -> None:
        """Read ahead; return when the peer has gone."""
        while self._connection.buffered < self._node.limits.read_ahead:
            data = await self._transport.receive(math.inf)
            self._connection.receive(data)
            if not data:
                return
        await self._transport.wait_hang_up()


WAITING: dict[type[wire.Request], Callable[[Conversation, Any], Awaitable[None]]] = {
    wire.Hello: Conversation._hello,
    wire.FreeBuffer: Conversation._free_buffer,
    wire.SetTensor: Conversation._set_tensor,
    wire.GetTensor: Conversation._get_tensor,
    wire.SetTensor2D: Conversation._set_tensor_2d,
    wire.GetTensor2D: Conversation._get_tensor_2d,
    wire.SetTensorHash: Conversation._set_tensor_hash,
    wire.GraphCompute: Conversation._graph_compute,
    wire.GraphRecompute: Conversation._graph_recompute,
}
"""commands that wait for the socket, a device or the cache; all others are in commands.COMMANDS"""
