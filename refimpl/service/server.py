"""A node: connections come in, each has a conversation of its own, and none can hurt another.

Rules of this file:
- Whatever ends a conversation ends only that: a broken clause, a peer that has gone, a fault of ours. Each is one
  event of trace.py.
- When a conversation has ended, for whatever reason, everything it had is given back before the next event.
- A connection over `limits.connections` or `limits.connections_per_peer` is closed at once, before a byte of it is
  read.
- Nothing that accept() says ends the server.
- One port speaks one version, since clients do not tell theirs (HELLO-7). A process that serves several versions has a
  port for each; its devices and their queues are the same for all.
- Ending the task that serves stops running graphs, waits for them, and frees everything.
"""

import traceback
from collections.abc import Sequence
from functools import partial

import attrs
import trio

from refimpl.device.protocol import Device
from refimpl.errors import ComputeStopped, DeviceError, ProtocolError
from refimpl.limits import Limits
from refimpl.service.bounds.accepting import take_connections
from refimpl.service.bounds.shared import Shared
from refimpl.service.cache.tensors import TensorCache
from refimpl.service.conversation import Conversation
from refimpl.service.holdings import Seat
from refimpl.service.node import Node, Peer
from refimpl.service.transport import Transport, endpoint_text
from refimpl.trace import (
    AcceptFailed,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionRefused,
    LeftAfterHello,
    Trace,
    TraceEvent,
)
from refimpl.wire.codec import Codec
from spec.dialect import Dialect

__all__ = ["Server"]


def _ignore(event: TraceEvent) -> None:
    """For whoever wants no events."""


class Server:
    """Serves `devices`, numbered in that order, to any number of clients at the same time, in `dialect`.

    The devices stay the caller's, who closes them after `serve` has ended. With `tell_commands` the trace gets one
    event for each command.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        dialect: Dialect,
        limits: Limits,
        *,
        cache: TensorCache | None = None,
        trace: Trace = _ignore,
        tell_commands: bool = False,
    ) -> None:
        self._node = Node(
            seats=tuple(Seat(device) for device in devices),
            dialect=dialect,
            limits=limits,
            shared=Shared.of(limits),
            cache=cache,
            trace=trace,
            tell_commands=tell_commands,
            codec=Codec(dialect, limits),
        )

    @property
    def connections(self) -> int:
        """Conversations going on now."""
        return self._node.shared.admission.count

    async def serve(
        self,
        listeners: Sequence[trio.SocketListener],
        dialect: Dialect | None = None,
        *,
        task_status: trio.TaskStatus[list[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Take connections from `listeners` until cancelled; the listeners are closed then.

        dialect: what is spoken there, if it is not the server's. May be called several times at once.
        """
        node = self._node
        if dialect is not None:
            node = attrs.evolve(node, dialect=dialect, codec=Codec(dialect, node.limits))
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(take_connections, listener, partial(_take, node), partial(_failed, node))
            task_status.started(list(listeners))


def _failed(node: Node, error: OSError) -> None:
    node.trace(AcceptFailed(error.strerror or str(error)))


async def _take(node: Node, stream: trio.SocketStream) -> None:
    """One connection, from its place among others to its end; the caller closes what is left of the stream."""
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        return
    peer = Peer(host, endpoint_text(host, port))
    if refusal := node.shared.admission.enter(host):
        node.trace(ConnectionClosed(peer.endpoint, 0, refusal))
        return
    try:
        try:
            transport = Transport.from_stream(stream)
        except OSError:
            return
        node.trace(await _converse(node, transport, peer))
    finally:
        node.shared.admission.leave(host)


async def _converse(node: Node, transport: Transport, peer: Peer) -> TraceEvent:
    """One whole conversation; what there is to say about its end."""
    endpoint = peer.endpoint
    node.trace(ConnectionOpened(endpoint))
    conversation = Conversation(node, transport, peer)
    note = ""
    try:
        try:
            await conversation.run()
        finally:
            transport.close()
            await conversation.close()
    except ProtocolError as error:
        return ConnectionRefused(endpoint, error.clause, error.detail)
    except ComputeStopped:
        note = "left while a graph ran"
    except ConnectionError:
        note = "left before its reply"
    except trio.TooSlowError:
        note = f"silent for too long: waited for {conversation.awaited}"
    except DeviceError as error:
        note = str(error)
    except MemoryError:
        note = "this process has no memory left for it"
    except Exception:
        return ConnectionFailed(endpoint, traceback.format_exc())
    if conversation.cut_short:
        note = "left in the middle of a message"
    if conversation.commands == 1 and not note:
        return LeftAfterHello(endpoint, node.dialect.name)
    return ConnectionClosed(endpoint, conversation.commands, note)
