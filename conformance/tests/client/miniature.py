"""A client in miniature, a program: `python miniature.py HOST:PORT CLASS`. Client is the right one.

It speaks 7.0.0 and does what a main host does: asks about the devices, takes two buffers, writes a tensor, runs a graph
and reads. A wrong one is a subclass of Client that overrides what it does wrongly; its name is the second argument. It
imports nothing but the standard library, since a judge starts it again and again.
"""

import os
import signal
import socket
import struct
import sys

HELLO, DEVICE_COUNT, GET_ALIGNMENT, GET_MAX_SIZE, ALLOC_BUFFER, BUFFER_GET_BASE = 14, 15, 1, 2, 0, 3
SET_TENSOR, GET_TENSOR, GRAPH_COMPUTE, FREE_BUFFER = 6, 8, 10, 4
NAMES = {
    HELLO: "HELLO",
    DEVICE_COUNT: "DEVICE_COUNT",
    GET_ALIGNMENT: "GET_ALIGNMENT",
    GET_MAX_SIZE: "GET_MAX_SIZE",
    ALLOC_BUFFER: "ALLOC_BUFFER",
    BUFFER_GET_BASE: "BUFFER_GET_BASE",
    GET_TENSOR: "GET_TENSOR",
}
HEAD, SIZE = struct.Struct("<BQ"), struct.Struct("<Q")
RECORD = struct.Struct("<QIQ4I4II16ii10QQQQ64si")
I8, MOST_DEVICES, BYTES = 24, 16, 8
SECONDS = 0.4


class Wrong(Exception):
    """The server is."""


class Client:
    """The right client."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.sent: list[str] = []
        host, port = endpoint.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=self.patience())
        self.buffers: dict[int, tuple[int, int]] = {}

    def patience(self) -> float | None:
        return SECONDS

    def work(self) -> bytes:
        self.greet(self.ask(HELLO, bytes(24), 28))
        for device in range(self.devices(*struct.unpack("<I", self.ask(DEVICE_COUNT, b"", 4)))):
            self.alignment(*SIZE.unpack(self.ask(GET_ALIGNMENT, struct.pack("<I", device), 8)))
            self.ask(GET_MAX_SIZE, struct.pack("<I", device), 8)
        handle, base = self.allocate(BYTES)
        other, _ = self.allocate(BYTES)
        self.tell(FREE_BUFFER, SIZE.pack(other))
        record = self.record(handle, base)
        self.tell(SET_TENSOR, record + bytes([0]) + SIZE.pack(0) + b"contents")
        self.tell(GRAPH_COMPUTE, struct.pack("<II", 0, 0) + bytes(4))
        return self.result(self.ask(GET_TENSOR, record + SIZE.pack(0) + SIZE.pack(BYTES), BYTES))

    def greet(self, hello: bytes) -> None:
        if hello[0] != 7 or hello[1] > 0:
            raise Wrong(f"version {hello[0]}.{hello[1]}")

    def devices(self, count: int) -> int:
        if count > MOST_DEVICES:
            raise Wrong(f"{count} devices")
        return count

    def alignment(self, alignment: int) -> None:
        if alignment.bit_count() != 1:
            raise Wrong(f"alignment {alignment}")

    def allocate(self, size: int) -> tuple[int, int]:
        handle, granted = struct.unpack("<QQ", self.ask(ALLOC_BUFFER, struct.pack("<IQ", 0, size), 16))
        if handle == 0 or handle in self.buffers or granted < size:
            raise Wrong(f"handle {handle}, {granted} bytes")
        (base,) = SIZE.unpack(self.ask(BUFFER_GET_BASE, SIZE.pack(handle), 8))
        if base == 0 or base % 32 or base + size > 1 << 64 or base in [other for other, _ in self.buffers.values()]:
            raise Wrong(f"base {base}")
        self.buffers[handle] = base, granted
        return handle, base

    def record(self, handle: int, base: int) -> bytes:
        ne, nb = (BYTES, 1, 1, 1), (1, BYTES, BYTES, BYTES)
        return RECORD.pack(1, I8, handle, *ne, *nb, 0, *16 * [0], 0, *10 * [0], 0, 0, base, b"t", 0)

    def result(self, data: bytes) -> bytes:
        return data

    def tell(self, command: int, body: bytes) -> None:
        self.sent.append(NAMES.get(command, ""))
        self.socket.sendall(HEAD.pack(command, len(body)) + body)

    def ask(self, command: int, body: bytes, size: int) -> bytes:
        self.check_quiet()
        self.tell(command, body)
        return self.reply(size)

    def check_quiet(self) -> None:
        self.socket.setblocking(False)
        try:
            if self.socket.recv(1, socket.MSG_PEEK):
                raise Wrong("bytes that nobody asked for")
        except BlockingIOError:
            pass
        finally:
            self.socket.settimeout(self.patience())

    def reply(self, size: int) -> bytes:
        (declared,) = SIZE.unpack(self.take(SIZE.size))
        if declared != size:
            raise Wrong(f"{declared} bytes")
        return self.take(size)

    def take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise Wrong("end of stream")
            data += more
        return data

    def report(self, error: Exception) -> int:
        print(f"{self.endpoint}: {error} at {', '.join(filter(None, self.sent[-2:]))}", file=sys.stderr)
        return 1


class WaitsForEver(Client):
    def patience(self) -> float | None:
        return None


class BelievesSizes(Client):
    def reply(self, size: int) -> bytes:
        (declared,) = SIZE.unpack(self.take(SIZE.size))
        data = bytearray()
        while len(data) < declared and (more := self.socket.recv(1 << 20)):
            data += more
        if (declared, len(data)) != (size, size):
            raise Wrong(f"{declared} bytes, of which {len(data)} came")
        return bytes(data)


class IgnoresSizes(Client):
    def reply(self, size: int) -> bytes:
        self.take(SIZE.size)
        return self.take(size)

    def check_quiet(self) -> None:
        pass


class Aborts(Client):
    def report(self, error: Exception) -> int:
        super().report(error)
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGABRT)
        return 1


class NamesNobody(Client):
    def report(self, error: Exception) -> int:
        print(f"{error} at {self.sent[-1]}", file=sys.stderr)
        return 1


class HidesTheError(Client):
    def report(self, error: Exception) -> int:
        super().report(error)
        return 0


class MakesUpTheRest(Client):
    """What the end of the stream has cut off is zeros, to it."""

    def take(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self.socket.recv(size - len(data))):
            data += more
        return data.ljust(size, b"\0")

    def reply(self, size: int) -> bytes:
        head = self.take(SIZE.size)
        if any(head) and head != SIZE.pack(size):
            raise Wrong("another size")
        return self.take(size)


class NeedsItWhole(Client):
    """It takes it that one read is one message."""

    def take(self, size: int) -> bytes:
        data = self.socket.recv(size)
        if len(data) != size:
            raise Wrong("a piece")
        return data


class TakesAnyMinor(Client):
    def greet(self, hello: bytes) -> None:
        super().greet(bytes([hello[0], 0]))


class TakesAnyAlignment(Client):
    def alignment(self, alignment: int) -> None:
        pass


class CountsOnDevices(Client):
    def devices(self, count: int) -> int:
        return len([None for _ in range(count)])


class DiesOfZeros(Client):
    def result(self, data: bytes) -> bytes:
        if not any(data):
            os.kill(os.getpid(), signal.SIGSEGV)
        return data


class TalksOn(Client):
    """It says goodbye to a server of another version, which cannot understand it."""

    def greet(self, hello: bytes) -> None:
        if hello[0] != 7:
            self.tell(DEVICE_COUNT, b"")
        super().greet(hello)


def main() -> int:
    endpoint, kind = sys.argv[1:]
    try:
        client = globals()[kind](endpoint)
    except OSError as error:
        sys.exit(f"{endpoint}: {error}")
    try:
        print(client.work())
    except (Wrong, OSError) as error:
        return int(client.report(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
