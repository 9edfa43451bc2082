"""The hostile server is right up to its deed, and then does just that."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from conformance.client.hostile.deeds import (
    AtAccept,
    AtReply,
    AtRequest,
    Be,
    Behind,
    Claim,
    Deed,
    Entry,
    Fall,
    Fields,
    Interrupted,
    Intrusion,
    Nothing,
    Slowly,
    Where,
)
from conformance.client.hostile.relay import HostileServer
from conformance.judge.codec import Codec, Value
from conformance.judge.peer import Peer
from conformance.judge.steps import Answer, End, Finish, Receive, Reply, Send, Silence
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.staged import Staged
from spec.load import load

CODEC = Codec(load().dialect("7.0.0"))
PATIENCE, SHORT = 10.0, 0.05
HELLO, COUNT, CLEAR = CODEC.request("HELLO"), CODEC.request("DEVICE_COUNT"), "BUFFER_CLEAR"
ONE = bytes([1, 0, 0, 0])
NO_HANDLE = CODEC.request(CLEAR)


class Swallows(Session):
    """Takes payloads of any size in, for whatever tensor."""

    def fits(self, name: str, size: int) -> bool:
        return True

    def before_tail(self, name: str, values: Mapping[str, Value], size: int) -> None:
        """Nothing is looked at."""

    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> None:
        """Nothing is kept."""


@attrs.define(eq=False)
class Client:
    """A peer of the hostile server."""

    peer: Peer
    hostile: HostileServer

    async def ask(self, request: bytes) -> Answer:
        await self.peer.perform(Send(request))
        return await self.peer.perform(Receive())


@asynccontextmanager
async def facing(deed: Deed, timeout: float = PATIENCE, session: type[Session] = Session) -> AsyncIterator[Client]:
    """A client of a hostile server, which stands before a right one in miniature."""
    async with trio.open_nursery() as nursery:
        hostile = HostileServer(Staged(session, CODEC, nursery).dial, CODEC, deed, keeps=True)
        nursery.start_soon(hostile.serve, await hostile.listen())
        stream = await trio.open_tcp_stream("127.0.0.1", int(hostile.endpoint.rpartition(":")[2]))
        client = Client(Peer(stream, timeout), hostile)
        yield client
        await client.peer.close()
        nursery.cancel_scope.cancel()


async def test_without_a_deed_everything_passes() -> None:
    async with facing(Nothing()) as client:
        assert await client.ask(HELLO) == Reply(28, bytes([7, *bytes(27)]))
        assert await client.ask(COUNT) == Reply(4, ONE)
        assert not client.hostile.begun.is_set()
        (talk,) = client.hostile.conversations
    assert [request.command for request in talk.requests] == ["HELLO", "DEVICE_COUNT"]


async def test_a_deed_is_done_at_its_command_alone_and_each_time() -> None:
    async with facing(AtReply("DEVICE_COUNT", Fields((("count", Be(9)),)), skip=1)) as client:
        assert isinstance(await client.ask(HELLO), Reply)
        assert await client.ask(COUNT) == Reply(4, ONE)
        assert not client.hostile.begun.is_set()
        assert await client.ask(COUNT) == Reply(4, bytes([9, 0, 0, 0]))
        assert await client.ask(COUNT) == Reply(4, bytes([9, 0, 0, 0]))
        assert client.hostile.begun.is_set()


@pytest.mark.parametrize("fall", [Fall.CLOSES, Fall.RESETS, Fall.ENDS])
@pytest.mark.parametrize(("where", "rest"), [(Where.BEFORE, 0), (Where.INSIDE, 18)])
async def test_a_reply_does_not_come_to_its_end(fall: Fall, where: Where, rest: int) -> None:
    async with facing(AtReply("HELLO", Interrupted(where, fall))) as client:
        answer = await client.ask(HELLO)
    assert isinstance(answer, End)
    assert len(answer.rest) == rest or fall is Fall.RESETS  # a reset may take with it what came before


async def test_silence_goes_on_however_much_is_asked() -> None:
    async with facing(AtReply("HELLO", Interrupted(Where.INSIDE, Fall.SILENT)), SHORT) as client:
        assert isinstance(await client.ask(HELLO), Silence)
        assert isinstance(await client.ask(COUNT), Silence)
        (talk,) = client.hostile.conversations
    assert [request.command for request in talk.requests] == ["HELLO", "DEVICE_COUNT"]


async def test_what_comes_behind_the_end_of_the_stream_is_counted() -> None:
    async with facing(AtReply("HELLO", Interrupted(Where.BEFORE, Fall.ENDS))) as client:
        assert await client.ask(HELLO) == End()
        await client.peer.perform(Send(COUNT))
        await client.peer.perform(Finish())
        (talk,) = client.hostile.conversations
        with trio.fail_after(PATIENCE):
            while not talk.left:
                await trio.sleep(0)
    assert talk.after_end == len(COUNT)


async def test_zeros_come_for_as_long_as_they_are_taken() -> None:
    async with facing(AtReply("HELLO", Claim(1 << 40))) as client:
        stream = client.peer._stream
        await stream.send_all(HELLO)
        told = b""
        with trio.fail_after(PATIENCE):
            while len(told) < 1 << 20:
                told += await stream.receive_some(1 << 18)
    assert told[:8] == (1 << 40).to_bytes(8, "little")
    assert not any(told[8 + 28 :])


async def test_a_reply_byte_by_byte_is_the_same_reply() -> None:
    async with facing(AtReply("HELLO", Slowly(byte_by_byte=True))) as client:
        assert await client.ask(HELLO) == Reply(28, bytes([7, *bytes(27)]))


async def test_what_nobody_asked_for_comes_behind_the_reply() -> None:
    async with facing(AtReply("DEVICE_COUNT", Behind.STRANGER)) as client:
        await client.ask(HELLO)
        assert await client.ask(COUNT) == Reply(4, ONE)
        assert await client.peer.receive() == Reply(3, bytes(3))


async def test_a_command_without_reply_gets_one() -> None:
    async with facing(AtRequest("FREE_BUFFER", Intrusion.EMPTY_ANSWER)) as client:
        await client.ask(HELLO)
        body = await client.ask(CODEC.request("ALLOC_BUFFER", size=64))
        assert isinstance(body, Reply)
        handle = CODEC.read("alloc_buffer_rsp", "handle", body.body)
        assert await client.ask(CODEC.request("FREE_BUFFER", handle=handle)) == Reply(0, b"")


async def test_a_refused_command_ends_the_connection() -> None:
    async with facing(AtRequest(CLEAR, Intrusion.REFUSED)) as client:
        await client.ask(HELLO)
        assert await client.ask(NO_HANDLE) == End()
        assert client.hostile.begun.is_set()


async def test_a_server_that_reads_no_further_blocks_whoever_sends_on() -> None:
    async with facing(AtRequest("SET_TENSOR", Intrusion.STOPS_READING), session=Swallows) as client:
        await client.ask(HELLO)
        sent = trio.Event()

        async def send() -> None:
            await client.peer._stream.send_all(CODEC.request("SET_TENSOR", bytes(1 << 26)))
            sent.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            with trio.fail_after(PATIENCE):
                await client.hostile.begun.wait()
            with trio.move_on_after(SHORT):
                await sent.wait()
            nursery.cancel_scope.cancel()
        assert not sent.is_set()


@pytest.mark.parametrize("entry", [Entry.CLOSED, Entry.RESET])
async def test_a_connection_ends_as_soon_as_it_is_taken(entry: Entry) -> None:
    async with facing(AtAccept(entry)) as client:
        assert await client.ask(HELLO) == End()
        assert client.hostile.begun.is_set()


async def test_a_mute_server_takes_everything_in() -> None:
    async with facing(AtAccept(Entry.MUTE), SHORT) as client:
        assert isinstance(await client.ask(HELLO), Silence)
        assert client.hostile.begun.is_set()


@pytest.mark.parametrize(
    ("request_bytes", "words"),
    [
        (bytes([200, *bytes(8)]), "command byte 200"),
        (CODEC.head("SET_TENSOR", 1 << 63), "declares 9223372036854775808"),
    ],
)
async def test_what_is_no_request_ends_the_connection_and_is_told(request_bytes: bytes, words: str) -> None:
    async with facing(Nothing()) as client:
        await client.ask(HELLO)
        assert isinstance(await client.ask(request_bytes), End)
        assert words in client.hostile.conversations[0].odd


async def test_a_request_that_is_cut_off_is_kept_as_far_as_it_came() -> None:
    async with facing(Nothing()) as client:
        await client.peer.perform(Send(HELLO[:12]))
        await client.peer.perform(Finish())
        (talk,) = client.hostile.conversations
        with trio.fail_after(PATIENCE):
            while not talk.left:
                await trio.sleep(0)
        assert talk.cut_off == HELLO[:12]


async def test_payloads_worth_a_hash_are_kept() -> None:
    payload = bytes(10 << 20) + b"end"
    async with facing(Nothing(), session=Swallows) as client:
        await client.ask(HELLO)
        await client.peer.perform(Send(CODEC.request("SET_TENSOR", payload)))
        assert isinstance(await client.ask(COUNT), Reply)
        small, large, _ = client.hostile.conversations[0].requests
    assert small.payload is None
    assert bytes(large.payload or b"") == payload
