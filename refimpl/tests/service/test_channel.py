"""How long a client waits: short for what a node answers at once, long behind what may keep it busy."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from refimpl.errors import NodeClosed, NodeTimeout
from refimpl.limits import Limits
from refimpl.service.channel import Channel, Patience
from refimpl.service.transport import Transport
from refimpl.session.connection import Connection, Role
from refimpl.tests.service.harness import record
from refimpl.wire import messages as wire
from refimpl.wire.codec import Codec
from spec.load import load

DIALECT = load().dialect("7.0.0")
PATIENCE = Patience(reply=10.0, computing=300.0)


class SilentTransport(Transport):
    """A peer that answers what a test has prepared and is silent after that; waits cost no time."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.waited: list[float] = []

    async def send(self, data: bytes | memoryview, silence: float) -> None:
        await trio.lowlevel.checkpoint()

    def has_bytes(self) -> bool:
        return False

    async def receive(self, silence: float) -> memoryview:
        await trio.lowlevel.checkpoint()
        self.waited.append(silence)
        if not self.answers:
            raise trio.TooSlowError
        return memoryview(self.answers.pop(0))


def greeted(*answers: wire.Reply) -> tuple[Channel, SilentTransport]:
    codec = Codec(DIALECT, Limits())
    hello = wire.HelloReply(*DIALECT.version)
    transport = SilentTransport(*(codec.encode_reply(answer) for answer in (hello, *answers)))
    return Channel("node:1", transport, Connection(Role.CLIENT, DIALECT, Limits()), PATIENCE), transport


Push = Callable[[Channel], Awaitable[object]]
QUICK: dict[str, Push] = {
    "nothing": lambda channel: trio.sleep(0),
    "a tensor": lambda channel: channel.push(wire.SetTensor(record(None, 4), 0, 0, 4), bytes(4)),
    "INIT_TENSOR": lambda channel: channel.push(wire.InitTensor(record(None, 4))),
}
LABOUR: dict[str, Push] = {
    "a tensor to keep on disk": lambda channel: channel.push(wire.SetTensor(record(None, 4), 1, 0, 4), bytes(4)),
    "GRAPH_RECOMPUTE": lambda channel: channel.push(wire.GraphRecompute(0, 0)),
    "BUFFER_CLEAR": lambda channel: channel.push(wire.BufferClear(1, 0)),
    "MEMSET_TENSOR": lambda channel: channel.push(wire.MemsetTensor(record(None, 4), 0, 4, 0)),
}


@pytest.mark.parametrize("before", QUICK)
async def test_a_reply_has_the_short_patience(before: str) -> None:
    channel, transport = greeted()
    await channel.ask(wire.Hello())
    await QUICK[before](channel)
    with pytest.raises(NodeTimeout, match=r"^node:1: silent for 10 s during DEVICE_COUNT; not answered yet: .*DEVICE"):
        await channel.ask(wire.DeviceCount())
    assert transport.waited == [10.0, 10.0]


@pytest.mark.parametrize("before", LABOUR)
async def test_behind_labour_every_reply_has_the_long_patience(before: str) -> None:
    channel, transport = greeted(wire.DeviceCountReply(1))
    await channel.ask(wire.Hello())
    await LABOUR[before](channel)
    await channel.ask(wire.DeviceCount())
    with pytest.raises(NodeTimeout, match="silent for 10 s"):
        await channel.ask(wire.DeviceCount())
    assert transport.waited == [10.0, 300.0, 10.0]


async def test_a_lookup_in_the_cache_has_the_long_patience_itself() -> None:
    channel, transport = greeted()
    await channel.ask(wire.Hello())
    with pytest.raises(NodeTimeout, match="silent for 300 s during SET_TENSOR_HASH; not answered yet, which may take"):
        await channel.ask(wire.SetTensorHash(record(None, 4), 0, 1))
    assert transport.waited == [10.0, 300.0]


async def test_a_channel_that_gave_up_stays_given_up() -> None:
    channel, transport = greeted()
    await channel.ask(wire.Hello())
    for _ in range(2):
        with pytest.raises(NodeTimeout, match="silent for 10 s during DEVICE_COUNT"):
            await channel.ask(wire.DeviceCount())
    assert len(transport.waited) == 2


async def test_a_closed_connection_names_the_commands_since_the_last_reply() -> None:
    channel, transport = greeted()
    await channel.ask(wire.Hello())
    transport.answers.append(b"")
    await channel.push(wire.GraphRecompute(0, 0))
    with pytest.raises(
        NodeClosed, match=r"it ended, or it refused GRAPH_RECOMPUTE or DEVICE_COUNT; its log says which"
    ):
        await channel.ask(wire.DeviceCount())
