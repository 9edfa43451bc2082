"""One class for both ends: what it hands out, what it refuses and when, and whom it trusts."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.errors import FrameError, PhaseError
from refimpl.limits import Limits
from refimpl.session.connection import NEED_DATA, Connection, ConnectionClosed, PayloadExpected, Role
from refimpl.session.phases import Phase
from refimpl.tests import strategies
from refimpl.tests.session.replay import Item, Reader
from refimpl.wire.layout import REPLY_HEAD, REQUEST_HEAD
from refimpl.wire.messages import (
    AllocBuffer,
    AllocBufferReply,
    BufferClear,
    DeviceCount,
    DeviceCountReply,
    FreeBuffer,
    GetTensor,
    GraphCompute,
    GraphRecompute,
    Hello,
    HelloReply,
    SetTensor,
    SetTensor2D,
    TensorData,
)
from refimpl.wire.tensor import RPC_TENSOR
from spec.load import load
from spec.names import Command

VERSIONS = ("7.0.0", "8.0.0")
LIMITS = Limits(tensor_bytes=1 << 20)


def record() -> Any:
    return np.zeros(1, RPC_TENSOR)[0]


def set_tensor(size: int) -> SetTensor:
    return SetTensor(record(), cache_flag=0, offset=0, size=size)


def pair(version: str = "7.0.0") -> tuple[Connection, Connection]:
    """A client and a server that have greeted each other."""
    dialect = load().dialect(version)
    client, server = Connection(Role.CLIENT, dialect, LIMITS), Connection(Role.SERVER, dialect, LIMITS)
    server.receive(client.send(Hello()))
    assert server.next_event() == Hello()
    client.receive(server.send(HelloReply(*dialect.hello)))
    assert client.next_event() == HelloReply(*dialect.hello)
    assert client.phase is server.phase is Phase.OPEN
    return client, server


def refused(connection: Connection, kind: type[Exception]) -> Any:
    """The error that the next event is; it stays, and closes the connection."""
    with pytest.raises(kind) as caught:
        connection.next_event()
    assert connection.phase is Phase.CLOSED
    with pytest.raises(kind) as again:
        connection.next_event()
    assert again.value is caught.value
    return caught.value


# conversations


@pytest.mark.parametrize("version", VERSIONS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_conversation_arrives_as_it_was_sent_in_any_pieces(version: str, data: st.DataObject) -> None:
    dialect = load().dialect(version)
    client, server = pair(version)
    requests = data.draw(st.lists(strategies.requests(dialect), max_size=8))
    sizes = data.draw(st.lists(st.integers(1, 700), min_size=1, max_size=20))
    direct = data.draw(st.booleans())
    c2s = bytearray()
    sent: list[Item] = []
    for request in requests:
        payload = bytes(index % 251 for index in range(request.payload_bytes))
        c2s += client.send(request) + payload
        sent += [request, payload] if payload else [request]
    assert list(Reader(server, direct).read(bytes(c2s), sizes * len(c2s))) == [*sent, ConnectionClosed(False)]

    s2c = bytearray()
    answers: list[Item] = []
    for request in requests:
        if not dialect.commands[request.command].answered:
            continue
        reply = data.draw(strategies.reply_to(request))
        payload = b"\xa5" * (request.reply_bytes or 0)
        s2c += server.send(reply) + payload
        answers += [reply, payload] if payload else [reply]
    assert server.unanswered == 0
    assert list(Reader(client, direct).read(bytes(s2c), sizes * len(s2c))) == [*answers, ConnectionClosed(False)]


def test_a_long_burst_of_small_messages_leaves_nothing_behind() -> None:
    client, server = pair()
    burst = client.send(BufferClear(7, 0)) * 30_000
    for start in range(0, len(burst), 65_536):
        server.receive(burst[start : start + 65_536])
        while server.next_event() is not NEED_DATA:
            pass
    assert server.buffered == 0
    assert server.unanswered == 0


# refusals on the head alone


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("number", [23, 100, 255])
def test_an_unknown_command_byte_is_refused_before_its_body(version: str, number: int) -> None:
    _, server = pair(version)
    server.receive(REQUEST_HEAD.pack(number, 0))
    assert refused(server, FrameError).clause.startswith("FRAME-")


@pytest.mark.parametrize(
    ("command", "size"),
    [
        (Command.FREE_BUFFER, 7),
        (Command.FREE_BUFFER, 9),
        (Command.FREE_BUFFER, (1 << 64) - 1),
        (Command.DEVICE_COUNT, 1),
        (Command.SET_TENSOR, 304),
        (Command.SET_TENSOR, 305 + (1 << 20) + 1),
        (Command.SET_TENSOR, 1 << 63),
        (Command.GRAPH_COMPUTE, 11),
        (Command.GRAPH_COMPUTE, 96 * (1 << 20) + 1),
    ],
)
def test_a_size_that_the_command_cannot_have_is_refused_before_its_body(command: Command, size: int) -> None:
    _, server = pair()
    server.receive(REQUEST_HEAD.pack(command, size))
    error = refused(server, FrameError)
    assert error.clause.startswith("FRAME-")
    assert command.name in error.detail
    assert str(size) in error.detail


def test_eight_bytes_of_a_head_decide_nothing() -> None:
    _, server = pair()
    head = REQUEST_HEAD.pack(255, 1 << 63)
    server.receive(head[:8])
    assert server.next_event() is NEED_DATA
    assert server.missing == 1
    server.receive(head[8:])
    refused(server, FrameError)


def test_anything_but_hello_is_refused_first() -> None:
    server = Connection(Role.SERVER, load().dialect("7.0.0"), LIMITS)
    server.receive(REQUEST_HEAD.pack(Command.SET_TENSOR, 400))
    assert refused(server, PhaseError).clause == "PHASE-1"


def test_a_second_hello_is_refused_before_and_after_the_first_is_answered() -> None:
    for answer in (False, True):
        dialect = load().dialect("7.0.0")
        client, server = Connection(Role.CLIENT, dialect, LIMITS), Connection(Role.SERVER, dialect, LIMITS)
        server.receive(client.send(Hello()) * 2)
        assert server.next_event() == Hello()
        if answer:
            server.send(HelloReply(7, 0, 0))
        assert refused(server, PhaseError).clause == "PHASE-2"


def test_a_client_need_not_wait_for_the_answer_to_hello() -> None:
    dialect = load().dialect("7.0.0")
    client, server = Connection(Role.CLIENT, dialect, LIMITS), Connection(Role.SERVER, dialect, LIMITS)
    server.receive(client.send(Hello()) + client.send(DeviceCount()))
    assert [server.next_event(), server.next_event()] == [Hello(), DeviceCount()]
    client.receive(server.send(HelloReply(7, 0, 0)) + server.send(DeviceCountReply(1)))
    assert [client.next_event(), client.next_event()] == [HelloReply(7, 0, 0), DeviceCountReply(1)]


def test_a_graph_that_contradicts_its_counts_is_refused() -> None:
    _, server = pair()
    server.receive(REQUEST_HEAD.pack(Command.GRAPH_COMPUTE, 12) + struct.pack("<III", 0, 1, 0))
    assert refused(server, FrameError).clause == "GRAPH-2"


def test_a_strided_payload_must_be_as_long_as_its_pieces() -> None:
    client, server = pair("8.0.0")
    frame = client.send(SetTensor2D(record(), 0, 8, 4, 16))
    size = len(frame) - REQUEST_HEAD.size + 8 * 4
    server.receive(REQUEST_HEAD.pack(Command.SET_TENSOR_2D, size + 1) + frame[REQUEST_HEAD.size :])
    assert "33 bytes, not 32" in refused(server, FrameError).detail


@pytest.mark.parametrize("size", [0, 7, 9, 1 << 63])
def test_a_reply_of_the_wrong_size_is_refused_on_its_head(size: int) -> None:
    client, _ = pair()
    client.send(AllocBuffer(0, 10))
    client.receive(REPLY_HEAD.pack(size))
    error = refused(client, FrameError)
    assert "ALLOC_BUFFER" in error.detail
    assert "instead of 16" in error.detail


@pytest.mark.parametrize("size", [0, 99, 101])
def test_a_bulk_reply_of_the_wrong_size_is_refused_on_its_head(size: int) -> None:
    client, _ = pair()
    client.send(GetTensor(record(), 0, 100))
    client.receive(REPLY_HEAD.pack(size))
    assert "instead of 100" in refused(client, FrameError).detail


def test_a_reply_to_a_request_that_has_none_is_refused() -> None:
    client, _ = pair()
    client.send(FreeBuffer(1))
    assert client.unanswered == 0
    client.receive(REPLY_HEAD.pack(0))
    assert "no request awaits" in refused(client, FrameError).detail


# payloads


def test_a_payload_is_taken_in_parts_and_then_reported() -> None:
    client, server = pair()
    server.receive(client.send(set_tensor(10)) + b"abcd")
    event = server.next_event()
    assert isinstance(event, PayloadExpected)
    assert (event.message, event.size) == (set_tensor(10), 10)
    place = bytearray(10)
    assert server.take_payload(memoryview(place)[:3]) == 3
    assert server.missing == server.payload_left == 7
    assert server.take_payload(memoryview(place)[3:]) == 1
    assert server.take_payload(memoryview(place)[4:]) == 0
    place[4:] = b"efghij"
    server.payload_received(6)
    assert bytes(place) == b"abcdefghij"
    assert server.next_event() is NEED_DATA
    server.receive(client.send(GraphRecompute(0)))
    assert server.next_event() == GraphRecompute(0)


def test_a_payload_ends_where_the_next_message_begins() -> None:
    client, server = pair()
    server.receive(client.send(set_tensor(4)) + b"abcd" + client.send(FreeBuffer(1)))
    server.next_event()
    place = bytearray(100)
    assert server.take_payload(memoryview(place)) == 4
    assert server.next_event() == FreeBuffer(1)


def test_an_empty_payload_is_announced_and_already_over() -> None:
    client, server = pair()
    server.receive(client.send(set_tensor(0)) + client.send(FreeBuffer(1)))
    assert server.next_event() == PayloadExpected(set_tensor(0), 0)
    assert server.take_payload(memoryview(bytearray(1))) == 0
    assert server.next_event() == FreeBuffer(1)


def test_a_reply_of_bulk_goes_into_the_callers_memory() -> None:
    client, server = pair()
    server.receive(client.send(GetTensor(record(), 0, 6)) + client.send(DeviceCount()))
    server.next_event()
    server.next_event()
    client.receive(server.send(TensorData(6)) + b"logits" + server.send(DeviceCountReply(2)))
    assert client.next_event() == PayloadExpected(TensorData(6), 6)
    place = bytearray(6)
    assert client.take_payload(memoryview(place)) == 6
    assert bytes(place) == b"logits"
    assert client.next_event() == DeviceCountReply(2)


def test_events_wait_for_the_payload() -> None:
    client, server = pair()
    server.receive(client.send(set_tensor(10)) + b"abcd")
    server.next_event()
    with pytest.raises(RuntimeError, match="10 bytes of payload"):
        server.next_event()


@pytest.mark.parametrize("count", [-1, 11])
def test_reporting_more_than_is_awaited_is_the_callers_mistake(count: int) -> None:
    client, server = pair()
    server.receive(client.send(set_tensor(10)))
    server.next_event()
    with pytest.raises(ValueError, match="10 awaited"):
        server.payload_received(count)


def test_reporting_bytes_while_some_are_buffered_is_the_callers_mistake() -> None:
    client, server = pair()
    server.receive(client.send(set_tensor(10)) + b"abcd")
    server.next_event()
    with pytest.raises(ValueError, match="4 still buffered"):
        server.payload_received(1)


def test_what_is_missing_counts_down_to_the_next_event() -> None:
    client, server = pair()
    frame = client.send(FreeBuffer(1))
    seen = [server.missing]
    for index in range(len(frame) - 1):
        server.receive(frame[index : index + 1])
        assert server.next_event() is NEED_DATA
        seen.append(server.missing)
    assert seen == [*range(9, 0, -1), *range(8, 0, -1)]


# the end


def test_a_message_has_begun_from_its_first_byte_to_the_last_of_its_payload() -> None:
    client, server = pair()
    frame = client.send(set_tensor(4))
    seen = [server.inside_message]
    for piece in (frame[:1], frame[1:-1], frame[-1:]):
        server.receive(piece)
        server.next_event()
        seen.append(server.inside_message)
    for count in (1, 3):
        server.payload_received(count)
        seen.append(server.inside_message)
    assert seen == [False, True, True, True, True, False]


def test_the_end_between_messages_is_clean_and_stays() -> None:
    _, server = pair()
    server.receive(b"")
    server.receive(b"")
    assert server.next_event() == server.next_event() == ConnectionClosed(inside_message=False)
    assert server.phase is Phase.CLOSED
    with pytest.raises(RuntimeError, match="after the end"):
        server.receive(b"x")


@pytest.mark.parametrize("length", [1, 9, 10, 300])
def test_the_end_inside_a_message_is_told(length: int) -> None:
    client, server = pair()
    server.receive(client.send(set_tensor(10))[:length])
    assert server.next_event() is NEED_DATA
    server.receive(b"")
    assert server.next_event() == ConnectionClosed(inside_message=True)


def test_the_end_inside_a_payload_is_told() -> None:
    client, server = pair()
    server.receive(client.send(set_tensor(10)) + b"abcd")
    server.next_event()
    server.receive(b"")
    place = memoryview(bytearray(10))
    assert server.take_payload(place) == 4
    assert server.next_event() == ConnectionClosed(inside_message=True)


def test_messages_before_the_end_are_still_handed_out() -> None:
    client, server = pair()
    server.receive(client.send(FreeBuffer(1)))
    server.receive(b"")
    assert server.next_event() == FreeBuffer(1)
    assert server.next_event() == ConnectionClosed(inside_message=False)


# the caller's mistakes


def test_a_client_cannot_send_what_is_not_legal() -> None:
    client = Connection(Role.CLIENT, load().dialect("7.0.0"), LIMITS)
    with pytest.raises(RuntimeError, match="PHASE-1"):
        client.send(DeviceCount())
    client.send(Hello())
    with pytest.raises(RuntimeError, match="PHASE-2"):
        client.send(Hello())
    client.receive(b"")
    client.next_event()
    with pytest.raises(RuntimeError, match="PHASE-3"):
        client.send(DeviceCount())


def test_requests_are_answered_after_the_client_has_stopped_sending() -> None:
    client, server = pair()
    server.receive(client.send(DeviceCount()))
    server.receive(b"")
    assert server.next_event() == DeviceCount()
    assert server.next_event() == ConnectionClosed(inside_message=False)
    client.receive(server.send(DeviceCountReply(1)))
    assert client.next_event() == DeviceCountReply(1)


def test_a_server_answers_in_order_and_in_kind() -> None:
    client, server = pair()
    server.receive(client.send(DeviceCount()) + client.send(AllocBuffer(0, 1)) + client.send(GetTensor(record(), 0, 5)))
    for _ in range(3):
        server.next_event()
    with pytest.raises(RuntimeError, match="does not answer"):
        server.send(AllocBufferReply(1, 1))
    server.send(DeviceCountReply(1))
    server.send(AllocBufferReply(1, 1))
    with pytest.raises(RuntimeError, match="does not answer"):
        server.send(TensorData(6))
    server.send(TensorData(5))
    with pytest.raises(RuntimeError, match="no request awaits"):
        server.send(TensorData(5))


def test_each_role_sends_its_own_messages_only() -> None:
    client, server = pair()
    with pytest.raises(RuntimeError, match="only a client"):
        server.send(DeviceCount())
    with pytest.raises(RuntimeError, match="only a server"):
        client.send(DeviceCountReply(1))


def test_a_request_that_cannot_be_encoded_awaits_no_reply() -> None:
    client, _ = pair()
    with pytest.raises(ValueError, match="fit"):
        client.send(AllocBuffer(-1, 0))
    assert client.unanswered == 0


def test_an_id_of_a_graph_outlives_the_buffer_it_came_in() -> None:
    client, server = pair()
    graph = GraphCompute(0, 0, np.array([5, 6], np.uint64), np.zeros(2, RPC_TENSOR))
    server.receive(client.send(graph))
    received = server.next_event()
    for _ in range(100):
        server.receive(client.send(BufferClear(1, 255)))
        server.next_event()
    assert received == graph
