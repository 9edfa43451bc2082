"""A peer that breaks a clause loses its connection, and nobody else loses anything."""

import struct
from collections.abc import Callable

import numpy as np
import pytest

from refimpl.limits import Limits
from refimpl.service.client import RemoteBuffer, connect
from refimpl.tests.service.harness import Peer, record, running, sum_graph
from refimpl.trace import ConnectionClosed, ConnectionRefused
from refimpl.wire import messages as wire
from refimpl.wire.tensor import RPC_TENSOR
from spec.names import Op

HELLO_REPLY = 36
U64 = (1 << 64) - 1


def frame(command: int, size: int, body: bytes = b"") -> bytes:
    return struct.pack("<BQ", command, size) + body


BEFORE_HELLO = {
    "first command is not HELLO": frame(1, 4, bytes(4)),
    "HELLO without a body": frame(14, 0),
    "HELLO of another size": frame(14, 25, bytes(25)),
    "HELLO of 2^63 bytes": frame(14, 1 << 63),
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
}

AFTER_HELLO: dict[str, bytes | wire.Request] = {
    "a second HELLO": wire.Hello(),
    "command 23": frame(23, 0),
    "command 255": frame(255, 0),
    "DEVICE_COUNT with a body": frame(15, 1, b"x"),
    "ALLOC_BUFFER too short": frame(0, 11, bytes(11)),
    "ALLOC_BUFFER on a device that is not there": wire.AllocBuffer(1, 100),
    "GET_ALIGNMENT of a device that is not there": wire.GetAlignment(0xFFFFFFFF),
    "GET_DEVICE_MEMORY of a device that is not there": wire.GetDeviceMemory(7),
    "BUFFER_GET_BASE of a handle out of thin air": wire.BufferGetBase(12345),
    "FREE_BUFFER of handle 0": wire.FreeBuffer(0),
    "BUFFER_CLEAR of a handle out of thin air": wire.BufferClear(U64, 1),
    "SET_TENSOR too short": frame(6, 304),
    "SET_TENSOR of 2^62 bytes": frame(6, 1 << 62, bytes(400)),
    "SET_TENSOR of 2^64 - 1 bytes": frame(6, U64, bytes(400)),
    "GRAPH_COMPUTE of 2^64 - 1 bytes": frame(10, U64, bytes(400)),
    "GRAPH_COMPUTE with more nodes than bytes": frame(10, 20, struct.pack("<IQII", 0, 1, 1000, 0)),
    "GRAPH_COMPUTE on a device that is not there": frame(10, 20, struct.pack("<IQII", 3, 1, 0, 0)),
    "GRAPH_RECOMPUTE without a graph": wire.GraphRecompute(0, 1),
    "GRAPH_RECOMPUTE of uid 0": wire.GraphRecompute(0, 0),
    "GRAPH_RECOMPUTE on a device that is not there": wire.GraphRecompute(9, 1),
    "GRAPH_RECOMPUTE as before 8.0.0": frame(16, 4, bytes(4)),
    "SET_TENSOR_2D too short": frame(18, 327),
    "SET_TENSOR_2D of 2^62 bytes": frame(18, 1 << 62, bytes(400)),
    "GET_TENSOR_2D with a payload": frame(19, 329, bytes(329)),
    "COMM_INIT too short": frame(20, 79, bytes(79)),
    "COMM_INIT on a device that is not there": wire.CommInit(1, 0, 2, 51052, b"127.0.0.1"),
    "COMM_ALLREDUCE without a pair": wire.CommAllreduce(0, record(None, 8)),
    "COMM_ALLREDUCE on a device that is not there": wire.CommAllreduce(5, record(None, 8)),
    "COMM_FREE on a device that is not there": wire.CommFree(1),
}

Wrong = Callable[[RemoteBuffer], wire.Request]

WITH_A_BUFFER: dict[str, Wrong] = {
    "set past the tensor": lambda own: wire.SetTensor(record(own, 100), 0, 50, 51),
    "set past the buffer": lambda own: wire.SetTensor(record(own, 100, at=30), 0, 0, 100),
    "set before the buffer": lambda own: wire.SetTensor(record(own, 8, at=-8), 0, 0, 8),
    "set at an offset that wraps": lambda own: wire.SetTensor(record(own, 100), 0, U64, 1),
    "set without a buffer": lambda own: wire.SetTensor(record(None, 100), 0, 0, 100),
    "set of a type that is not there": lambda own: wire.SetTensor(record(own, 100, type=43), 0, 0, 100),
    "set of a withdrawn type": lambda own: wire.SetTensor(record(own, 100, type=4), 0, 0, 100),
    "set of a tensor whose size wraps": lambda own: wire.SetTensor(
        record(own, 100, ne=(0xFFFFFFFF,) * 4, nb=(0xFFFFFFFF,) * 4), 0, 0, 100
    ),
    "get past the tensor": lambda own: wire.GetTensor(record(own, 100), 1, 100),
    "get of 2^64 - 1 bytes": lambda own: wire.GetTensor(record(own, 100), 0, U64),
    "memset past the tensor": lambda own: wire.MemsetTensor(record(own, 100), 0, 101, 1),
    "memset of 2^64 - 1 bytes": lambda own: wire.MemsetTensor(record(own, 100), 1, U64, 1),
    "set in no pieces": lambda own: wire.SetTensor2D(record(own, 100), 0, 8, 0, 8),
    "set in empty pieces": lambda own: wire.SetTensor2D(record(own, 100), 0, 0, 8, 8),
    "set in pieces past the tensor": lambda own: wire.SetTensor2D(record(own, 100), 0, 10, 4, 31),
    "set in pieces past the tensor by their offset": lambda own: wire.SetTensor2D(record(own, 100), 8, 10, 4, 28),
    "set in pieces past the buffer": lambda own: wire.SetTensor2D(record(own, 100, at=30), 0, 10, 2, 20),
    "set in pieces that wrap": lambda own: wire.SetTensor2D(record(own, 100), 0, 8, 2, U64),
    "set in pieces without a buffer": lambda own: wire.SetTensor2D(record(None, 100), 0, 8, 2, 8),
    "get in no pieces": lambda own: wire.GetTensor2D(record(own, 100), 0, 8, 0, 8),
    "get in empty pieces": lambda own: wire.GetTensor2D(record(own, 100), 0, 0, 8, 8),
    "get in pieces past the tensor": lambda own: wire.GetTensor2D(record(own, 100), 1, 10, 10, 10),
    "get in pieces that wrap": lambda own: wire.GetTensor2D(record(own, 100), U64, 8, 2, 8),
    "get in pieces whose product wraps": lambda own: wire.GetTensor2D(record(own, 100), 0, 1 << 40, 1 << 40, 0),
    "get one byte more often than any tensor has bytes": lambda own: wire.GetTensor2D(
        record(own, 100), 0, 1, 1 << 60, 0
    ),
    "copy past the buffer": lambda own: wire.CopyTensor(record(own, 100), record(own, 90, at=29)),
    "copy to no buffer": lambda own: wire.CopyTensor(record(own, 8), record(None, 8)),
    "init outside the buffer": lambda own: wire.InitTensor(record(own, 128, at=1)),
    "alloc size of a type that is not there": lambda own: wire.GetAllocSize(
        0, record(None, 0, type=99), np.zeros(10, RPC_TENSOR)
    ),
    "alloc size on a device that is not there": lambda own: wire.GetAllocSize(
        1, record(None, 8), np.zeros(10, RPC_TENSOR)
    ),
}


@pytest.mark.parametrize("said", BEFORE_HELLO.values(), ids=BEFORE_HELLO)
async def test_a_bad_greeting_ends_the_connection(said: bytes) -> None:
    async with running() as node:
        peer = Peer(await node.stream())
        await peer.say(said)
        assert await peer.end() == b""
        await node.trace.seen(ConnectionRefused)


@pytest.mark.parametrize("said", AFTER_HELLO.values(), ids=AFTER_HELLO)
async def test_a_bad_command_ends_its_connection_only(said: bytes | wire.Request) -> None:
    async with running() as node, connect(node.endpoint) as bystander:
        graph = await sum_graph(bystander)
        await graph.set(1, 2)
        used = node.device.used
        peer = Peer(await node.stream())
        await peer.say(wire.Hello(), wire.AllocBuffer(0, 4096), said, wire.DeviceCount())
        assert len(await peer.end()) == HELLO_REPLY + 24
        await node.trace.seen(ConnectionRefused)
        assert len(node.trace.of(ConnectionRefused)) == 1
        assert node.device.used == used
        await bystander.devices[0].compute(graph.nodes, graph.records)
        assert await graph.get() == [3.0] * 4


@pytest.mark.parametrize("wrong", WITH_A_BUFFER.values(), ids=WITH_A_BUFFER)
async def test_bytes_outside_what_a_client_owns_are_refused(wrong: Wrong) -> None:
    async with running() as node, connect(node.endpoint) as client, connect(node.endpoint) as bystander:
        buffer = await client.devices[0].allocate(128)
        kept = await bystander.devices[0].allocate(128)
        await kept.clear(0x5A)
        await client.channel.push(wrong(buffer))
        await node.trace.seen(ConnectionRefused)
        assert bytes(await bystander.get_tensor(record(kept, 128), 0, 128)) == b"\x5a" * 128
        assert node.device.used == 128


async def test_a_handle_of_another_client_is_worth_nothing() -> None:
    async with running() as node, connect(node.endpoint) as owner, connect(node.endpoint) as thief:
        buffer = await owner.devices[0].allocate(64)
        await buffer.clear(1)
        await owner.barrier()
        await thief.set_tensor(record(buffer, 64), bytes(64))
        await node.trace.seen(ConnectionRefused)
        assert bytes(await owner.get_tensor(record(buffer, 64), 0, 64)) == b"\x01" * 64


async def test_a_freed_buffer_is_gone() -> None:
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(64)
        await buffer.free()
        await buffer.free()
        refused = await node.trace.seen(ConnectionRefused)
        assert f"{buffer.handle:#018x}" in refused.detail


async def test_recompute_after_freeing_a_buffer_of_the_graph_is_refused() -> None:
    async with running() as node, connect(node.endpoint) as client:
        graph = await sum_graph(client)
        await graph.compute()
        await graph.buffer.free()
        await graph.recompute()
        refused = await node.trace.seen(ConnectionRefused)
        assert refused.clause == "GRAPH-23"


@pytest.mark.parametrize(
    ("field", "value"), [("op", int(Op.CUSTOM)), ("op", 200), ("type", 99), ("data", 0), ("src", 77)]
)
async def test_a_graph_that_may_not_run_does_not(field: str, value: int) -> None:
    async with running() as node, connect(node.endpoint) as client:
        graph = await sum_graph(client)
        graph.records[2][field] = value
        await graph.compute()
        await node.trace.seen(ConnectionRefused)
        assert node.device.runs == 0


async def test_nothing_is_stored_of_a_graph_that_is_too_large() -> None:
    async with running(limits=Limits(graph_bytes=1000)) as node:
        peer = Peer(await node.stream())
        await peer.say(wire.Hello(), frame(10, 1001))
        assert len(await peer.end()) == HELLO_REPLY


async def test_a_peer_that_leaves_inside_a_payload_leaves_nothing_behind() -> None:
    async with running() as node:
        async with connect(node.endpoint) as client:
            buffer = await client.devices[0].allocate(1 << 20)
            message = wire.SetTensor(record(buffer, 1 << 20), 0, 0, 1 << 20)
            await client.channel.push(message, bytes(1000))
        await node.trace.seen(ConnectionClosed)
        assert node.device.used == 0
