"""A node that answers what no node may: the error names endpoint, command and clause, and nothing is used."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
import trio

from refimpl.errors import NodeClosed, NodeTimeout, NodeUnreachable, ProtocolError, VersionMismatch
from refimpl.limits import Limits
from refimpl.service.client import RemoteNode, connect
from refimpl.session.connection import Connection, ConnectionClosed, NeedData, PayloadExpected, Role
from refimpl.tests.service.harness import record
from refimpl.wire import messages as wire
from refimpl.wire.codec import Codec
from spec.load import load
from spec.names import Command

DIALECT = load().dialect("8.0.0")
CODEC = Codec(DIALECT, Limits())
BASE = 1 << 30
MANY = (1 << 32) - 1
PATIENCE = 5.0
REPLIES = (
    wire.HelloReply(8, 0, 0),
    wire.DeviceCountReply(1),
    wire.AlignmentReply(32),
    wire.MaxSizeReply(1 << 40),
    wire.AllocBufferReply(5, 64),
    wire.BufferBaseReply(BASE),
    wire.SetTensorHashReply(0),
    wire.CopyTensorReply(1),
    wire.DeviceMemoryReply(1, 2),
)
RIGHT: Mapping[int, bytes] = {
    **{reply.command: CODEC.encode_reply(reply) for reply in REPLIES},
    Command.GET_TENSOR: CODEC.encode_reply(wire.TensorData(8)) + bytes(8),
}
Use = Callable[[RemoteNode], Awaitable[object]]


@asynccontextmanager
async def node(answers: Mapping[int, bytes | None]) -> AsyncIterator[str]:
    """An endpoint where a node answers so, and rightly where nothing is said; None: it says nothing."""

    async def talk(stream: trio.SocketStream) -> None:
        connection = Connection(Role.SERVER, DIALECT, Limits())
        while not isinstance(event := connection.next_event(), ConnectionClosed):
            if isinstance(event, NeedData):
                connection.receive(await received(stream))
            elif isinstance(event, PayloadExpected):
                connection.take_payload(memoryview(bytearray(event.size)))
                await stream.send_all(answers.get(Command.SET_TENSOR) or b"")
            elif isinstance(event, wire.Request):
                await stream.send_all({**RIGHT, **answers}.get(event.command) or b"")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, talk, 0)
        yield f"localhost:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def received(stream: trio.SocketStream) -> bytes:
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        return b""


async def allocate(client: RemoteNode) -> object:
    return await client.devices[0].allocate(64)


async def use_hash(client: RemoteNode) -> object:
    return await client.set_tensor_hash(record(None, 8), 1)


async def copy(client: RemoteNode) -> object:
    return await client.copy_tensor(record(None, 8), record(None, 8))


async def read_twice(client: RemoteNode) -> object:
    await client.get_tensor(record(None, 8), 0, 8)
    return await client.get_tensor(record(None, 8), 0, 8)


async def write_and_read(client: RemoteNode) -> object:
    await client.set_tensor(record(None, 8), bytes(8))
    return await client.get_tensor(record(None, 8), 0, 8)


async def nothing(client: RemoteNode) -> object:
    return None


def reply(message: wire.Reply) -> bytes:
    return CODEC.encode_reply(message)


def sized(size: int, body: bytes = b"") -> bytes:
    return size.to_bytes(8, "little") + body


TWICE = 2 * RIGHT[Command.GET_TENSOR]
WRONG: dict[str, tuple[Command, bytes, Use, str]] = {
    "too short": (Command.GET_ALIGNMENT, sized(7, bytes(7)), nothing, "FRAME-6: {}: GET_ALIGNMENT.* 7"),
    "absurd": (Command.GET_MAX_SIZE, sized(1 << 63), nothing, "FRAME-6: {}: GET_MAX_SIZE.* 9223"),
    "many devices": (Command.DEVICE_COUNT, reply(wire.DeviceCountReply(MANY)), nothing, "CLIENT-6: {}: DEVICE_COUNT"),
    "smaller": (Command.ALLOC_BUFFER, reply(wire.AllocBufferReply(5, 63)), allocate, "ALLOC-3: {}: ALLOC_BUFFER"),
    "base 0": (Command.BUFFER_GET_BASE, reply(wire.BufferBaseReply(0)), allocate, "HANDLE-5: {}: BUFFER_GET_BASE"),
    "found 2": (Command.SET_TENSOR_HASH, reply(wire.SetTensorHashReply(2)), use_hash, "CACHE-4: {}: SET_TENSOR_HASH"),
    "copied 2": (Command.COPY_TENSOR, reply(wire.CopyTensorReply(2)), copy, "COPY-4: {}: COPY_TENSOR"),
    "a reply twice": (Command.GET_TENSOR, TWICE, read_twice, "FRAME-6: {}: .*behind the reply to GET_TENSOR"),
    "HELLO twice": (Command.HELLO, 2 * RIGHT[Command.HELLO], nothing, "FRAME-6: {}: .*HELLO"),
    "answered": (Command.SET_TENSOR, sized(0), write_and_read, "FRAME-6: {}: .*SET_TENSOR"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_an_answer_that_is_none_is_an_error_with_endpoint_and_command(name: str) -> None:
    command, answer, use, words = WRONG[name]
    async with node({command: answer}) as endpoint:
        with trio.fail_after(PATIENCE), pytest.raises(ProtocolError, match=words.format(endpoint)):
            async with connect(endpoint, dialect="8.0.0") as client:
                await use(client)


async def test_another_version_is_what_hello_was_answered_with() -> None:
    async with node({Command.HELLO: reply(wire.HelloReply(9, 0, 0))}) as endpoint:
        with pytest.raises(VersionMismatch, match=rf"^{endpoint}: answers HELLO with protocol 9\.0\.0"):
            async with connect(endpoint, dialect="8.0.0"):
                pass


async def test_after_such_an_answer_the_connection_is_of_no_more_use() -> None:
    async with node({Command.GET_TENSOR: sized(9, bytes(9))}) as endpoint, connect(endpoint) as client:
        with pytest.raises(ProtocolError, match="FRAME-6"):
            await client.get_tensor(record(None, 8), 0, 8)
        with pytest.raises(NodeClosed, match="GET_TENSOR"):
            await client.barrier()


async def test_the_second_buffer_is_another_one() -> None:
    async with node({}) as endpoint, connect(endpoint) as client:
        buffer = await client.devices[0].allocate(64)
        with pytest.raises(ProtocolError, match=r"HANDLE-1.*ALLOC_BUFFER"):
            await client.devices[0].allocate(64)
        await buffer.free()
        assert (await client.devices[0].allocate(64)).base == BASE


@pytest.mark.parametrize("silent", [Command.HELLO, Command.DEVICE_COUNT, Command.GET_ALIGNMENT, Command.GET_MAX_SIZE])
async def test_the_error_names_the_question_that_was_not_answered(silent: Command) -> None:
    async with node({silent: None}) as endpoint:
        with pytest.raises(NodeUnreachable, match=f"no answer to {silent.name} within 0.1 s"):
            async with connect(endpoint, connect_timeout=0.1):
                pass


@pytest.mark.parametrize("silent", [Command.GET_DEVICE_MEMORY, Command.ALLOC_BUFFER])
async def test_a_node_that_falls_silent_is_given_up(silent: Command) -> None:
    async with node({silent: None}) as endpoint, connect(endpoint, reply_timeout=0.1) as client:
        device = client.devices[0]
        words = f"{endpoint}: silent for 0.1 s during {silent.name}"
        with trio.fail_after(PATIENCE), pytest.raises(NodeTimeout, match=words):
            await (device.memory() if silent is Command.GET_DEVICE_MEMORY else device.allocate(64))
