"""Messages under way: all together bounded, and who pays for it."""

import struct
from contextlib import suppress

import pytest
import trio

from refimpl.errors import OutOfMemory
from refimpl.limits import Limits
from refimpl.service.bounds.arrivals import Arrivals
from refimpl.service.client import connect
from refimpl.tests.service.harness import Peer, Running, running, sum_graph
from refimpl.trace import ConnectionClosed
from refimpl.wire import messages as wire
from spec.names import Command

HELLO_REPLY = 36
KIB = 1 << 10
IN_ALL = 1 << 20
LIMITS = Limits(message_bytes_in_all=IN_ALL, read_ahead=8 * KIB)


def test_the_largest_under_way_goes_first() -> None:
    arrivals = Arrivals(Limits(message_bytes_in_all=100))
    small, large, middle = (arrivals.join() for _ in range(3))
    large.grow(60)
    middle.grow(30)
    small.grow(20)
    with pytest.raises(OutOfMemory, match=r"100 bytes .*limits\.message_bytes_in_all"):
        large.check()
    middle.check()
    assert arrivals.held == 50


def test_who_asks_goes_if_nobody_has_more() -> None:
    arrivals = Arrivals(Limits(message_bytes_in_all=100))
    first, greedy = arrivals.join(), arrivals.join()
    first.grow(40)
    with pytest.raises(OutOfMemory):
        greedy.grow(61)
    first.check()
    assert arrivals.held == 40


def test_what_is_being_dealt_with_stays() -> None:
    arrivals = Arrivals(Limits(message_bytes_in_all=100))
    whole, other = arrivals.join(), arrivals.join()
    whole.grow(70)
    whole.complete()
    with pytest.raises(OutOfMemory):
        other.grow(31)
    whole.check()
    whole.done()
    third = arrivals.join()
    third.grow(100)


async def test_waiting_for_more_of_a_message_that_is_given_up_ends_at_once() -> None:
    arrivals = Arrivals(Limits(message_bytes_in_all=100))
    waiting, small = arrivals.join(), arrivals.join()
    waiting.grow(90)
    with waiting.waiting() as scope:
        small.grow(20)
    assert scope.cancel_called


async def begun(node: Running, declared: int, sent: int) -> Peer:
    """A peer that has sent the beginning of a graph, as far as it was let."""
    peer = Peer(await node.stream())
    await peer.say(wire.Hello())
    assert len(await peer.hear(HELLO_REPLY)) == HELLO_REPLY
    with suppress(trio.BrokenResourceError):
        await peer.say(struct.pack("<BQ", Command.GRAPH_COMPUTE, declared) + bytes(sent))
    return peer


async def test_many_half_graphs_take_a_bounded_room_and_an_ordinary_client_goes_on() -> None:
    async with running(limits=LIMITS) as node, connect(node.endpoint) as client:
        graph = await sum_graph(client)
        peers = [await begun(node, 64 << 20, 512 * KIB) for _ in range(20)]
        for number in range(5):
            await graph.set(number, 1)
            await graph.compute()
            assert await graph.get() == [number + 1.0] * 4
        await node.trace.until(lambda _: len(node.trace.of(ConnectionClosed)) >= len(peers) - 2)
        assert all("limits.message_bytes_in_all" in event.note for event in node.trace.of(ConnectionClosed))
        arrivals = node.server._node.shared.arrivals
        assert arrivals.held <= IN_ALL
        for peer in peers:
            await peer.stream.aclose()
        await node.trace.until(lambda _: len(node.trace.of(ConnectionClosed)) == len(peers))
        assert arrivals.held == 0
        await client.barrier()


async def test_a_graph_that_has_been_dealt_with_counts_no_more() -> None:
    """Each is a third of what all may have; ten come one after the other."""
    async with running(limits=LIMITS) as node, connect(node.endpoint) as client:
        graph = await sum_graph(client)
        arrivals = node.server._node.shared.arrivals
        for uid in range(1, 11):
            message = wire.GraphCompute(0, uid, graph.nodes, graph.records, b"")
            body = client.channel._connection.codec.encode_request(message)[9:] + bytes(IN_ALL // 3)
            await client.barrier()
            await client.channel._transport.send(struct.pack("<BQ", Command.GRAPH_COMPUTE, len(body)) + body, 10)
            await client.barrier()
        assert arrivals.held == 0
        assert node.device.runs == 10
