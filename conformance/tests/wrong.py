"""Servers that are wrong in one thing each, with the cases that have to find it and the verdict that they give."""

from collections.abc import Mapping

import trio

from conformance.judge.verdict import Verdict
from conformance.tests.miniature import FIRST_BASE, STRIDE, TOP, Dead, Held, Refused, Session
from spec.schema import Version

__all__ = ["WRONG", "OneClient"]


class PaddingSet(Session):
    def hello(self, caps: bytes) -> bytes:
        reply = bytearray(super().hello(caps))
        reply[3] = 1
        return bytes(reply)


class TakesEmptyHello(Session):
    def fits_hello(self, size: int) -> bool:
        return size in (0, 24)


class TakesLongHello(Session):
    def fits_hello(self, size: int) -> bool:
        return size in (24, 25)


class EchoesCapabilities(Session):
    def hello(self, caps: bytes) -> bytes:
        return super().hello(caps)[:4] + caps


class OtherMinor(Session):
    def version(self) -> Version:
        return (7, 1, 0)


class ChangesItsMind(Session):
    def version(self) -> Version:
        return (7, 0, next(self.world.counter) % 2)


class GreetsTwice(Session):
    async def not_known(self, byte: int, size: int) -> None:
        if byte != self.codec.dialect.command("HELLO").number:
            raise Refused
        await self.answer(self.hello(await self.take(size)))


class NeedsNoHello(Session):
    async def greeting(self) -> None:
        byte, size = await self.head()
        if byte == self.codec.dialect.command("DEVICE_COUNT").number:
            await self.answer(self.on_device_count(b""))
            byte, size = await self.head()
        self.check(byte == self.codec.dialect.command("HELLO").number and self.fits_hello(size))
        await self.answer(self.hello(await self.take(size)))


class SkipsUnknown(Session):
    async def not_known(self, byte: int, size: int) -> None:
        self.check(byte == 128)
        await self.take(size)


class AwaitsUnknownBody(Session):
    async def not_known(self, byte: int, size: int) -> None:
        await self.take(size)
        raise Refused


class TakesOneMore(Session):
    def fits(self, name: str, size: int) -> bool:
        return super().fits(name, size) or (name == "GET_ALIGNMENT" and size == 5)

    def act(self, name: str, body: bytes) -> bytes | None:
        return super().act(name, body[:4] if name == "GET_ALIGNMENT" else body)


class DiesOfSize(Session):
    def fits(self, name: str, size: int) -> bool:
        if name == "SET_TENSOR" and size >= TOP // 2:
            raise Dead("length_error")
        return super().fits(name, size)


class AwaitsHugeBody(Session):
    def fits(self, name: str, size: int) -> bool:
        return super().fits(name, size) or (name == "GET_MAX_SIZE" and size == TOP - 1)


class AnswersInit(Session):
    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes:
        super().on_init_tensor(tail, tensor)
        return b""


class HarmsOthers(Session):
    async def not_known(self, byte: int, size: int) -> None:
        if byte == 255:
            for held in self.world.buffers.values():
                held.memory[:] = bytes(len(held.memory))
        raise Refused


class GetsStuck(Session):
    """Serves nobody any more once a client has left inside its HELLO."""

    async def greeting(self) -> None:
        if self.world.stuck:
            await trio.sleep_forever()
        byte, size = await self.head()
        self.check(byte == self.codec.dialect.command("HELLO").number and self.fits_hello(size))
        try:
            caps = await self.take(size)
        except Refused:
            self.world.stuck = True
            raise
        await self.answer(self.hello(caps))


class SharesHandles(Session):
    def find(self, handle: int) -> Held:
        if handle not in self.world.buffers:
            raise Refused
        return self.world.buffers[handle]


class FreesTwice(Session):
    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        if handle in self.graphs:
            return
        super().on_free_buffer(tail, handle)
        self.graphs.add(handle)


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


class DiesOfAllocation(Session):
    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        if size == 1 << 63:
            raise Dead("bad_alloc")
        return super().on_alloc_buffer(tail, device, size)


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


class AnyDevice(Session):
    def device_exists(self, name: str, device: object) -> bool:
        return name == "GET_MAX_SIZE" or device == 0


class WrapsAround(Session):
    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        if (offset + size) % TOP != offset + size:
            return bytes(size)
        return super().on_get_tensor(tail, tensor, offset, size)


class ReadsPastTheEnd(Session):
    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        held = self.find(self.read(tensor, "buffer"))
        begin = self.read(tensor, "data") - held.base + offset
        if self.span(tensor) == 64 and offset == 64 and size == 8:
            return bytes(held.memory[begin : begin + size])
        return super().on_get_tensor(tail, tensor, offset, size)


class FillsNowhere(Session):
    def on_memset_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int, value: int) -> None:
        if size:
            super().on_memset_tensor(tail, tensor, offset, size, value)


class ForgetsOffsets(Session):
    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> None:
        self.region(tensor, offset, len(tail))
        super().on_set_tensor(tail, tensor, cache_flag, 0)


class CopiesForward(Session):
    def copy(self, source: memoryview, target: memoryview) -> None:
        for at in range(len(source)):
            target[at] = source[at]


class RunsWhatItDoesNotKnow(Session):
    def on_graph_recompute(self, tail: bytes, device: int, uid: int = 1) -> None:
        pass


class NeverReleases(Session):
    def release(self) -> None:
        pass


class OneClient(Session):
    """Serves one client after the other, as upstream's server does; what it may do, and so not among the wrong ones."""

    async def run(self) -> None:
        async with self.world.turn:
            await super().run()


FAIL, HUNG, CRASHED = Verdict.FAIL, Verdict.HUNG, Verdict.CRASHED
OF_OTHERS = ("buffer-get-base", "free-buffer", "buffer-clear")
RECORDS_OF_OTHERS = ("set-tensor", "get-tensor", "memset-tensor")

WRONG: Mapping[type[Session], tuple[Verdict, set[str]]] = {
    PaddingSet: (FAIL, {"HELLO-3/zero-byte"}),
    TakesEmptyHello: (FAIL, {"HELLO-2/empty"}),
    TakesLongHello: (FAIL, {"HELLO-2/one-more"}),
    EchoesCapabilities: (FAIL, {"HELLO-5/offer"}),
    OtherMinor: (FAIL, {"HELLO-3/version"}),
    ChangesItsMind: (FAIL, {"HELLO-7/same-on-every-connection"}),
    GreetsTwice: (FAIL, {"HELLO-6/twice", "HELLO-6/late", "HELLO-6/pipelined"}),
    NeedsNoHello: (FAIL, {"PHASE-1/device-count"}),
    SkipsUnknown: (FAIL, {"FRAME-4/128"}),
    AwaitsUnknownBody: (HUNG, {"FRAME-4/body-not-awaited"}),
    TakesOneMore: (FAIL, {"FRAME-5/get-alignment-one-more"}),
    DiesOfSize: (CRASHED, {"FRAME-7/set-tensor-declares-2-63", "FRAME-7/set-tensor-declares-2-64-less-1"}),
    AwaitsHugeBody: (HUNG, {"FRAME-7/get-max-size-declares-2-64-less-1"}),
    AnswersInit: (FAIL, {"FRAME-8/init-tensor-is-not-answered", "INIT-2/bytes-stay", "INIT-3/no-buffer"}),
    HarmsOthers: (FAIL, {"FRAME-4/255", "FRAME-11/behind-a-bad-one", "FRAME-11/nothing-else-suffers"}),
    GetsStuck: (HUNG, {"FRAME-12/half-a-hello"}),
    SharesHandles: (
        FAIL,
        {f"HANDLE-2/{command}-other-connection" for command in OF_OTHERS}
        | {f"HANDLE-7/{command}-other-connection" for command in RECORDS_OF_OTHERS}
        | {"HANDLE-2/owner-keeps-it", "REGION-4/nothing-was-written"},
    ),
    FreesTwice: (FAIL, {"HANDLE-2/free-buffer-freed", "HANDLE-2/freed-twice"}),
    ReusesHandles: (FAIL, {"HANDLE-3/not-used-again"}),
    KnowsHandleZero: (FAIL, {"HANDLE-4/buffer-get-base-zero"}),
    CrookedBases: (FAIL, {"HANDLE-5/base-aligned"}),
    SameBase: (FAIL, {"HANDLE-5/apart"}),
    DiesOfAllocation: (CRASHED, {"ALLOC-2/2-63"}),
    ShowsOldBytes: (FAIL, {"ALLOC-5/nobody-elses-bytes"}),
    NoAlignment: (FAIL, {"ALLOC-6/power-of-two"}),
    AnyDevice: (FAIL, {"DEVICE-2/get-max-size-count", "DEVICE-2/get-max-size-last-number"}),
    WrapsAround: (FAIL, {"REGION-2/get-tensor-sum-wraps"}),
    ReadsPastTheEnd: (FAIL, {"REGION-2/get-tensor-into-the-next"}),
    FillsNowhere: (FAIL, {"MEMSET-2/size-zero"}),
    ForgetsOffsets: (FAIL, {"SET-2/at-an-offset", "GET-2/after-all-before"}),
    CopiesForward: (FAIL, {"COPY-5/overlap"}),
    RunsWhatItDoesNotKnow: (FAIL, {"GRAPH-23/none-remembered", "LIFE-4/no-state-between"}),
    NeverReleases: (FAIL, {"LIFE-3/memory-comes-back"}),
}
"""each server, the verdict that it gets, and the cases that give it"""
