"""How long a node waits for whom: for a message that has begun not for ever, between messages as long as it takes."""

import math
import socket

import pytest
import trio
from trio.testing import MockClock

from refimpl.limits import Limits
from refimpl.service.client import connect
from refimpl.service.transport import Transport
from refimpl.tests.service.harness import Peer, Running, record, running
from refimpl.trace import ConnectionClosed
from refimpl.wire import messages as wire

HELLO_REPLY = 36
COUNT_REPLY = 12
WEEK = 7 * 24 * 3600.0
LARGE = 64 << 20


async def greeted(node: Running) -> Peer:
    peer = Peer(await node.stream())
    await peer.say(wire.Hello())
    assert len(await peer.hear(HELLO_REPLY)) == HELLO_REPLY
    return peer


async def closed(node: Running, words: str) -> None:
    """The node has said why it closed a connection."""
    await node.trace.until(lambda event: isinstance(event, ConnectionClosed) and words in event.note)


async def test_a_main_host_may_be_silent_for_a_week_between_two_messages(clock: MockClock) -> None:
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(4)
        await client.set_tensor(record(buffer, 4), b"kept")
        await trio.sleep(WEEK)
        assert bytes(await client.get_tensor(record(buffer, 4), 0, 4)) == b"kept"


async def test_unless_it_is_told_how_long(clock: MockClock) -> None:
    async with running(limits=Limits(idle_timeout=30)) as node:
        peer = await greeted(node)
        for _ in range(3):
            await trio.sleep(29)
            await peer.say(wire.DeviceCount())
            assert len(await peer.hear(COUNT_REPLY)) == COUNT_REPLY
        await trio.sleep(31)
        assert await peer.end() == b""
        await closed(node, "limits.idle_timeout")


async def test_hello_has_to_come_in_time_in_whole(clock: MockClock) -> None:
    limits = Limits()
    async with running() as node:
        peer, begun = Peer(await node.stream()), trio.current_time()
        hello = peer.codec.encode_request(wire.Hello())
        for at in range(len(hello)):
            await peer.say(hello[at : at + 1])
            await trio.sleep(limits.hello_timeout / 4)
            if node.trace.of(ConnectionClosed):
                break
        await closed(node, "limits.hello_timeout")
        assert trio.current_time() - begun <= 2 * limits.hello_timeout


async def test_a_message_that_comes_byte_by_byte_has_an_end(clock: MockClock) -> None:
    limits = Limits()
    async with running() as node:
        peer, begun = await greeted(node), trio.current_time()
        for byte in peer.codec.encode_request(wire.AllocBuffer(0, 1)):
            await peer.say(bytes([byte]))
            await trio.sleep(limits.message_timeout / 3)
            if node.trace.of(ConnectionClosed):
                break
        await closed(node, "limits.message_timeout")
        assert trio.current_time() - begun <= 2 * limits.message_timeout


async def test_each_message_has_a_time_of_its_own(clock: MockClock) -> None:
    limits = Limits()
    async with running() as node:
        peer = await greeted(node)
        message = peer.codec.encode_request(wire.DeviceCount())
        for _ in range(5):
            await peer.say(message[:4])
            await trio.sleep(limits.message_timeout * 0.9)
            await peer.say(message[4:])
            assert len(await peer.hear(COUNT_REPLY)) == COUNT_REPLY


async def test_tensor_data_may_take_long_but_not_pause_for_long(clock: MockClock) -> None:
    limits = Limits()
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(100)
        await client.channel.push(wire.SetTensor(record(buffer, 100), 0, 0, 100), b"")
        for number in range(50):
            await client.channel._transport.send(bytes([number]), math.inf)
            await trio.sleep(limits.message_timeout * 0.9)
        assert not node.trace.of(ConnectionClosed)
        await trio.sleep(limits.message_timeout * 1.1)
        await closed(node, "tensor data (limits.message_timeout)")
        assert node.device.used == 0


async def test_who_takes_in_nothing_of_a_reply_is_let_go_and_others_go_on(clock: MockClock) -> None:
    async with running() as node, connect(node.endpoint) as bystander, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(LARGE)
        await client.channel.push(wire.GetTensor(record(buffer, LARGE), 0, LARGE))
        for _ in range(100):
            await bystander.barrier()
        await trio.sleep(2 * Limits().send_timeout)
        await closed(node, "limits.send_timeout")
        assert node.device.used == 0
        await bystander.barrier()


async def test_who_takes_in_a_reply_slowly_is_waited_for(clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells of room only where there is much; so does the peer's, whose answers this test invents."""
    left = [900, 700, 500, 500]
    monkeypatch.setattr(Transport, "_not_taken_in", lambda transport: left.pop(0))
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        transport, begun = Transport(listener.accept()[0]), trio.current_time()
        with pytest.raises(trio.TooSlowError):
            await transport.send(bytes(LARGE), 60)
        assert trio.current_time() - begun == 180
        transport.close()
