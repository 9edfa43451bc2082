"""Whatever several clients do to a live server, in whatever order, each finds its own bytes as it left them.

One Hypothesis state machine, real sockets, a device that guards its memory. REFIMPL_STATE_SECONDS (60) bounds the
time: rounds with the seeds 0, 1, 2 ... are played until it is over, so a longer run repeats a shorter one and goes
on. The clients of a round speak the newer version, both, or the older.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import attrs
import numpy as np
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from refimpl.device.cpu import CpuDevice
from refimpl.tests.state.live import VERSIONS, BlockingClient, LiveServer, Probe, Refused
from refimpl.tests.state.model import SLOT, Buffer, Client, Graph, Slot, bytes_record, make_graph
from refimpl.wire import messages as wire
from refimpl.wire.strided import Pieces
from spec.load import load
from spec.names import Op

SECONDS = float(os.environ.get("REFIMPL_STATE_SECONDS", "60"))
EXAMPLES = 12
STEPS = 40
CLIENTS = 3
ROUNDS = ((VERSIONS[0],), VERSIONS, (VERSIONS[1],))
"""versions of the clients of a round, round after round: the newer, both, the older"""
MISDEEDS = (
    "past the end",
    "not mine",
    "no command",
    "freed",
    "bad graph",
    "no graph",
    "strided past the end",
    "no pair",
)
BUFFERS = 4

pick = st.integers(0, 1 << 16)
byte = st.integers(0, 255)
small = st.integers(0, 3 * SLOT)
small_floats = st.lists(st.integers(-8, 8), min_size=SLOT // 4, max_size=SLOT // 4).map(
    lambda values: np.array(values, np.float32)
)
shapes = st.tuples(st.integers(1, SLOT // 4), st.integers(0, 6))
"""length and uid of a graph"""
strides = st.builds(Pieces, st.integers(1, 8), st.integers(1, 8), st.integers(0, 40))
ops = st.sampled_from([Op.ADD, Op.MUL, Op.SCALE, Op.MUL_MAT])


class LiveServerMachine(RuleBasedStateMachine):
    """Clients and the bytes they must find; `server` is set for a round."""

    server: ClassVar[LiveServer]
    versions: ClassVar[tuple[str, ...]]
    """of the clients, in turn"""
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.clients: list[Client] = []
        self.server.probe.rest()
        self.server.faults.clear()

    def client(self, choice: int) -> Client:
        return self.clients[choice % len(self.clients)]

    def has_client(self) -> bool:
        return bool(self.clients)

    def has_buffer(self) -> bool:
        return any(client.buffers for client in self.clients)

    def has_graph(self) -> bool:
        return any(client.graphs for client in self.clients)

    def buffer(self, choice: int) -> tuple[Client, Buffer]:
        owned = [(client, buffer) for client in self.clients for buffer in client.buffers]
        return owned[choice % len(owned)]

    def allocate_for(self, client: Client, size: int) -> None:
        reply = client.connection.ask(wire.AllocBuffer(0, size))
        base = client.connection.ask(wire.BufferGetBase(reply.handle)).base
        client.buffers.append(Buffer(reply.handle, base, bytearray(size)))

    def gone(self, client: Client) -> None:
        client.connection.close()
        self.clients.remove(client)

    @precondition(lambda self: len(self.clients) < CLIENTS)
    @rule(slots=st.integers(1, 4))
    def connect(self, slots: int) -> None:
        version = self.versions[len(self.clients) % len(self.versions)]
        self.clients.append(Client(BlockingClient(self.server.ports[version], load().dialect(version))))
        self.allocate_for(self.clients[-1], slots * SLOT)

    @precondition(has_client)
    @rule(who=pick, size=st.one_of(small, st.integers(1, 4).map(lambda slots: slots * SLOT)))
    def allocate(self, who: int, size: int) -> None:
        client = self.client(who)
        if len(client.buffers) < BUFFERS:
            self.allocate_for(client, size)

    @precondition(has_buffer)
    @rule(which=pick, value=byte)
    def clear(self, which: int, value: int) -> None:
        client, buffer = self.buffer(which)
        client.connection.push(wire.BufferClear(buffer.handle, value))
        buffer.data[:] = bytes([value]) * len(buffer.data)

    @precondition(has_buffer)
    @rule(which=pick, start=small, data=st.binary(max_size=SLOT))
    def set(self, which: int, start: int, data: bytes) -> None:
        client, buffer = self.buffer(which)
        start, data = _inside(buffer, start, data)
        client.connection.push(wire.SetTensor(bytes_record(buffer, 0, len(buffer.data)), 0, start, len(data)), data)
        buffer.data[start : start + len(data)] = data

    @precondition(has_buffer)
    @rule(which=pick, start=small, size=small, value=byte)
    def memset(self, which: int, start: int, size: int, value: int) -> None:
        client, buffer = self.buffer(which)
        start, data = _inside(buffer, start, bytes([value]) * size)
        client.connection.push(wire.MemsetTensor(bytes_record(buffer, start, len(data)), 0, len(data), value))
        buffer.data[start : start + len(data)] = data

    @precondition(has_buffer)
    @rule(which=pick, pieces=strides, start=small, data=st.binary(min_size=64, max_size=64))
    def set_and_get_strided(self, which: int, pieces: Pieces, start: int, data: bytes) -> None:
        client, buffer = self.buffer(which)
        fitting = _strided(buffer, pieces, start)
        if fitting is None or not client.newer:
            return
        numbers = bytes_record(buffer, 0, len(buffer.data)), start, fitting.size, fitting.count, fitting.stride
        client.connection.push(wire.SetTensor2D(*numbers), data[: fitting.packed_bytes])
        begins = [start + number * fitting.stride for number in range(fitting.count)]
        for number, begin in enumerate(begins):
            piece = data[number * fitting.size : (number + 1) * fitting.size]
            buffer.data[begin : begin + fitting.size] = piece
        found = b"".join(bytes(buffer.data[begin : begin + fitting.size]) for begin in begins)
        assert client.connection.ask(wire.GetTensor2D(*numbers)) == found

    @precondition(has_buffer)
    @rule(which=pick, other=pick, starts=st.tuples(small, small), size=small)
    def copy(self, which: int, other: int, starts: tuple[int, int], size: int) -> None:
        client, src = self.buffer(which)
        dst = client.buffers[other % len(client.buffers)]
        size = min(size, len(src.data), len(dst.data))
        at, to = min(starts[0], len(src.data) - size), min(starts[1], len(dst.data) - size)
        reply = client.connection.ask(wire.CopyTensor(bytes_record(src, at, size), bytes_record(dst, to, size)))
        assert reply.ok == 1
        dst.data[to : to + size] = bytes(src.data[at : at + size])

    @precondition(has_client)
    @rule(who=pick, op=ops, places=st.tuples(pick, pick, pick), shape=shapes, values=small_floats)
    def compute(
        self, who: int, op: Op, places: tuple[int, int, int], shape: tuple[int, int], values: np.ndarray
    ) -> None:
        client, (length, uid) = self.client(who), shape
        if (graph := _graph(client, op, places, length)) is not None:
            _set_operands(client, graph, values)
            client.compute(graph, uid)
            graph.run()

    @precondition(has_client)
    @rule(who=pick, two_ops=st.tuples(ops, ops), places=st.tuples(pick, pick, pick), values=small_floats)
    def take_turns(self, who: int, two_ops: tuple[Op, Op], places: tuple[int, int, int], values: np.ndarray) -> None:
        """Two graphs of a client, one after the other and again: each uid means its own."""
        client = self.client(who)
        graphs = [graph for op in two_ops if (graph := _graph(client, op, places, 4)) is not None]
        for graph, uid in zip(graphs, (1, 2), strict=False):
            _set_operands(client, graph, values)
            client.compute(graph, uid)
            graph.run()
        for graph, uid in zip(graphs, (1, 2), strict=False) if client.newer else ():
            _set_operands(client, graph, values)
            client.connection.push(wire.GraphRecompute(0, uid))
            graph.run()

    @precondition(has_graph)
    @rule(which=pick, values=small_floats)
    def recompute(self, which: int, values: np.ndarray) -> None:
        known = [(client, uid) for client in self.clients for uid in client.graphs]
        client, uid = known[which % len(known)]
        graph = client.graphs[uid]
        if graph.alive <= set(client.buffers):
            _set_operands(client, graph, values)
            client.connection.push(wire.GraphRecompute(0, uid))
            graph.run()
            return
        client.connection.push(wire.GraphRecompute(0, uid))
        assert client.connection.refused()
        self.gone(client)

    @precondition(has_buffer)
    @rule(which=pick)
    def free(self, which: int) -> None:
        client, buffer = self.buffer(which)
        client.connection.push(wire.FreeBuffer(buffer.handle))
        client.buffers.remove(buffer)

    @precondition(has_client)
    @rule(who=pick)
    def disconnect(self, who: int) -> None:
        self.gone(self.client(who))

    @precondition(has_buffer)
    @rule(which=pick, op=ops, places=st.tuples(pick, pick, pick), more=st.booleans())
    def disconnect_during_a_run(self, which: int, op: Op, places: tuple[int, int, int], more: bool) -> None:
        """The graph would run for ever: that the next step gets an answer shows that it was stopped."""
        client, _ = self.buffer(which)
        graph = _graph(client, op, places, 4)
        if graph is None:
            return
        client.check()
        probe = self.server.probe
        probe.running.clear()
        probe.endless = True
        client.connection.push(graph.message)
        if more:
            client.connection.push(wire.GetTensor(graph.records[0], 0, 4))
        assert probe.running.wait(20)
        self.gone(client)
        assert probe.settled(sum(other.size for other in self.clients))
        probe.endless = False

    @precondition(has_buffer)
    @rule(which=pick, how=st.sampled_from(MISDEEDS))
    def misbehave(self, which: int, how: str) -> None:
        client, buffer = self.buffer(which)
        strangers = [other for other in self.clients if other is not client and other.buffers]
        with suppress(Refused):
            WRONG[how](client, buffer, strangers[0].buffers[0] if strangers else buffer)
        assert client.connection.refused()
        self.gone(client)

    @invariant()
    def everybody_finds_their_bytes(self) -> None:
        type(self).steps += 1
        for client in self.clients:
            client.check()
        assert self.server.probe.settled(sum(client.size for client in self.clients))
        assert not self.server.faults

    def teardown(self) -> None:
        self.server.probe.endless = False
        while self.clients:
            self.gone(self.clients[-1])
        assert self.server.probe.settled(0)


def _strided(buffer: Buffer, pieces: Pieces, start: int) -> Pieces | None:
    """As many of the pieces as fit the buffer from `start` on; None if not one does."""
    room = len(buffer.data) - start - pieces.size
    if room < 0:
        return None
    fitting = room // pieces.stride + 1 if pieces.stride else pieces.count
    return attrs.evolve(pieces, count=min(pieces.count, fitting))


def _inside(buffer: Buffer, start: int, data: bytes) -> tuple[int, bytes]:
    start = min(start, len(buffer.data))
    return start, data[: len(buffer.data) - start]


def _graph(client: Client, op: Op, places: tuple[int, int, int], length: int) -> Graph | None:
    """A graph on some of the client's slots, the result in place of x if they say so; None if there are too few."""
    slots: list[Slot] = client.slots()
    if not slots:
        return None
    x, y, z = (slots[place % len(slots)] for place in places)
    if op == Op.MUL_MAT and len({x, y, z}) < 3:
        return None
    return make_graph(op, length, (x, y, z))


def _set_operands(client: Client, graph: Graph, values: Any) -> None:
    for slot, record in zip(graph.operands, graph.records, strict=True):
        data = np.roll(values, slot.start // SLOT)[: int(record["ne"].prod())]
        client.connection.push(wire.SetTensor(record, 0, 0, data.nbytes), data.tobytes())
        slot.write(data)


def _past_the_end(client: Client, buffer: Buffer, foreign: Buffer) -> None:
    size = len(buffer.data)
    client.connection.push(wire.SetTensor(bytes_record(buffer, 0, size + 1), 0, size, 1), b"!")


def _not_mine(client: Client, buffer: Buffer, foreign: Buffer) -> None:
    stolen = Buffer(foreign.handle + (foreign is buffer), foreign.base, bytearray(1))
    client.connection.push(wire.MemsetTensor(bytes_record(stolen, 0, 1), 0, 1, 0xEE))


def _no_command(client: Client, buffer: Buffer, foreign: Buffer) -> None:
    client.connection.say(bytes([200, *bytes(8)]))


def _freed(client: Client, buffer: Buffer, foreign: Buffer) -> None:
    client.connection.push(wire.FreeBuffer(buffer.handle))
    client.connection.push(wire.BufferClear(buffer.handle, 0xEE))


def _bad_graph(client: Client, buffer: Buffer, foreign: Buffer) -> None:
    graph = _graph(client, Op.ADD, (0, 0, 0), 4)
    if graph is None:
        return _no_command(client, buffer, foreign)
    graph.message.tensors["src"][-1] = 0
    client.connection.push(graph.message)


def _no_graph(client: Client, buffer: Buffer, foreign: Buffer) -> None:
    if client.newer:
        client.connection.push(wire.GraphRecompute(0, max(client.graphs, default=0) + 1))
    else:
        client.connection.push(wire.GraphRecompute(1 if client.graphs else 0))


def _strided_past_the_end(client: Client, buffer: Buffer, foreign: Buffer) -> None:
    if not client.newer:
        return _past_the_end(client, buffer, foreign)
    size = len(buffer.data)
    request = wire.SetTensor2D(bytes_record(buffer, 0, size), 0, 1, 2, size)
    client.connection.push(request, b"!!")


def _no_pair(client: Client, buffer: Buffer, foreign: Buffer) -> None:
    if not client.newer:
        return _no_command(client, buffer, foreign)
    assert client.connection.ask(wire.CommInit(0, 0, 2, 1, b"127.0.0.1")).ok == 0
    client.connection.push(wire.CommAllreduce(0, bytes_record(buffer, 0, 0)))


WRONG: dict[str, Callable[[Client, Buffer, Buffer], None]] = {
    "past the end": _past_the_end,
    "not mine": _not_mine,
    "no command": _no_command,
    "freed": _freed,
    "bad graph": _bad_graph,
    "no graph": _no_graph,
    "strided past the end": _strided_past_the_end,
    "no pair": _no_pair,
}


def test_a_live_server_survives() -> None:
    end = time.monotonic() + SECONDS
    quiet = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=False,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    rounds = 0
    with LiveServer(Probe(CpuDevice(threads=2, guard=True))) as server:
        LiveServerMachine.server = server
        while time.monotonic() < end or not rounds:
            LiveServerMachine.versions = ROUNDS[rounds % len(ROUNDS)]
            run_state_machine_as_test(seed(rounds)(LiveServerMachine), settings=quiet)
            rounds += 1
    print(f"\n{rounds} rounds of {EXAMPLES} examples, {LiveServerMachine.steps} steps")
