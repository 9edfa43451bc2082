"""A server in a thread of its own, and a client without an event loop: real sockets between the two."""

import socket
import threading
from collections.abc import Mapping
from typing import Any

import trio

from refimpl.device.protocol import Allocation, Device, DeviceMemory, Program, Run, StopWord
from refimpl.graph.checked import CheckedGraph
from refimpl.limits import Limits
from refimpl.service.server import Server
from refimpl.session.connection import Connection, ConnectionClosed, NeedData, PayloadExpected, Role
from refimpl.trace import ConnectionFailed, TraceEvent
from refimpl.wire import messages as wire
from spec.dialect import Dialect
from spec.load import load

__all__ = ["VERSIONS", "BlockingClient", "LiveServer", "Probe", "Refused"]

PATIENCE = 10.0
"""seconds after which whoever waits has found a fault"""
PROGRAMS = 1
"""compiled graphs of a connection: so few that remembered ones lose theirs"""
VERSIONS = ("8.0.0", "7.0.0")
"""served with one device, each on a port of its own"""


class Probe:
    """A device as it is, counting what it has given out, and running graphs without end when `endless` is set."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.name = device.name
        self.description = device.description
        self.alignment = device.alignment
        self.max_size = device.max_size
        self.endless = False
        self.running = threading.Event()
        self._out = 0
        self._changed = threading.Condition()

    def settled(self, size: int) -> bool:
        """Whether, at once or soon, exactly `size` bytes are given out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._out == size, PATIENCE)

    def rest(self) -> None:
        """Count from now on: what an earlier, failed example left behind is not the next one's fault."""
        with self._changed:
            self._out = 0
        self.endless = False

    def memory(self) -> DeviceMemory:
        return self.device.memory()

    def allocate(self, size: int) -> Allocation:
        allocation = self.device.allocate(size)
        self._count(size)
        return allocation

    def release(self, allocation: Allocation) -> None:
        size = allocation.size
        self.device.release(allocation)
        self._count(-size)

    def writable(self, allocation: Allocation, offset: int, size: int) -> memoryview:
        return self.device.writable(allocation, offset, size)

    def read(self, allocation: Allocation, offset: int, size: int) -> memoryview:
        return self.device.read(allocation, offset, size)

    def pending(self, allocation: Allocation, offset: int, size: int) -> int:
        return self.device.pending(allocation, offset, size)

    def copy(self, src: Allocation, src_offset: int, dst: Allocation, dst_offset: int, size: int) -> None:
        self.device.copy(src, src_offset, dst, dst_offset, size)

    def fill(self, allocation: Allocation, offset: int, size: int, value: int) -> None:
        self.device.fill(allocation, offset, size, value)

    def new_stop_word(self) -> StopWord:
        return self.device.new_stop_word()

    def compile(self, graph: CheckedGraph, allocations: Mapping[int, Allocation]) -> Program:
        return self.device.compile(graph, allocations)

    def begin(self, program: Program, stop: StopWord) -> Run | None:
        self.running.set()
        return None if self.endless else self.device.begin(program, stop)

    def run(self, program: Program, stop: StopWord) -> None:
        self.running.set()
        self.device.run(program, stop)
        while self.endless:
            self.device.run(program, stop)

    def close(self) -> None:
        self.device.close()

    def _count(self, size: int) -> None:
        with self._changed:
            self._out += size
            self._changed.notify_all()


class LiveServer:
    """A server from `with` to the end of the block; what failed inside it fails the block."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.ports: dict[str, int] = {}
        """by version"""
        self.faults: list[str] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,), name="live server")

    def __enter__(self) -> "LiveServer":
        self._thread.start()
        if not self._ready.wait(PATIENCE):
            raise TimeoutError("the server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(PATIENCE)
        self.probe.close()
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        server = Server([self.probe], load().dialect(VERSIONS[0]), Limits(programs=PROGRAMS), trace=self._listen)
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            self._scope = nursery.cancel_scope
            for version in VERSIONS:
                listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
                await nursery.start(server.serve, listeners, load().dialect(version))
                self.ports[version] = listeners[0].socket.getsockname()[1]
            self._ready.set()

    def _listen(self, event: TraceEvent) -> None:
        if isinstance(event, ConnectionFailed):
            self.faults.append(event.report)


class Refused(Exception):
    """The server has closed the connection."""


class BlockingClient:
    """One connection to a port of this machine that has said HELLO, in the dialect spoken there."""

    def __init__(self, port: int, dialect: Dialect) -> None:
        self.dialect = dialect
        self._connection = Connection(Role.CLIENT, dialect, Limits())
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.ask(wire.Hello())

    def push(self, request: wire.Request, payload: bytes = b"") -> None:
        """Send a request that has no reply."""
        self.say(self._connection.send(request) + payload)

    def say(self, raw: bytes) -> None:
        """Send bytes, whatever they mean."""
        try:
            self._socket.sendall(raw)
        except ConnectionError as error:
            raise Refused from error

    def ask(self, request: wire.Request) -> Any:
        """The reply to a request; of GET_TENSOR its bytes. Raises Refused."""
        self.push(request)
        event = self._next_event()
        if isinstance(event, PayloadExpected):
            data = bytearray(event.size)
            done = self._connection.take_payload(memoryview(data))
            while done < event.size:
                count = self._socket.recv_into(memoryview(data)[done:])
                self._connection.payload_received(count)
                done += count
            return bytes(data)
        return event

    def refused(self) -> bool:
        """Whether the server closes the connection, without a word."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._socket.close()

    def _next_event(self) -> Any:
        while isinstance(event := self._connection.next_event(), NeedData):
            try:
                self._connection.receive(self._socket.recv(1 << 16))
            except ConnectionError as error:
                raise Refused from error
        if isinstance(event, ConnectionClosed):
            raise Refused
        return event
