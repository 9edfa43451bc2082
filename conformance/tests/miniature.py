"""A server in miniature: right, in as few lines as that takes, so that the wrong ones are a few lines away from it.

It keeps the clauses that cases ask about and no others: of graphs it knows only the one without nodes. A wrong one is
a subclass of Session that overrides what it does wrongly. `Staged` is the testee made of them, over streams in memory.
"""

import itertools
from collections.abc import Iterator

import attrs
import trio
import trio.testing

from conformance.judge.codec import SIZE_BYTES, Codec, number
from spec.schema import Version

__all__ = ["Dead", "Held", "Refused", "Session", "Staged", "World"]

ALIGNMENT = 64
MEMORY = 16 << 20
LARGEST_BODY = 4 << 20
STRIDE = 1 << 28
FIRST_BASE = 1 << 40
FIRST_HANDLE = 0x5EED_0000_0000
TOP = 1 << 64


class Refused(Exception):
    """A violation: the connection is closed."""


class Dead(Exception):
    """Where a wrong server would have died."""


@attrs.define
class Held:
    """A buffer, and whose it is."""

    owner: object
    base: int
    memory: bytearray


@attrs.define
class World:
    """What all connections share."""

    codec: Codec
    buffers: dict[int, Held] = attrs.field(factory=dict)
    counter: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    dead: str | None = None
    stuck: bool = False
    turn: trio.Lock = attrs.field(factory=trio.Lock)
    old_memory: bytearray = attrs.field(factory=bytearray)


class Session:
    """One connection of the right server."""

    def __init__(self, stream: trio.abc.Stream, world: World) -> None:
        self.stream = stream
        self.world = world
        self.codec = world.codec
        self.graphs: set[int] = set()
        self._unread = bytearray()

    async def run(self) -> None:
        try:
            await self.greeting()
            while True:
                await self.one_request()
        except (Refused, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Dead as end:
            self.world.dead = str(end)
        finally:
            self.release()
            await self.stream.aclose()

    async def greeting(self) -> None:
        command, size = await self.head()
        self.check(command == self.codec.dialect.command("HELLO").number and self.fits_hello(size))
        await self.answer(self.hello(await self.take(size)))

    def fits_hello(self, size: int) -> bool:
        return size == self.codec.size("hello_req")

    def version(self) -> Version:
        return self.codec.dialect.hello

    def hello(self, caps: bytes) -> bytes:
        major, minor, patch = self.version()
        return self.codec.pack("hello_rsp", {"major": major, "minor": minor, "patch": patch})

    async def one_request(self) -> None:
        byte, size = await self.head()
        command = self.codec.dialect.commands.get(byte)
        if command is None or command.name == "HELLO":
            return await self.not_known(byte, size)
        self.check(self.fits(command.name, size))
        reply = self.act(command.name, await self.take(size))
        if reply is not None:
            await self.answer(reply)

    async def not_known(self, byte: int, size: int) -> None:
        raise Refused

    def fits(self, name: str, size: int) -> bool:
        fixed = self.codec.fixed_bytes(name)
        return fixed <= size < LARGEST_BODY if self.codec.dialect.command(name).tail else size == fixed

    def act(self, name: str, body: bytes) -> bytes | None:
        struct = self.codec.dialect.command(name).request
        fixed = self.codec.fixed_bytes(name)
        values = self.codec.unpack(struct, body[:fixed]) if struct else {}
        if "device" in values:
            self.check(self.device_exists(name, values["device"]))
        reply: bytes | None = getattr(self, f"on_{name.lower()}")(body[fixed:], **values)
        return reply

    def device_exists(self, name: str, device: object) -> bool:
        return device == 0

    def on_device_count(self, tail: bytes) -> bytes:
        return self.codec.pack("device_count_rsp", {"count": 1})

    def on_get_alignment(self, tail: bytes, device: int) -> bytes:
        return self.codec.pack("alignment_rsp", {"alignment": ALIGNMENT})

    def on_get_max_size(self, tail: bytes, device: int) -> bytes:
        return self.codec.pack("max_size_rsp", {"max_size": TOP - 1})

    def on_get_device_memory(self, tail: bytes, device: int) -> bytes:
        return self.codec.pack("device_memory_rsp", {"free": MEMORY, "total": MEMORY})

    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        used = sum(len(held.memory) for held in self.world.buffers.values())
        if used + size > MEMORY:
            return self.codec.pack("alloc_buffer_rsp", {})
        handle, base = self.new_handle(), self.new_base()
        self.world.buffers[handle] = Held(self, base if size else 0, self.new_memory(size))
        return self.codec.pack("alloc_buffer_rsp", {"handle": handle, "size": size})

    def new_handle(self) -> int:
        return FIRST_HANDLE + 1_000_003 * next(self.world.counter)

    def new_base(self) -> int:
        return FIRST_BASE + STRIDE * next(self.world.counter)

    def new_memory(self, size: int) -> bytearray:
        return bytearray(size)

    def on_buffer_get_base(self, tail: bytes, handle: int) -> bytes:
        return self.codec.pack("buffer_get_base_rsp", {"base": self.find(handle).base})

    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        self.find(handle)
        del self.world.buffers[handle]

    def on_buffer_clear(self, tail: bytes, handle: int, value: int) -> None:
        held = self.find(handle)
        held.memory[:] = bytes([value]) * len(held.memory)

    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> None:
        self.region(tensor, offset, len(tail))[:] = tail

    def on_set_tensor_hash(self, tail: bytes, tensor: bytes, offset: int, hash: int) -> bytes:
        return self.codec.pack("set_tensor_hash_rsp", {})

    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        return bytes(self.region(tensor, offset, size))

    def on_memset_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int, value: int) -> None:
        self.region(tensor, offset, size)[:] = bytes([value]) * size

    def on_copy_tensor(self, tail: bytes, src: bytes, dst: bytes) -> bytes:
        size = self.span(src)
        source, target = self.region(src, 0, size), self.whole_region(dst, size)
        self.copy(source, target)
        return self.codec.pack("copy_tensor_rsp", {"ok": 1})

    def copy(self, source: memoryview, target: memoryview) -> None:
        target[:] = bytes(source)

    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes | None:
        self.span(tensor)
        return None

    def on_get_alloc_size(self, tail: bytes, device: int, tensor: bytes, srcs: bytes) -> bytes:
        return self.codec.pack("get_alloc_size_rsp", {"size": self.span(tensor)})

    def on_graph_compute(self, tail: bytes, device: int, n_nodes: int, uid: int = 1) -> None:
        self.check(n_nodes == 0 and tail == bytes(4))
        self.graphs.discard(uid)
        if uid:
            self.graphs.add(uid)

    def on_graph_recompute(self, tail: bytes, device: int, uid: int = 1) -> None:
        self.check(uid in self.graphs)

    def on_set_tensor_2d(self, tail: bytes, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> None:
        region = self.pieces(tensor, offset, size, n_copies, stride)
        self.check(len(tail) == size * n_copies)
        for at in range(n_copies):
            region[at * stride : at * stride + size] = tail[at * size : at * size + size]

    def on_get_tensor_2d(self, tail: bytes, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> bytes:
        region = self.pieces(tensor, offset, size, n_copies, stride)
        return b"".join(bytes(region[at * stride : at * stride + size]) for at in range(n_copies))

    def on_comm_init(self, tail: bytes, **_: object) -> bytes:
        return self.codec.pack("comm_init_rsp", {})

    def on_comm_allreduce(self, tail: bytes, **_: object) -> None:
        raise Refused

    def on_comm_free(self, tail: bytes, device: int) -> None:
        pass

    def find(self, handle: int) -> Held:
        held = self.world.buffers.get(handle)
        if held is None or held.owner is not self:
            raise Refused
        return held

    def span(self, tensor: bytes) -> int:
        """TENSOR-4, for a record whose type is known (TENSOR-2) and whose extents are sane (TENSOR-5)."""
        record = self.codec.unpack("rpc_tensor", tensor)
        kind = self.codec.dialect.types.get(self.read(tensor, "type"))
        if kind is None:
            raise Refused
        ne, nb = record["ne"], record["nb"]
        assert isinstance(ne, tuple) and isinstance(nb, tuple)  # noqa: PT018
        self.check(ne[0] * ne[1] * ne[2] * ne[3] < TOP // 2 and ne[0] % kind.block == 0)
        if 0 in ne:
            return 0
        row = kind.bytes + (ne[0] - 1) * nb[0] if kind.block == 1 else ne[0] * nb[0] // kind.block
        return row + sum((ne[dim] - 1) * nb[dim] for dim in (1, 2, 3))

    def region(self, tensor: bytes, offset: int, size: int) -> memoryview:
        """REGION-1 to REGION-6."""
        self.check(self.inside(offset, size, self.span(tensor)))
        return self.whole_region(tensor, self.span(tensor))[offset : offset + size]

    def inside(self, offset: int, size: int, span: int) -> bool:
        return offset + size <= span

    def whole_region(self, tensor: bytes, size: int) -> memoryview:
        held = self.find(self.read(tensor, "buffer"))
        begin = self.read(tensor, "data") - held.base
        if size == 0:
            return memoryview(bytearray())
        self.check(begin >= 0 and begin + size <= len(held.memory))
        return memoryview(held.memory)[begin : begin + size]

    def pieces(self, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> memoryview:
        self.check(size != 0 and n_copies != 0)
        return self.region(tensor, offset, (n_copies - 1) * stride + size)

    def read(self, tensor: bytes, field: str) -> int:
        return self.codec.read("rpc_tensor", field, tensor)

    def check(self, holds: bool) -> None:
        if not holds:
            raise Refused

    def release(self) -> None:
        for handle in [handle for handle, held in self.world.buffers.items() if held.owner is self]:
            del self.world.buffers[handle]

    async def head(self) -> tuple[int, int]:
        byte = (await self.take(1))[0]
        return byte, number(await self.take(SIZE_BYTES))

    async def take(self, size: int) -> bytes:
        while len(self._unread) < size:
            more = await self.stream.receive_some(1 << 16)
            if not more:
                raise Refused
            self._unread += more
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    async def answer(self, body: bytes) -> None:
        await self.stream.send_all(len(body).to_bytes(SIZE_BYTES, "little") + body)


class Staged:
    """A testee whose every connection is a session of that class, run in the nursery."""

    def __init__(self, session: type[Session], codec: Codec, nursery: trio.Nursery) -> None:
        self.name = session.__name__
        self.starts = 0
        self._session = session
        self._codec = codec
        self._nursery = nursery
        self._world = World(codec)

    async def dial(self) -> trio.abc.HalfCloseableStream:
        await trio.lowlevel.checkpoint()
        if self._world.dead:
            raise ConnectionRefusedError(self._world.dead)
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._session(theirs, self._world).run)
        return ours

    def dead(self) -> str | None:
        return self._world.dead

    async def death(self, seconds: float) -> str | None:
        with trio.move_on_after(seconds):
            while self._world.dead is None:
                await trio.sleep(seconds / 2)
        return self._world.dead

    async def restart(self) -> None:
        await trio.lowlevel.checkpoint()
        self.starts += 1
        self._world = World(self._codec)
