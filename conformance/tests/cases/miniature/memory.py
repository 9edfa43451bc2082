"""The right server's devices, buffers and tensors."""

import math
from collections.abc import Mapping

from conformance.judge.codec import Value
from conformance.tests.cases.miniature.frames import Frames
from conformance.tests.cases.miniature.world import FIRST_BASE, MEMORY, STRIDE, TOP, Held, Refused

__all__ = ["Memory"]

ALIGNMENT = 64
FIRST_HANDLE = 0x5EED_0000_0000
HANDLE_STEP = 1_000_003


class Memory(Frames):
    """Commands about devices, buffers and regions of tensors."""

    def before_tail(self, name: str, values: Mapping[str, Value], size: int) -> None:
        """SET-4."""
        fields = {field: value for field, value in values.items() if field != "cache_flag"}
        if name == "SET_TENSOR":
            self.region(**fields, size=size)  # type: ignore[arg-type]
        if name == "SET_TENSOR_2D":
            self.pieces(**fields)  # type: ignore[arg-type]

    def on_device_count(self, tail: bytes) -> bytes:
        return self.codec.pack("device_count_rsp", {"count": 1})

    def on_get_alignment(self, tail: bytes, device: int) -> bytes:
        return self.codec.pack("alignment_rsp", {"alignment": ALIGNMENT})

    def on_get_max_size(self, tail: bytes, device: int) -> bytes:
        return self.codec.pack("max_size_rsp", {"max_size": TOP - 1})

    def on_get_device_memory(self, tail: bytes, device: int) -> bytes:
        return self.codec.pack("device_memory_rsp", {"free": MEMORY - self.world.used, "total": MEMORY})

    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        if self.world.used + size > MEMORY:
            return self.codec.pack("alloc_buffer_rsp", {})
        handle, base = self.new_handle(), self.new_base()
        self.world.buffers[self.key(handle)] = Held(self, base if size else 0, self.new_memory(size))
        return self.codec.pack("alloc_buffer_rsp", {"handle": handle, "size": size})

    def key(self, handle: int) -> int:
        """Under which number the world has a buffer of this connection."""
        return handle

    def new_handle(self) -> int:
        return FIRST_HANDLE + HANDLE_STEP * next(self.world.counter)

    def new_base(self) -> int:
        return FIRST_BASE + STRIDE * next(self.world.counter)

    def new_memory(self, size: int) -> bytearray:
        return bytearray(size)

    def on_buffer_get_base(self, tail: bytes, handle: int) -> bytes:
        return self.codec.pack("buffer_get_base_rsp", {"base": self.find(handle).base})

    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        self.find(handle)
        del self.world.buffers[self.key(handle)]

    def on_buffer_clear(self, tail: bytes, handle: int, value: int) -> None:
        held = self.find(handle)
        held.memory[:] = bytes([value]) * len(held.memory)

    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> None:
        self.region(tensor, offset, len(tail))[:] = tail

    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        return bytes(self.region(tensor, offset, size))

    def on_memset_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int, value: int) -> None:
        region = self.region(tensor, offset, size)
        region[:] = bytes([value]) * len(region)

    def on_copy_tensor(self, tail: bytes, src: bytes, dst: bytes) -> bytes:
        size = self.span(src)
        self.span(dst)
        source, target = self.region(src, 0, size), self.whole_region(dst, size)
        self.copy(source, target)
        return self.codec.pack("copy_tensor_rsp", {"ok": 1})

    def copy(self, source: memoryview, target: memoryview) -> None:
        target[:] = bytes(source)

    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes | None:
        if self.read(tensor, "buffer"):
            self.region(tensor, 0, 0)
        self.span(tensor)
        return None

    def on_get_alloc_size(self, tail: bytes, device: int, tensor: bytes, srcs: bytes) -> bytes:
        for source in self.operands(srcs):
            self.span(source)
        size = self.span(tensor)
        self.check(size < TOP)
        return self.codec.pack("get_alloc_size_rsp", {"size": size})

    def operands(self, srcs: bytes) -> list[bytes]:
        """The records that are there."""
        step = self.codec.size("rpc_tensor")
        records = [srcs[at : at + step] for at in range(0, len(srcs), step)]
        return [record for record in records if self.read(record, "id")]

    def on_set_tensor_2d(self, tail: bytes, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> None:
        region = self.pieces(tensor, offset, size, n_copies, stride)
        self.check(len(tail) == size * n_copies)
        for at in range(n_copies):
            region[at * stride : at * stride + size] = tail[at * size : at * size + size]

    def on_get_tensor_2d(self, tail: bytes, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> bytes:
        region = self.pieces(tensor, offset, size, n_copies, stride)
        return b"".join(bytes(region[at * stride : at * stride + size]) for at in range(n_copies))

    def find(self, handle: int) -> Held:
        held = self.world.buffers.get(self.key(handle))
        if held is None or held.owner is not self:
            raise Refused
        return held

    def span(self, tensor: bytes) -> int:
        """TENSOR-4, for a record whose type is known (TENSOR-2) and whose extents are sane (TENSOR-5)."""
        record = self.record(tensor)
        kind = self.codec.dialect.types.get(self.type_of(tensor))
        if kind is None:
            raise Refused
        ne, nb = record["ne"], record["nb"]
        assert isinstance(ne, tuple) and isinstance(nb, tuple)  # noqa: PT018
        self.check(self.elements(ne) < TOP // 2)
        if 0 in ne:
            return 0
        self.check(self.whole_blocks(ne[0], kind.block))
        row = kind.bytes + (ne[0] - 1) * nb[0] if kind.block == 1 else ne[0] * nb[0] // kind.block
        return self.summed(row + sum((ne[dim] - 1) * nb[dim] for dim in (1, 2, 3)))

    def elements(self, ne: tuple[int, ...]) -> int:
        """TENSOR-5."""
        return math.prod(ne)

    def whole_blocks(self, elements: int, block: int) -> bool:
        """TENSOR-6."""
        return elements % block == 0

    def type_of(self, tensor: bytes) -> int:
        return self.read(tensor, "type")

    def summed(self, size: int) -> int:
        """TENSOR-16."""
        return size

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
        self.check(size != 0 and n_copies != 0 and size * n_copies < MEMORY)
        return self.region(tensor, offset, (n_copies - 1) * stride + size)

    def record(self, tensor: bytes) -> Mapping[str, Value]:
        known = self.world.unpacked.get(tensor)
        if known is None:
            known = self.world.unpacked[tensor] = self.codec.unpack("rpc_tensor", tensor)
        return known

    def read(self, tensor: bytes, field: str) -> int:
        value = self.record(tensor)[field]
        assert isinstance(value, int)
        return value

    def release(self) -> None:
        for handle in [handle for handle, held in self.world.buffers.items() if held.owner is self]:
            del self.world.buffers[handle]
