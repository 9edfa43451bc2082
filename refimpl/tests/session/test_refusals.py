"""What a connection refuses, and that it does so before the body is there."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.errors import FrameError, PhaseError, ProtocolError
from refimpl.session.connection import NEED_DATA, Connection, Role
from refimpl.session.phases import Phase
from refimpl.tests.session.ends import LIMITS, pair, record, refused
from refimpl.tests.session.replay import Item, Reader
from refimpl.wire.layout import REPLY_HEAD, REQUEST_HEAD
from refimpl.wire.messages import (
    AllocBuffer,
    DeviceCount,
    DeviceCountReply,
    FreeBuffer,
    GetTensor,
    Hello,
    HelloReply,
    SetTensor2D,
)
from spec.load import load
from spec.names import Command

VERSIONS = ("7.0.0", "8.0.0")


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


def heads() -> st.SearchStrategy[bytes]:
    """Heads of requests with sizes at and around what the command may have."""

    def around(command: int, delta: int) -> bytes:
        low, _ = pair("8.0.0")[1].codec.request_bounds(command)
        return REQUEST_HEAD.pack(command, max(low + delta, 0))

    return st.builds(around, st.sampled_from(sorted(load().dialect("8.0.0").commands)), st.integers(-1, 40))


@pytest.mark.parametrize("version", VERSIONS)
@given(stream=st.lists(st.one_of(heads(), st.binary(max_size=400)), max_size=12), greeted=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_messages_or_a_violation(version: str, stream: list[bytes], greeted: bool) -> None:
    server = pair(version)[1] if greeted else Connection(Role.SERVER, load().dialect(version), LIMITS)
    reader = Reader(server, direct=False)
    try:
        for item in reader.read(b"".join(stream), [1 << 20]):
            assert isinstance(item, Item)
    except ProtocolError:
        assert server.phase is Phase.CLOSED


@given(stream=st.lists(st.one_of(st.integers(0, 40).map(REPLY_HEAD.pack), st.binary(max_size=40)), max_size=12))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_replies_or_a_violation(stream: list[bytes]) -> None:
    client, _ = pair()
    for request in (DeviceCount(), GetTensor(record(), 0, 20), AllocBuffer(0, 1)):
        client.send(request)
    try:
        for item in Reader(client, direct=False).read(b"".join(stream), [1 << 20]):
            assert isinstance(item, Item)
    except FrameError:
        assert client.phase is Phase.CLOSED
