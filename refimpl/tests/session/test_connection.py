"""One class for both ends: what it hands out, how it ends, and whom it trusts."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.session.connection import NEED_DATA, Connection, ConnectionClosed, Role
from refimpl.session.phases import Phase
from refimpl.tests import strategies
from refimpl.tests.session.ends import LIMITS, pair, record, set_tensor
from refimpl.tests.session.replay import Item, Reader
from refimpl.wire.messages import (
    AllocBuffer,
    AllocBufferReply,
    BufferClear,
    DeviceCount,
    DeviceCountReply,
    FreeBuffer,
    GetTensor,
    GraphCompute,
    Hello,
    TensorData,
)
from refimpl.wire.tensor import RPC_TENSOR
from spec.load import load

VERSIONS = ("7.0.0", "8.0.0")


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


def test_memory_stays_small_when_the_buffer_never_runs_empty() -> None:
    client, server = pair()
    frame = client.send(BufferClear(7, 0))
    stream = frame * 60_000
    step = len(frame) * 10
    tracemalloc.start()
    try:
        server.receive(frame[:1])
        for start in range(1, len(stream) - step, step):
            server.receive(stream[start : start + step])
            while server.next_event() is not NEED_DATA:
                pass
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < len(stream) // 4


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
