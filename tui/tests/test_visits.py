"""Visits to live nodes: ours, and one that serves a single client. Trio, as the feed is."""

from functools import partial

import pytest
import trio

from refimpl.limits import Limits
from refimpl.tests.service.harness import running
from tui.feed.pace import Pace
from tui.feed.watch import Visitor, watch
from tui.model.events import Asked, Connected, Failed, Memory, Reading, Served, Serves, Trouble
from tui.tests.nodes import GIB, Heard, OneAtATime, one_at_a_time, refused_endpoint, silent

QUICK = 0.01
"""seconds between questions"""


@pytest.mark.parametrize("proto", ["7.0.0", "8.0.0"])
async def test_a_node_of_either_version_is_read(proto: str) -> None:
    heard = Heard()
    async with running(proto=proto) as node:
        await Visitor(node.endpoint, heard.terms()).visit()
        reading = heard.of(Reading)[-1]
    assert isinstance(reading, Reading)
    assert ".".join(map(str, reading.version)) == proto
    assert reading.devices == (Memory(node.device.capacity, node.device.capacity),)
    assert 0 < reading.round_trip < 5


async def test_a_node_that_serves_many_is_watched_over_one_connection() -> None:
    heard = Heard()
    async with running() as node, trio.open_nursery() as nursery:
        nursery.start_soon(watch, node.endpoint, heard.terms(), Pace(QUICK))
        await heard.seen(Reading, 6)
        assert [event.serves for event in heard.of(Served) if isinstance(event, Served)] == [Serves.MANY]
        assert len(heard.of(Connected)) == 1
        assert node.server.connections == 1
        nursery.cancel_scope.cancel()


async def test_memory_is_read_anew_each_time() -> None:
    heard = Heard()
    async with running() as node, trio.open_nursery() as nursery:
        nursery.start_soon(watch, node.endpoint, heard.terms(), Pace(QUICK))
        await heard.seen(Reading)
        node.device.allocate(GIB >> 4)
        left = node.device.capacity - (GIB >> 4)
        await heard.until(lambda event: isinstance(event, Reading) and event.devices[0].free == left)
        nursery.cancel_scope.cancel()


async def test_a_node_that_serves_one_is_left_free_between_visits() -> None:
    heard = Heard()
    async with one_at_a_time() as node, trio.open_nursery() as nursery:
        nursery.start_soon(watch, node.endpoint, heard.terms(), Pace(QUICK))
        await heard.until(lambda event: isinstance(event, Served) and event.serves is Serves.ONE)
        await heard.seen(Reading, 2)
        other = await trio.open_tcp_stream(*_address(node.endpoint))
        async with other:
            await other.send_all(bytes([14, 24]) + bytes(7 + 24))
            with trio.fail_after(5):
                assert len(await other.receive_some(36)) > 0
        nursery.cancel_scope.cancel()


async def test_while_another_client_is_attached_one_connection_waits_and_then_goes_on() -> None:
    heard = Heard()
    async with one_at_a_time() as node, trio.open_nursery() as nursery:
        other = await trio.open_tcp_stream(*_address(node.endpoint))
        await other.send_all(bytes([14, 24]) + bytes(7 + 24))
        await node.talking.wait()
        nursery.start_soon(watch, node.endpoint, heard.terms(), Pace(QUICK))
        await heard.seen(Connected)
        assert node.greeted == 1
        await other.aclose()
        await heard.seen(Reading)
        nursery.cancel_scope.cancel()


async def test_a_silent_node_is_called_once_and_stalls_no_other() -> None:
    heard = Heard()
    with silent() as hung:
        async with running() as node, trio.open_nursery() as nursery:
            for endpoint in (hung, node.endpoint, refused_endpoint()):
                nursery.start_soon(watch, endpoint, heard.terms(), Pace(QUICK))
            await heard.seen(Reading, 5)
            await heard.seen(Failed, 3)
            assert [type(event) for event in heard.events if event.node == hung] == [Connected]
            nursery.cancel_scope.cancel()


async def test_a_node_that_is_killed_is_unreachable_until_it_is_back() -> None:
    heard = Heard()
    async with trio.open_nursery() as nursery:
        async with running() as node:
            nursery.start_soon(watch, node.endpoint, heard.terms(), Pace(QUICK))
            await heard.until(lambda event: isinstance(event, Served))
            node.scope.cancel()
        lost = await heard.until(lambda event: isinstance(event, Failed))
        assert isinstance(lost, Failed)
        assert lost.trouble is Trouble.UNREACHABLE
        again = OneAtATime(port=int(node.endpoint.rpartition(":")[2]))
        async with one_at_a_time(again):
            await heard.until(lambda event: isinstance(event, Served) and event.serves is Serves.ONE)
            nursery.cancel_scope.cancel()


async def test_a_node_that_falls_silent_after_hello_is_given_up() -> None:
    heard = Heard()
    async with one_at_a_time(OneAtATime(answers_questions=False)) as node:
        await Visitor(node.endpoint, heard.terms(reply_timeout=0.05)).visit()
    assert _trouble(heard) is Trouble.UNREACHABLE
    assert "silent for 0.05 s" in _failure(heard).detail


async def test_a_version_that_is_not_known_is_named() -> None:
    heard = Heard()
    async with one_at_a_time(OneAtATime(version=(9, 1, 0))) as node:
        await Visitor(node.endpoint, heard.terms()).visit()
    assert _failure(heard).version == (9, 1, 0)
    assert _failure(heard).detail == "speaks protocol 9.1.0; known here: 8.0.0 and 7.0.0"
    assert not heard.of(Asked)


async def test_a_newer_minor_version_is_not_spoken_to() -> None:
    heard = Heard()
    async with one_at_a_time(OneAtATime(version=(8, 1, 0))) as node:
        await Visitor(node.endpoint, heard.terms()).visit()
    assert _trouble(heard) is Trouble.WRONG_VERSION


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (OneAtATime(version=(8, 0, 0), devices=[(5, 4)]), "DEVICE-3: device 0 has 5 bytes free of 4"),
        (OneAtATime(version=(8, 0, 0), claimed=1 << 31), "DEVICE-1: claims 2147483648 devices"),
    ],
)
async def test_answers_that_no_node_may_give_are_told_by_clause(node: OneAtATime, words: str) -> None:
    heard = Heard()
    async with one_at_a_time(node):
        await Visitor(node.endpoint, heard.terms()).visit()
    assert _trouble(heard) is Trouble.BROKEN
    assert words in _failure(heard).detail
    assert not heard.of(Reading)


async def test_a_server_of_something_else_is_no_node() -> None:
    heard = Heard()

    async def web(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        listener, *_ = await nursery.start(partial(trio.serve_tcp, web, 0, host="127.0.0.1"))
        endpoint = f"127.0.0.1:{listener.socket.getsockname()[1]}"
        await Visitor(endpoint, heard.terms()).visit()
        nursery.cancel_scope.cancel()
    assert _trouble(heard) is Trouble.WRONG_VERSION
    assert "no ggml RPC server" in _failure(heard).detail


async def test_a_node_with_no_connection_to_spare_is_visited_briefly() -> None:
    heard = Heard()
    async with running(limits=Limits(connections=1)) as node:
        with trio.fail_after(5):
            assert await Visitor(node.endpoint, heard.terms()).visit(Pace(QUICK))
    assert [event.serves for event in heard.of(Served) if isinstance(event, Served)] == [Serves.ONE]
    assert not heard.of(Failed)


async def test_a_name_that_nobody_knows_is_unreachable() -> None:
    heard = Heard()
    assert await Visitor("no-such-host.invalid:50052", heard.terms()).visit() is False
    assert _trouble(heard) is Trouble.UNREACHABLE
    assert _failure(heard).detail.startswith("no TCP connection")


def _failure(heard: Heard) -> Failed:
    (event,) = heard.of(Failed)
    assert isinstance(event, Failed)
    return event


def _trouble(heard: Heard) -> Trouble:
    return _failure(heard).trouble


def _address(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    return host, int(port)
