"""The public client: a node's devices, buffers and graphs from Trio.

    async with connect("127.0.0.1:50052") as node:
        buffer = await node.devices[0].allocate(1 << 20)
        await node.set_tensor(record, data)

A tensor record (refimpl.wire.tensor.RPC_TENSOR) says where in which buffer a tensor lies; GraphBuilder makes records
and graphs. Commands without a reply return as soon as the socket has them; a node that refuses one closes the
connection, and the error of a later command names it. Whatever is awaited afterwards comes after them: commands take
effect in order.

All methods raise NodeClosed and NodeTimeout, and ProtocolError for an answer that no node may give; where more is
raised, it is said. Everything that a connection had on the node is gone when it ends.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs
import numpy as np
import trio
from numpy.typing import NDArray

from refimpl.errors import (
    FrameError,
    NodeClosed,
    NodeUnreachable,
    OutOfMemory,
    UsageError,
    VersionMismatch,
)
from refimpl.limits import Limits
from refimpl.service.channel import Channel, Patience, Progress
from refimpl.service.transport import Transport
from refimpl.session.claims import Claims
from refimpl.session.connection import Connection, Role
from refimpl.wire import messages as wire
from refimpl.wire.strided import Pieces
from refimpl.wire.tensor import GGML_MAX_SRC, RPC_TENSOR, TensorRecords
from spec.dialect import Dialect
from spec.load import load
from spec.names import Command

__all__ = ["DEFAULT_PORT", "RemoteBuffer", "RemoteDevice", "RemoteNode", "connect", "parse_endpoint"]

DEFAULT_PORT = 50052
HINT = "is a server running there? A node listens on loopback only, unless it was started with -H"

Bytes = bytes | bytearray | memoryview | NDArray[Any]
"""what can be sent: contiguous, of any item type"""
Answer = TypeVar("Answer", bound=wire.Reply)


def parse_endpoint(text: str) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[IPv6]:port`` as host and port (1 to 65535); raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise UsageError(f"{text!r} is no endpoint: host:port, with a port from 1 to 65535")
    return host, int(port)


@asynccontextmanager
async def connect(
    endpoint: str,
    *,
    dialect: str | None = None,
    limits: Limits | None = None,
    connect_timeout: float = 10.0,
    reply_timeout: float = 10.0,
    compute_timeout: float = 600.0,
) -> AsyncIterator["RemoteNode"]:
    """A node, until the block ends; ``endpoint`` as in `parse_endpoint`.

    dialect: the one version to speak, such as ``8.0.0``. Without it the newest is tried, and on a fresh connection the
    next older one where the node's HELLO names that major version or the node closes.

    connect_timeout bounds everything up to the list of devices, reply_timeout each silence after that, compute_timeout
    a silence while the node may be computing. All are seconds. Raises NodeUnreachable, VersionMismatch, UsageError, and
    ProtocolError for answers that no node may give.
    """
    patience = Patience(reply_timeout, compute_timeout)
    caller = _Caller(endpoint, parse_endpoint(endpoint), limits or Limits(), connect_timeout, patience)
    node = await caller.reach([dialect] if dialect else list(reversed(load().versions)))
    try:
        yield node
    finally:
        node.channel.close()


@attrs.frozen
class _Caller:
    """Who calls a node: where it is, and how many seconds `reach` (`limit`) and each reply (`patience`) may take."""

    endpoint: str
    address: tuple[str, int]
    limits: Limits
    limit: float
    patience: Patience

    async def reach(self, versions: Sequence[str]) -> "RemoteNode":
        """The node, spoken to in the first of `versions` (most wanted first) that it takes."""
        deadline = trio.current_time() + self.limit
        for at, version in enumerate(versions):
            try:
                return await self._dial(load().dialect(version), versions[:at], deadline)
            except VersionMismatch:
                if at == len(versions) - 1:
                    raise
        raise ValueError("no version to speak")

    async def _dial(self, dialect: Dialect, refused: Sequence[str], deadline: float) -> "RemoteNode":
        """A fresh connection that has said HELLO and knows the devices; `refused` names the versions tried before."""
        with trio.move_on_at(deadline) as scope:
            transport = await self._connected()
        if scope.cancelled_caught:
            raise NodeUnreachable(self.endpoint, f"no connection within {self.limit:g} s; {HINT}")
        connection = Connection(Role.CLIENT, dialect, self.limits)
        channel = Channel(self.endpoint, transport, connection, self.patience)
        # A stock server with one client at a time dies of SIGPIPE when its turn comes to answer a client that has
        # left the queue in the ordinary way; a reset it survives.
        transport.close_with_reset(True)
        try:
            with trio.move_on_at(deadline) as scope:
                node = await _greet(channel, dialect, refused)
                transport.close_with_reset(False)
                return node
        except BaseException:
            channel.close()
            raise
        channel.close()
        raise NodeUnreachable(
            self.endpoint, f"connected, but no answer to {channel.pending or 'all questions'} within {self.limit:g} s"
        )

    async def _connected(self) -> Transport:
        try:
            return Transport.from_stream(await trio.open_tcp_stream(*self.address))
        except OSError as error:
            raise NodeUnreachable(self.endpoint, f"{error.strerror or error}; {HINT}") from error


async def _greet(channel: Channel, dialect: Dialect, refused: Sequence[str]) -> "RemoteNode":
    spoken = " or ".join([*refused, dialect.name])
    try:
        hello = _expect(wire.HelloReply, await channel.ask(wire.Hello()))
    except (NodeClosed, FrameError) as error:
        detail = f"does not answer HELLO as protocol {spoken} does: another version, or no ggml RPC server"
        raise VersionMismatch(channel.endpoint, detail) from error
    if hello.major != dialect.version[0] or hello.minor > dialect.version[1]:
        theirs = f"{hello.major}.{hello.minor}.{hello.patch}"
        raise VersionMismatch(channel.endpoint, f"answers HELLO with protocol {theirs}, this client speaks {spoken}")
    reply = _expect(wire.DeviceCountReply, await channel.ask(wire.DeviceCount()))
    node = RemoteNode(channel, (hello.major, hello.minor, hello.patch), dialect)
    indices = range(node.claims.devices(reply.count))
    node.devices = tuple([await RemoteDevice.learn(node, index) for index in indices])
    return node


def _expect(kind: type[Answer], reply: wire.Reply) -> Answer:
    """The reply that the connection has matched to its request."""
    if not isinstance(reply, kind):
        raise TypeError(f"{reply!r} where {kind.__name__} was asked for")
    return reply


def _as_bytes(data: Bytes) -> memoryview:
    if isinstance(data, np.ndarray):
        if not data.flags.c_contiguous:
            raise ValueError("the array to send is not contiguous")
        return data.reshape(-1).view(np.uint8).data
    view = memoryview(data)
    return view.cast("B") if view.nbytes else memoryview(b"")


class RemoteNode:
    """One connection to a node. Its methods may be called from several tasks."""

    devices: "tuple[RemoteDevice, ...]" = ()

    def __init__(self, channel: Channel, version: tuple[int, int, int], dialect: Dialect) -> None:
        self.version = version
        """major, minor, patch that the node speaks"""
        self.dialect = dialect
        """what is spoken with it"""
        self.channel = channel
        self.claims = Claims(channel.endpoint)
        self.buffers_freed = 0
        """FREE_BUFFERs so far: after each one a node may have forgotten every graph (GRAPH-24)"""

    @property
    def endpoint(self) -> str:
        """The node as it was named to `connect`."""
        return self.channel.endpoint

    async def set_tensor(
        self, record: Any, data: Bytes, offset: int = 0, *, cache: bool = False, progress: Progress | None = None
    ) -> None:
        """Write `data` to byte `offset` of a tensor, straight from where it is.

        cache: the node may keep the bytes for `set_tensor_hash`. progress(n) is told the bytes handed to the socket
        so far.
        """
        payload = _as_bytes(data)
        await self.channel.push(wire.SetTensor(record, int(cache), offset, len(payload)), payload, progress)

    async def set_tensor_hash(self, record: Any, digest: int, offset: int = 0) -> bool:
        """Let the node write a tensor from its cache, by the FNV-1a-64 of the bytes; whether it had them."""
        reply = await self.channel.ask(wire.SetTensorHash(record, offset, digest))
        found = _expect(wire.SetTensorHashReply, reply).found
        return self.claims.flag("CACHE-4", Command.SET_TENSOR_HASH, found)

    async def get_tensor(self, record: Any, offset: int, size: int) -> memoryview:
        """`size` bytes of a tensor from byte `offset`."""
        into = memoryview(bytearray(size))
        await self.get_tensor_into(record, into, offset)
        return into

    async def get_tensor_into(self, record: Any, into: memoryview, offset: int = 0) -> None:
        """Fill `into` (writable bytes) from byte `offset` of a tensor."""
        await self.channel.ask(wire.GetTensor(record, offset, len(into)), into)

    async def memset_tensor(self, record: Any, offset: int, size: int, value: int) -> None:
        """Set `size` bytes of a tensor to `value`."""
        await self.channel.push(wire.MemsetTensor(record, offset, size, value))

    async def init_tensor(self, record: Any) -> None:
        """Let the node prepare a quantised tensor whose rows need padding."""
        await self.channel.push(wire.InitTensor(record))

    async def copy_tensor(self, src: Any, dst: Any) -> bool:
        """Copy all bytes of `src` to `dst`; False where the node cannot and nothing was done."""
        reply = _expect(wire.CopyTensorReply, await self.channel.ask(wire.CopyTensor(src, dst)))
        return self.claims.flag("COPY-4", Command.COPY_TENSOR, reply.ok)

    async def set_tensor_2d(self, record: Any, data: Bytes, pieces: Pieces, offset: int = 0) -> None:
        """Write pieces that stand one behind the other in `data`, the first at byte `offset`. Since 8.0.0."""
        payload = _as_bytes(data)
        request = wire.SetTensor2D(record, offset, pieces.size, pieces.count, pieces.stride)
        if len(payload) != pieces.packed_bytes:
            raise ValueError(f"{len(payload)} bytes where {pieces} has {pieces.packed_bytes}")
        await self.channel.push(request, payload)

    async def get_tensor_2d(self, record: Any, pieces: Pieces, offset: int = 0) -> memoryview:
        """Pieces of a tensor, one behind the other, the first from byte `offset`. Since 8.0.0."""
        into = memoryview(bytearray(pieces.packed_bytes))
        await self.channel.ask(wire.GetTensor2D(record, offset, pieces.size, pieces.count, pieces.stride), into)
        return into

    async def barrier(self) -> None:
        """Return once all commands so far have taken effect."""
        await self.channel.ask(wire.DeviceCount())


@attrs.frozen(eq=False)
class RemoteDevice:
    """One device of a node."""

    node: RemoteNode = attrs.field(repr=False)
    index: int
    alignment: int
    """power of two; every tensor starts at a multiple of it"""
    max_size: int
    """largest buffer, in bytes"""

    @classmethod
    async def learn(cls, node: RemoteNode, index: int) -> "RemoteDevice":
        """Ask a node about its device number `index`; ProtocolError for a device that nothing could be placed on."""
        aligned = _expect(wire.AlignmentReply, await node.channel.ask(wire.GetAlignment(index)))
        alignment = node.claims.alignment(index, aligned.alignment)
        largest = _expect(wire.MaxSizeReply, await node.channel.ask(wire.GetMaxSize(index)))
        return cls(node, index, alignment, node.claims.max_size(index, largest.max_size))

    async def memory(self) -> tuple[int, int]:
        """Free and total bytes."""
        reply = _expect(wire.DeviceMemoryReply, await self.node.channel.ask(wire.GetDeviceMemory(self.index)))
        return reply.free, reply.total

    async def allocate(self, size: int) -> "RemoteBuffer":
        """A buffer of at least `size` bytes, of undefined content. Raises OutOfMemory."""
        channel, claims = self.node.channel, self.node.claims
        reply = _expect(wire.AllocBufferReply, await channel.ask(wire.AllocBuffer(self.index, size)))
        if reply.handle == 0:
            raise OutOfMemory(f"{channel.endpoint}: device {self.index} has no {size} bytes to give")
        claims.granted(size, reply.handle, reply.size)
        said = _expect(wire.BufferBaseReply, await channel.ask(wire.BufferGetBase(reply.handle))).base
        base = claims.based(reply.handle, said, reply.size, self.alignment)
        return RemoteBuffer(self, reply.handle, base, reply.size)

    async def alloc_size(self, tensor: Any, srcs: TensorRecords | None = None) -> int:
        """Bytes that a tensor needs on this device, given the operands (up to 10) of the op that makes it."""
        slots = np.zeros(GGML_MAX_SRC, RPC_TENSOR)
        if srcs is not None:
            slots[: len(srcs)] = srcs
        reply = await self.node.channel.ask(wire.GetAllocSize(self.index, tensor, slots))
        return _expect(wire.AllocSizeReply, reply).size

    async def compute(self, nodes: NDArray[np.uint64], records: TensorRecords, uid: int = 0) -> None:
        """Run a graph:

        Node ids (n,) among records (t,), as GraphBuilder.message makes them. The next reply tells that it is done.
        Since 8.0.0 a uid other than 0 lets `recompute` name it; before, there are no uids.
        """
        await self.node.channel.push(wire.GraphCompute(self.index, uid, nodes, records))

    async def recompute(self, uid: int = 0) -> None:
        """Run a graph again: before 8.0.0 the device's last one, since then the one of that uid."""
        await self.node.channel.push(wire.GraphRecompute(self.index, uid))


@attrs.frozen(eq=False)
class RemoteBuffer:
    """Memory on a device, until `free` or the end of the connection."""

    device: RemoteDevice = attrs.field(repr=False)
    handle: int
    base: int
    """first address: a tensor's `data` is base plus its offset"""
    size: int

    async def clear(self, value: int = 0) -> None:
        """Set every byte to `value`."""
        await self.device.node.channel.push(wire.BufferClear(self.handle, value))

    async def free(self) -> None:
        """Give the buffer back."""
        self.device.node.claims.freed(self.handle)
        self.device.node.buffers_freed += 1
        await self.device.node.channel.push(wire.FreeBuffer(self.handle))
