"""What the client says when the other end is not as it should be."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from refimpl.errors import NodeClosed, NodeTimeout, NodeUnreachable, ProtocolError, UsageError, VersionMismatch
from refimpl.service.client import connect, parse_endpoint
from refimpl.tests.service.harness import PATIENCE, record, running, sum_graph


@asynccontextmanager
async def impostor(talk: Callable[[trio.SocketStream], Awaitable[None]]) -> AsyncIterator[str]:
    """Something that listens and is no node; its endpoint."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, talk, 0)
        yield f"localhost:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:50052", ("127.0.0.1", 50052)),
        ("node", ("node", 50052)),
        ("node:1", ("node", 1)),
        ("[::1]:7000", ("::1", 7000)),
        ("[::1]", ("::1", 50052)),
    ],
)
def test_endpoints(text: str, parts: tuple[str, int]) -> None:
    assert parse_endpoint(text) == parts


@pytest.mark.parametrize("text", ["", ":5", "node:", "node:0", "node:65536", "node:-1", "node:x", "node:٣"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(UsageError, match="host:port"):
        parse_endpoint(text)


async def test_nobody_listens() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(NodeUnreachable, match=f"127.0.0.1:{port}.*-H"):
        async with connect(f"127.0.0.1:{port}"):
            pass


async def test_an_unknown_host() -> None:
    with pytest.raises(NodeUnreachable, match=r"nohost\.invalid"):
        async with connect("nohost.invalid:1"):
            pass


async def test_a_node_of_another_version_that_answers() -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(bytes([28, *bytes(7), 9, *bytes(27)]))
        await trio.sleep_forever()

    async with impostor(talk) as endpoint:
        with pytest.raises(VersionMismatch, match=r"9\.0\.0.*8\.0\.0 or 7\.0\.0"):
            async with connect(endpoint):
                pass


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_something_that_is_no_node(said: bytes) -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await stream.send_all(said)

    async with impostor(talk) as endpoint:
        with pytest.raises(VersionMismatch, match="no ggml RPC server"):
            async with connect(endpoint):
                pass


async def test_something_that_never_answers() -> None:
    async def talk(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with impostor(talk) as endpoint:
        with pytest.raises(NodeUnreachable, match="HELLO"):
            async with connect(endpoint, connect_timeout=0.02):
                pass


@pytest.mark.parametrize(
    ("alignment", "max_size", "clause"), [(0, 1, "ALLOC-6"), (48, 1, "ALLOC-6"), (32, 0, "ALLOC-7")]
)
async def test_a_device_on_which_nothing_can_be_placed(alignment: int, max_size: int, clause: str) -> None:
    async with running() as node:
        node.device.alignment, node.device.max_size = alignment, max_size
        with pytest.raises(ProtocolError, match=rf"{clause}: {node.endpoint}: GET_\w+ is answered with .* device 0"):
            async with connect(node.endpoint):
                pass


async def test_a_refusal_names_the_commands_that_may_have_been_refused() -> None:
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(64)
        for _ in range(3):
            await client.set_tensor(record(buffer, 64), bytes(64))
        await client.devices[0].recompute()
        suspects = r"SET_TENSOR \(3 of them\), GRAPH_RECOMPUTE or GET_TENSOR"
        with pytest.raises(NodeClosed, match=f"{node.endpoint}: .*{suspects}"):
            await client.get_tensor(record(buffer, 64), 0, 64)
        with pytest.raises(NodeClosed, match="GRAPH_RECOMPUTE"):
            await client.barrier()


async def test_a_node_that_computes_for_too_long() -> None:
    async with running() as node, connect(node.endpoint, compute_timeout=0.02) as client:
        node.device.hold.clear()
        graph = await sum_graph(client)
        await client.devices[0].compute(graph.nodes, graph.records)
        with pytest.raises(NodeTimeout, match=r"DEVICE_COUNT.*GRAPH_COMPUTE"):
            await client.barrier()
        node.device.hold.set()


async def test_a_command_given_up_halfway_ends_the_connection() -> None:
    async with running() as node, connect(node.endpoint) as client:
        node.device.hold.clear()
        graph = await sum_graph(client)
        await client.devices[0].compute(graph.nodes, graph.records)
        with trio.move_on_after(0.02):
            await client.barrier()
        with pytest.raises(NodeClosed, match="given up halfway"):
            await client.barrier()
        node.device.hold.set()


async def test_inputs_are_sent_while_another_task_awaits_a_graph() -> None:
    async with running() as node, connect(node.endpoint) as client:
        node.device.hold.clear()
        graph = await sum_graph(client)
        await graph.set(1, 2)
        await graph.compute()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.barrier)
            await trio.to_thread.run_sync(node.device.running.wait, PATIENCE)
            with trio.fail_after(PATIENCE):
                await graph.set(10, 20)
            node.device.hold.set()
        assert await graph.get() == [3.0] * 4
        await graph.recompute()
        assert await graph.get() == [30.0] * 4


async def test_progress_ends_at_the_size_and_only_grows() -> None:
    data = np.arange(6 << 20, dtype=np.int32)
    told: list[int] = []
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(data.nbytes)
        await client.set_tensor(record(buffer, data.nbytes), data, progress=told.append)
        assert bytes(await client.get_tensor(record(buffer, data.nbytes), data.nbytes - 4, 4)) == data[-1:].tobytes()
    assert told == sorted(told)
    assert len(told) > 2
    assert told[-1] == data.nbytes


async def test_whoever_gives_up_before_hello_is_answered_resets_the_connection() -> None:
    """The ordinary end would kill a stock server that has the client in its queue."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, trio.open_nursery() as nursery:

        async def give_up() -> None:
            with pytest.raises(NodeUnreachable):
                async with connect(listener_endpoint(listener), dialect="7.0.0", connect_timeout=0.2):
                    raise AssertionError("nobody answered")

        nursery.start_soon(give_up)
        stream = await listener.accept()
        async with stream:
            with trio.fail_after(PATIENCE):
                await stream.receive_some()
                with pytest.raises(trio.BrokenResourceError):
                    await stream.receive_some()


def listener_endpoint(listener: trio.SocketListener) -> str:
    return f"127.0.0.1:{listener.socket.getsockname()[1]}"
