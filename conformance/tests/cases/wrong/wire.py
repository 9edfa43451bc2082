"""Wrong in framing, phases or HELLO."""

from collections.abc import Mapping

import trio

from conformance.judge.codec import HEAD_BYTES, Value
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import TOP, Dead, Refused, World
from conformance.tests.cases.wrong.entry import Wrong, crashes, fails, hangs
from spec.schema import Version

__all__ = ["WRONG"]

EMPTY_FRAME = bytes(8)


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


class SpeaksFirst(Session):
    async def greeting(self) -> None:
        with trio.move_on_after(0.1):
            return await super().greeting()
        await self.stream.send_all(EMPTY_FRAME)
        await super().greeting()


class TakesSegmentsForRequests(Session):
    async def head(self) -> tuple[int, int]:
        if not self._unread:
            self._unread += await self.stream.receive_some(1 << 16)
            self.check(len(self._unread) >= HEAD_BYTES)
        return await super().head()


class TurnsNumbers(Session):
    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        return super().on_get_tensor(tail, tensor, offset, 0x0201 if size == 0x0102 else size)


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


class AnswersOneMore(Session):
    def on_get_alignment(self, tail: bytes, device: int) -> bytes:
        return super().on_get_alignment(tail, device) + b"\0"


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


class WritesLate(Session):
    """Keeps a payload of 32 bytes back until another one comes."""

    late: tuple[bytes, bytes, int] | None = None

    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> None:
        now = (tail, tensor, offset)
        if len(tail) == 32:
            now, self.late = self.late or now, now
        super().on_set_tensor(now[0], now[1], cache_flag, now[2])


class LosesRequests(Session):
    async def one_request(self) -> None:
        if len(self._unread) > 60 * HEAD_BYTES and self._unread[0] == self.codec.dialect.command("DEVICE_COUNT").number:
            await self.take(HEAD_BYTES)
        await super().one_request()


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


class CompletesRequests(Session):
    """Takes what is missing of a GET_MAX_SIZE for zeros."""

    asking = False

    def before_tail(self, name: str, values: Mapping[str, Value], size: int) -> None:
        self.asking = False
        super().before_tail(name, values, size)

    def fits(self, name: str, size: int) -> bool:
        self.asking = name == "GET_MAX_SIZE"
        return super().fits(name, size)

    async def take(self, size: int) -> bytes:
        try:
            return await super().take(size)
        except Refused:
            self.check(self.asking)
            return bytes(self._unread).ljust(size, b"\0")


class AnswersEarly(Session):
    async def head(self) -> tuple[int, int]:
        byte, size = await super().head()
        if byte == self.codec.dialect.command("GET_DEVICE_MEMORY").number and len(self._unread) == size // 2:
            await self.answer(self.on_get_device_memory(b"", 0))
        return byte, size


class TiresOfCommands(Session):
    """Refuses the eleventh command that a connection has not used before."""

    def __init__(self, stream: trio.abc.Stream, world: World) -> None:
        super().__init__(stream, world)
        self.used: set[str] = set()

    def fits(self, name: str, size: int) -> bool:
        self.used.add(name)
        return super().fits(name, size) and len(self.used) <= 10


class SaysGoodbye(Session):
    async def head(self) -> tuple[int, int]:
        if not self._unread:
            self._unread += await self.stream.receive_some(1 << 16)
            if not self._unread:
                await self.stream.send_all(EMPTY_FRAME)
        return await super().head()


WRONG: Mapping[type[Session], Wrong] = {
    PaddingSet: fails("HELLO-3/zero-byte"),
    TakesEmptyHello: fails("HELLO-2/empty"),
    TakesLongHello: fails("HELLO-2/one-more"),
    EchoesCapabilities: fails("HELLO-5/offer"),
    OtherMinor: fails("HELLO-3/version"),
    ChangesItsMind: fails("HELLO-7/same-on-every-connection"),
    GreetsTwice: fails("HELLO-6/twice", "HELLO-6/late", "HELLO-6/pipelined"),
    NeedsNoHello: fails("PHASE-1/device-count", "PHASE-1/hello-behind-a-bad-one"),
    SpeaksFirst: fails("FRAME-1/nothing-unasked"),
    TakesSegmentsForRequests: fails(
        "FRAME-2/byte-by-byte",
        "FRAME-2/get-tensor-byte-by-byte",
        "FRAME-2/hello-byte-by-byte",
        "FRAME-2/in-two-pieces",
        "FRAME-2/set-tensor-byte-by-byte",
    ),
    TurnsNumbers: fails("FRAME-3/little-endian"),
    SkipsUnknown: fails("FRAME-4/128", "FRAME-4/all-the-others"),
    AwaitsUnknownBody: hangs("FRAME-4/body-not-awaited", "FRAME-4/declares-2-64-less-1"),
    TakesOneMore: fails("FRAME-5/get-alignment-one-more"),
    AnswersOneMore: fails(
        "ALLOC-6/power-of-two",
        "FRAME-10/many-at-once",
        "FRAME-13/silent-in-a-request",
        "FRAME-2/in-two-pieces",
        "FRAME-6/get-alignment-is-answered",
        "HANDLE-5/base-aligned",
        "LEAK-3/nothing-left-over",
        "PHASE-2/every-command",
        "PHASE-2/every-command-at-once",
    ),
    DiesOfSize: crashes("FRAME-7/set-tensor-declares-2-63", "FRAME-7/set-tensor-declares-2-64-less-1"),
    AwaitsHugeBody: hangs("FRAME-7/get-max-size-declares-2-64-less-1"),
    AnswersInit: fails(
        "FRAME-8/init-tensor-is-not-answered",
        "INIT-2/at-the-end-of-its-buffer",
        "INIT-2/bytes-stay",
        "INIT-3/no-buffer",
        "PHASE-2/every-command",
        "PHASE-2/every-command-at-once",
    ),
    WritesLate: fails("FRAME-9/write-read-write-read"),
    LosesRequests: fails("FRAME-10/many-at-once"),
    HarmsOthers: fails(
        "FRAME-11/behind-a-bad-one",
        "FRAME-11/get-tensor-behind-a-bad-one",
        "FRAME-11/nothing-else-suffers",
        "FRAME-11/set-tensor-behind-a-bad-one",
        "FRAME-4/255",
        "FRAME-4/all-the-others",
        "LIFE-3/free-after-violation",
        "PHASE-3/dropped",
    ),
    GetsStuck: hangs("FRAME-12/half-a-hello", "FRAME-12/hello-broken-off"),
    CompletesRequests: fails("FRAME-12/get-max-size-cut-off-in-its-body"),
    AnswersEarly: fails(
        "FRAME-12/get-device-memory-cut-off-in-its-body", "FRAME-13/get-device-memory-interrupted-in-its-body"
    ),
    TiresOfCommands: fails("PHASE-2/every-command", "PHASE-2/every-command-at-once"),
    SaysGoodbye: fails("LEAK-3/nothing-left-over", "LIFE-3/half-closed", "PHASE-3/no-farewell"),
}
