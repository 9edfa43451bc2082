"""The conversation of the right server: HELLO, then frames one after the other until something is wrong."""

from collections.abc import Mapping

import trio

from conformance.judge.codec import SIZE_BYTES, Value, number
from conformance.tests.cases.miniature.world import HERE, Dead, Refused, World
from spec.schema import Version

__all__ = ["Frames"]

LARGEST_BODY = 32 << 20


class Frames:
    """One connection; what a command does is an `on_` method of a subclass, with its fields by name."""

    address = HERE

    def __init__(self, stream: trio.abc.Stream, world: World) -> None:
        self.stream = stream
        self.world = world
        self.codec = world.codec
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
        fixed = await self.take(min(size, self.codec.fixed_bytes(command.name)))
        values = self.codec.unpack(command.request, fixed) if command.request else {}
        self.before_tail(command.name, values, size - len(fixed))
        reply = await self.act(command.name, values, await self.tail(size - len(fixed)))
        if reply is not None:
            await self.answer(reply)

    async def not_known(self, byte: int, size: int) -> None:
        raise Refused

    def fits(self, name: str, size: int) -> bool:
        fixed = self.codec.fixed_bytes(name)
        return fixed <= size < LARGEST_BODY if self.codec.dialect.command(name).tail else size == fixed

    def before_tail(self, name: str, values: Mapping[str, Value], size: int) -> None:
        """What can be said of a request when its fixed part has come, and `size` bytes are to follow."""

    async def tail(self, size: int) -> bytes:
        return await self.take(size)

    async def act(self, name: str, values: Mapping[str, Value], tail: bytes) -> bytes | None:
        if "device" in values:
            self.check(self.device_exists(name, values["device"]))
        reply: bytes | None = getattr(self, f"on_{name.lower()}")(tail, **values)
        return reply

    def device_exists(self, name: str, device: object) -> bool:
        return device == 0

    def release(self) -> None:
        """LIFE-3."""

    def check(self, holds: bool) -> None:
        if not holds:
            raise Refused

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
