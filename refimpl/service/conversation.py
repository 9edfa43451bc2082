"""One connection of a node, from its first byte to its last.

Rules of this file:
- Commands take effect in the order in which they came, one at a time. What is buffered is dealt with before the
  socket is looked at again; after `BURST` commands without a pause the other connections get their turn.
- A payload goes from the socket straight to where it belongs, and a tensor from where it is straight to the socket.
- Whatever takes long without waiting (a graph, a large fill, the tensor cache) goes to a thread, and the connection
  waits for it.
- While a graph runs the socket is read ahead, up to `limits.read_ahead` bytes, to learn when the peer leaves. Then
  the graph is stopped, and what the peer had sent behind it is dropped: nobody is left to see its effects. That holds
  also for a peer that only said it would send no more, because TCP cannot tell the two apart and this protocol's
  clients never do that. Outside a run, everything that came before the end is honoured.
- A fault that a run found (a bad index) ends the connection before any later reply leaves it.
"""

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from refimpl.device.protocol import Program
from refimpl.graph.build import build
from refimpl.service.commands import COMMANDS, moved_bytes
from refimpl.service.describe import describe
from refimpl.service.holdings import Holdings, Seat
from refimpl.service.node import Node
from refimpl.service.running import run_watched
from refimpl.service.transport import Transport
from refimpl.session.connection import Connection, NeedData, PayloadExpected, Role
from refimpl.session.phases import Phase
from refimpl.session.regions import Region, resolve_2d
from refimpl.trace import CommandTaken, GraphRan
from refimpl.wire import messages as wire
from refimpl.wire.strided import BATCH, Pieces
from spec.names import Command

__all__ = ["Conversation"]

BURST = 64
"""commands dealt with before others get their turn"""
LARGE_MOVE = 8 << 20
"""bytes of memory traffic that are worth a thread"""
LARGE_GRAPH = 64 << 10
"""bytes of a GRAPH_COMPUTE body whose check and compilation are worth a thread"""
SMALL_REPLY = 64 << 10
"""bytes of tensor data that are copied behind their head, to leave in one packet"""


class Conversation:
    """Drives one Connection over one Transport. `close` gives back what it has, however `run` has ended."""

    def __init__(self, node: Node, transport: Transport, endpoint: str) -> None:
        self.own = Holdings(node.seats, node.limits, node.graph_uids)
        self.commands = 0
        self._node = node
        self._transport = transport
        self._endpoint = endpoint
        self._connection = Connection(Role.SERVER, node.dialect, node.limits, node.codec)
        self._burst = 0
        self._deadline = trio.current_time() + node.limits.hello_timeout

    async def run(self) -> None:
        """Talk until the peer leaves.

        Raises ProtocolError for a peer that broke a clause, ComputeStopped for one that left while its graph ran,
        ConnectionError for one that left before its reply, trio.TooSlowError for one that was silent for too long.
        """
        while (message := await self._next_request()) is not None:
            self.commands += 1
            if self._node.tell_commands:
                self._node.trace(CommandTaken(self._endpoint, message.command.name, describe(message)))
            await self._take(message)
            self._burst += 1
            if self._burst >= BURST:
                self._burst = 0
                await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Give back everything that the connection had."""
        self.own.close()

    async def _next_request(self) -> wire.Request | None:
        """The next request, complete but for its payload; None when the peer has gone."""
        while isinstance(event := self._connection.next_event(), NeedData):
            data = await self._transport.receive(self._silence())
            self._connection.receive(data)
        message = event.message if isinstance(event, PayloadExpected) else event
        return message if isinstance(message, wire.Request) else None

    def _silence(self) -> float:
        """How long the peer may say nothing now."""
        if self._connection.phase is Phase.GREETING:
            return max(0.0, self._deadline - trio.current_time())
        if self._connection.inside_message:
            return self._node.limits.message_timeout
        return math.inf

    async def _take(self, message: wire.Request) -> None:
        if waiting := WAITING.get(type(message)):
            await waiting(self, message)
            return
        handler = COMMANDS[type(message)]
        if moved_bytes(self.own, message) >= LARGE_MOVE:
            reply = await trio.to_thread.run_sync(handler, self.own, message)
        else:
            reply = handler(self.own, message)
        if reply is not None:
            await self._answer(reply)

    async def _answer(self, reply: wire.Reply) -> None:
        await self._transport.send(self._connection.send(reply), self._node.limits.send_timeout)

    async def _hello(self, message: wire.Hello) -> None:
        """Capabilities of all zeros decline whatever transport the peer offers besides TCP."""
        await self._answer(wire.HelloReply(*self._node.dialect.version))

    async def _set_tensor(self, message: wire.SetTensor) -> None:
        view = self.own.writable(self.own.region(message.tensor, message.offset, message.size))
        if not await self._receive_payload(view):
            return
        if message.cache_flag and self._node.cache is not None:
            await trio.to_thread.run_sync(self._node.cache.store, view)

    async def _receive_payload(self, view: memoryview) -> bool:
        """Fill `view`; False if the peer left before it was full."""
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
        await self._send_data(head, self.own.readable(region))

    async def _send_data(self, head: bytes, data: memoryview) -> None:
        silence = self._node.limits.send_timeout
        if len(data) <= SMALL_REPLY:
            await self._transport.send(head + data, silence)
        else:
            await self._transport.send(head, silence)
            await self._transport.send(data, silence)

    async def _set_tensor_2d(self, message: wire.SetTensor2D) -> None:
        span, pieces = self._span(message, self.own.writable)
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
        span, pieces = self._span(message, self.own.readable)
        head = self._connection.send(wire.TensorData(pieces.packed_bytes))
        silence = self._node.limits.send_timeout
        if pieces.contiguous:
            await self._send_data(head, span)
            return
        await self._transport.send(head, silence)
        for first, count in pieces.batches():
            packed = pieces.piece(span, first) if pieces.whole else pieces.gather(span, first, count)
            await self._transport.send(packed, silence)

    def _span(
        self, message: wire.SetTensor2D | wire.GetTensor2D, memory: Callable[[Region], memoryview]
    ) -> tuple[memoryview, Pieces]:
        """Memory from the first byte of the first piece on, and where in it the pieces are."""
        numbers = (message.size, message.n_copies, message.stride)
        region = resolve_2d(self.own.ledger, message.tensor, message.offset, numbers)
        return memory(region), Pieces(message.size, message.n_copies, message.stride)

    async def _set_tensor_hash(self, message: wire.SetTensorHash) -> None:
        """Without a cache, and for a tensor that is not in it, the answer is 0 whatever the tensor says."""
        cache = self._node.cache
        found = False
        if cache is not None and cache.path(message.hash).exists():
            room = self.own.room(message.tensor, message.offset)
            found = await trio.to_thread.run_sync(cache.load, message.hash, self.own.writable(room))
        await self._answer(wire.SetTensorHashReply(int(found)))

    async def _graph_compute(self, message: wire.GraphCompute) -> None:
        seat = self.own.seat(message.device)
        program = self.own.programs.find(message)
        fresh = program is None
        if program is None:
            if len(message.body) > LARGE_GRAPH or self.own.programs.crowded(message.device):
                program = await trio.to_thread.run_sync(self._add, seat, message)
            else:
                program = self._add(seat, message)
        await self._run(seat, program, fresh)

    def _add(self, seat: Seat, message: wire.GraphCompute) -> Program:
        program = self._compile(seat, message)
        self.own.programs.add(message, program)
        return program

    def _compile(self, seat: Seat, message: wire.GraphCompute) -> Program:
        node = self._node
        graph = build(message.nodes, message.tensors, self.own.ledger.table(), node.limits, node.dialect)
        return seat.device.compile(graph, self.own.memory_of(graph.handles))

    async def _graph_recompute(self, message: wire.GraphRecompute) -> None:
        seat = self.own.seat(message.device)
        program = self.own.programs.recall(message.device, message.uid)
        fresh = program is None
        if program is None:
            program = await trio.to_thread.run_sync(self._wake, seat, message)
        await self._run(seat, program, fresh)

    def _wake(self, seat: Seat, message: wire.GraphRecompute) -> Program:
        """Compile once more a graph that is remembered without its program."""
        body = self.own.programs.wake(message.device, message.uid)
        graph = self._node.codec.decode_request(Command.GRAPH_COMPUTE, body)
        if not isinstance(graph, wire.GraphCompute):
            raise TypeError(f"{graph!r} was remembered as a graph")
        program = self._compile(seat, graph)
        self.own.programs.woken(message.device, message.uid, graph, program)
        return program

    async def _run(self, seat: Seat, program: Program, fresh: bool) -> None:
        self._burst = 0
        start = time.perf_counter()
        await run_watched(seat, program, self._until_gone)
        self._node.trace(GraphRan(self._endpoint, seat.device.name, time.perf_counter() - start, fresh))

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
    wire.SetTensor: Conversation._set_tensor,
    wire.GetTensor: Conversation._get_tensor,
    wire.SetTensor2D: Conversation._set_tensor_2d,
    wire.GetTensor2D: Conversation._get_tensor_2d,
    wire.SetTensorHash: Conversation._set_tensor_hash,
    wire.GraphCompute: Conversation._graph_compute,
    wire.GraphRecompute: Conversation._graph_recompute,
}
"""commands that wait for the socket, a device or the cache; all others are in commands.COMMANDS"""
