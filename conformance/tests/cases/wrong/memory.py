"""Wrong with devices, buffers or handles."""

from collections.abc import Mapping

import trio

from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import FIRST_BASE, MEMORY, PROCESS, STRIDE, Dead, Held, Refused, World
from conformance.tests.cases.wrong.entry import Wrong, crashes, fails

__all__ = ["WRONG"]


class SharesHandles(Session):
    def find(self, handle: int) -> Held:
        if handle not in self.world.buffers:
            raise Refused
        return self.world.buffers[handle]


class CountsByConnection(Session):
    """Numbers the buffers of every connection from one on."""

    def __init__(self, stream: trio.abc.Stream, world: World) -> None:
        super().__init__(stream, world)
        self.place = next(world.counter)
        self.given = 0

    def new_handle(self) -> int:
        self.given += 1
        return self.given

    def key(self, handle: int) -> int:
        return (self.place << 64) + handle


class FreesTwice(Session):
    freed: frozenset[int] = frozenset()

    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        if handle in self.freed:
            return
        super().on_free_buffer(tail, handle)
        self.freed |= {handle}


class ReusesHandles(Session):
    def new_handle(self) -> int:
        return next(n for n in range(1 << 20, 1 << 30) if n not in self.world.buffers)


class KnowsHandleZero(Session):
    def on_buffer_get_base(self, tail: bytes, handle: int) -> bytes:
        if handle == 0:
            return self.codec.pack("buffer_get_base_rsp", {})
        return super().on_buffer_get_base(tail, handle)


class CrookedBases(Session):
    def new_base(self) -> int:
        return super().new_base() + 8


class SameBase(Session):
    def new_base(self) -> int:
        return FIRST_BASE + STRIDE


class RealBases(Session):
    def new_base(self) -> int:
        return PROCESS[0] + (next(self.world.counter) << 16)


class RealHandles(Session):
    def new_handle(self) -> int:
        return PROCESS[0] + 0x90 * next(self.world.counter)


class FindsDevices(Session):
    def on_device_count(self, tail: bytes) -> bytes:
        return self.codec.pack("device_count_rsp", {"count": next(self.world.counter)})


class AnyDevice(Session):
    def device_exists(self, name: str, device: object) -> bool:
        return name == "GET_MAX_SIZE" or device == 0


class MoreFreeThanTotal(Session):
    def on_get_device_memory(self, tail: bytes, device: int) -> bytes:
        return self.codec.pack("device_memory_rsp", {"free": MEMORY - self.world.used, "total": 1})


class SaysMoreThanItGives(Session):
    """A buffer of 1000 bytes that claims 1024."""

    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        reply = super().on_alloc_buffer(tail, device, size)
        return reply[:8] + (1024).to_bytes(8, "little") if size == 1000 else reply


class DiesOfAllocation(Session):
    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        if size == 1 << 63:
            raise Dead("bad_alloc")
        return super().on_alloc_buffer(tail, device, size)


class GivesLess(Session):
    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        return super().on_alloc_buffer(tail, device, 4096 if size == 4097 else size)


class GivesNothingForNothing(Session):
    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        return super().on_alloc_buffer(tail, device, size or MEMORY + 1)


class ShowsOldBytes(Session):
    def new_memory(self, size: int) -> bytearray:
        old = self.world.old_memory
        return bytearray(old[:size]) if len(old) == size else bytearray(size)

    def release(self) -> None:
        for held in self.world.buffers.values():
            if held.owner is self:
                self.world.old_memory = held.memory
        super().release()


class NoAlignment(Session):
    def on_get_alignment(self, tail: bytes, device: int) -> bytes:
        return self.codec.pack("alignment_rsp", {})


class NoBuffers(Session):
    def on_get_max_size(self, tail: bytes, device: int) -> bytes:
        return self.codec.pack("max_size_rsp", {})


class MovesBuffers(Session):
    """Puts a buffer that has been cleared elsewhere."""

    def on_buffer_clear(self, tail: bytes, handle: int, value: int) -> None:
        super().on_buffer_clear(tail, handle, value)
        if value == 3:
            self.find(handle).base += STRIDE


class EmptyBuffersHaveABase(Session):
    def on_buffer_get_base(self, tail: bytes, handle: int) -> bytes:
        return self.codec.pack("buffer_get_base_rsp", {"base": self.find(handle).base or FIRST_BASE})


class NothingForResults(Session):
    def on_get_alloc_size(self, tail: bytes, device: int, tensor: bytes, srcs: bytes) -> bytes:
        if self.operands(srcs) and self.read(tensor, "op") == self.codec.dialect.op("ARGSORT").number:
            return self.codec.pack("get_alloc_size_rsp", {})
        return super().on_get_alloc_size(tail, device, tensor, srcs)


class MeasuresOnlyWhatLiesNowhere(Session):
    def on_get_alloc_size(self, tail: bytes, device: int, tensor: bytes, srcs: bytes) -> bytes:
        self.whole_region(tensor, self.span(tensor)) if self.read(tensor, "buffer") else None
        return super().on_get_alloc_size(tail, device, tensor, srcs)


class NeedsOperands(Session):
    def on_get_alloc_size(self, tail: bytes, device: int, tensor: bytes, srcs: bytes) -> bytes:
        self.check(self.read(tensor, "op") in (0, 0xFFFFFFFF) or bool(self.operands(srcs)))
        return super().on_get_alloc_size(tail, device, tensor, srcs)


class CountsElements(Session):
    """Takes a block for a byte."""

    def on_get_alloc_size(self, tail: bytes, device: int, tensor: bytes, srcs: bytes) -> bytes:
        reply = super().on_get_alloc_size(tail, device, tensor, srcs)
        kind = self.codec.dialect.types[self.read(tensor, "type")]
        return reply if kind.block == 1 else self.codec.pack("get_alloc_size_rsp", {"size": kind.block})


class KeepsHandles(Session):
    """Frees the memory and goes on knowing the handle."""

    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        self.forget(handle)
        self.find(handle).memory = bytearray()


class KeepsMemory(Session):
    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        held = self.find(handle)
        super().on_free_buffer(tail, handle)
        self.world.buffers[-handle] = held


class RunsWhatIsFreed(Session):
    """Keeps a freed buffer for the graphs that use it."""

    def __init__(self, stream: trio.abc.Stream, world: World) -> None:
        super().__init__(stream, world)
        self.graves: dict[int, Held] = {}
        self.runs = False

    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        self.graves[handle] = self.find(handle)
        super().on_free_buffer(tail, handle)

    def forget(self, handle: int) -> None:
        pass

    def on_graph_recompute(self, tail: bytes, device: int, uid: int = 1) -> None:
        self.runs = True
        super().on_graph_recompute(tail, device, uid)
        self.runs = False

    def find(self, handle: int) -> Held:
        return self.graves[handle] if self.runs and handle in self.graves else super().find(handle)


class FreesTooMuch(Session):
    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        super().on_free_buffer(tail, handle)
        for held in self.world.buffers.values():
            if held.owner is self:
                held.memory[:] = bytes(len(held.memory))


class ClearsAlmostAll(Session):
    def on_buffer_clear(self, tail: bytes, handle: int, value: int) -> None:
        held = self.find(handle)
        held.memory[: len(held.memory) - 1] = bytes([value]) * max(len(held.memory) - 1, 0)


WRONG: Mapping[type[Session], Wrong] = {
    SharesHandles: fails(
        "FRAME-11/many-of-them",
        "HANDLE-2/owner-keeps-it",
        "HANDLE-7/get-tensor-other-connection",
        "HANDLE-7/set-tensor-other-connection",
        "LEAK-4/foreign-operand",
        "LEAK-4/foreign-result",
        "REGION-4/nothing-was-written",
    ),
    CountsByConnection: fails("FRAME-11/many-of-them", "HANDLE-1/distinct-across-connections"),
    FreesTwice: fails("HANDLE-2/free-buffer-freed", "HANDLE-2/freed-twice"),
    ReusesHandles: fails("HANDLE-3/not-used-again"),
    KnowsHandleZero: fails("HANDLE-4/buffer-get-base-zero"),
    CrookedBases: fails("HANDLE-5/base-aligned"),
    SameBase: fails(
        "HANDLE-5/apart",
        "LEAK-1/others-addresses",
        "REGION-1/get-tensor-in-another-buffer",
        "REGION-1/set-tensor-in-another-buffer",
    ),
    RealBases: fails("HANDLE-6/no-addresses"),
    RealHandles: fails("LEAK-1/handles-are-no-addresses", "LEAK-1/handles-unlike-addresses"),
    FindsDevices: fails("DEVICE-1/same-number"),
    AnyDevice: fails("DEVICE-2/get-max-size-count", "DEVICE-2/get-max-size-last-number"),
    MoreFreeThanTotal: fails("DEVICE-3/free-within-total"),
    SaysMoreThanItGives: fails(
        "ALLOC-1/handle-and-size",
        "CLEAR-1/every-byte",
        "LEAK-2/after-a-close",
        "LEAK-2/after-a-reset",
        "LEAK-2/beside",
        "LEAK-2/fresh-is-blank",
    ),
    DiesOfAllocation: crashes("ALLOC-2/2-63"),
    GivesLess: fails("ALLOC-3/at-least"),
    GivesNothingForNothing: fails("ALLOC-4/size-zero", "ALLOC-8/size-zero", "CLEAR-1/size-zero"),
    ShowsOldBytes: fails("ALLOC-5/nobody-elses-bytes", "LEAK-2/after-a-close", "LEAK-2/after-a-reset"),
    NoAlignment: fails("ALLOC-6/power-of-two"),
    NoBuffers: fails("ALLOC-7/not-zero"),
    MovesBuffers: fails("ALLOC-8/same-at-any-time"),
    EmptyBuffersHaveABase: fails("ALLOC-4/size-zero", "ALLOC-8/size-zero"),
    NothingForResults: fails("ALLOC-9/argsort"),
    MeasuresOnlyWhatLiesNowhere: fails("ALLOC-10/no-bytes-are-read"),
    NeedsOperands: fails("ALLOC-11/all-absent"),
    CountsElements: fails("ALLOC-12/byte-size"),
    KeepsHandles: fails("FREE-1/handle-gone", "HANDLE-2/freed-twice"),
    KeepsMemory: fails("FREE-1/memory-comes-back"),
    RunsWhatIsFreed: fails("FREE-2/forgotten"),
    FreesTooMuch: fails("FREE-3/others-keep-theirs"),
    ClearsAlmostAll: fails(
        "CLEAR-1/every-byte", "INIT-2/at-the-end-of-its-buffer", "LIFE-2/beside-a-slow-reader", "SET-2/at-an-offset"
    ),
}
