"""Bulk bytes: announced by the connection, stored by the caller."""

import pytest

from refimpl.session.connection import NEED_DATA, PayloadExpected
from refimpl.tests.session.ends import pair, record, set_tensor
from refimpl.wire.messages import DeviceCount, DeviceCountReply, FreeBuffer, GetTensor, GraphRecompute, TensorData


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
