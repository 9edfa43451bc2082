"""Every message survives its bytes, and bytes that contradict themselves do not become messages."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import FrameError
from refimpl.limits import Limits
from refimpl.tests import strategies
from refimpl.wire.codec import Codec
from refimpl.wire.layout import REPLY_HEAD, REQUEST_HEAD
from refimpl.wire.messages import (
    REQUESTS,
    AllocBuffer,
    AllocBufferReply,
    CommFree,
    CommInit,
    FreeBuffer,
    GetTensor,
    GraphCompute,
    GraphRecompute,
    Hello,
    HelloReply,
    Request,
    SetTensor,
    SetTensor2D,
    TensorData,
)
from refimpl.wire.tensor import RPC_TENSOR
from spec.load import load
from spec.names import Command

LIMITS = Limits(graph_nodes=100, graph_tensors=50)
CODECS = {version: Codec(load().dialect(version), LIMITS) for version in ("7.0.0", "8.0.0")}
COMMANDS = [(version, command) for version, codec in CODECS.items() for command in sorted(codec.dialect.commands)]
ANSWERED = [(version, command) for version, command in COMMANDS if CODECS[version].dialect.commands[command].answered]


def named(pairs: list[tuple[str, int]]) -> list[str]:
    return [f"{version}-{Command(command).name}" for version, command in pairs]


def zero_record() -> Any:
    return np.zeros(1, RPC_TENSOR)[0]


def graph_body(n_nodes: int, n_tensors: int, trailing: bytes = b"") -> bytes:
    """A 7.0.0 GRAPH_COMPUTE body for device 3 with that many nodes and records."""
    nodes = struct.pack(f"<II{n_nodes}Q", 3, n_nodes, *range(1, n_nodes + 1))
    return nodes + struct.pack("<I", n_tensors) + bytes(296 * n_tensors) + trailing


@pytest.mark.parametrize(("version", "command"), COMMANDS, ids=named(COMMANDS))
@given(data=st.data())
def test_a_request_survives_its_bytes(version: str, command: int, data: st.DataObject) -> None:
    codec = CODECS[version]
    request = data.draw(strategies.request(REQUESTS[Command(command)], codec.dialect))
    frame = codec.encode_request(request)
    number, size = REQUEST_HEAD.unpack_from(frame)
    body = frame[REQUEST_HEAD.size :]
    assert number == command
    assert size == len(body) + request.payload_bytes
    codec.check_size(number, size)
    assert codec.fixed_bytes(number, size) == len(body)
    decoded = codec.decode_request(number, body, size - len(body))
    assert decoded == request
    assert codec.encode_request(decoded) == frame


@pytest.mark.parametrize(("version", "command"), ANSWERED, ids=named(ANSWERED))
@given(data=st.data())
def test_a_reply_survives_its_bytes(version: str, command: int, data: st.DataObject) -> None:
    codec = CODECS[version]
    request = data.draw(strategies.request(REQUESTS[Command(command)], codec.dialect))
    reply = data.draw(strategies.reply_to(request))
    frame = codec.encode_reply(reply)
    (size,) = REPLY_HEAD.unpack_from(frame)
    assert size == codec.reply_size(request)
    assert codec.answers(request, reply)
    decoded = codec.decode_reply(request, frame[REPLY_HEAD.size :])
    assert decoded == reply
    assert codec.encode_reply(decoded) == frame


@pytest.mark.parametrize(("version", "command"), COMMANDS, ids=named(COMMANDS))
def test_sizes_beside_the_bounds_are_refused_with_command_size_and_range(version: str, command: int) -> None:
    codec = CODECS[version]
    low, high = codec.request_bounds(command)
    codec.check_size(command, low)
    codec.check_size(command, high)
    for size in {low - 1, high + 1, 1 << 62, (1 << 64) - 1} - {-1}:
        with pytest.raises(FrameError) as caught:
            codec.check_size(command, size)
        assert caught.value.clause.startswith("FRAME-")
        for part in (Command(command).name, str(size), str(low), str(high)):
            assert part in caught.value.detail


def test_bounds_of_requests_are_those_of_the_wire() -> None:
    bounds = CODECS["7.0.0"].request_bounds
    assert bounds(Command.HELLO) == (24, 24)
    assert bounds(Command.DEVICE_COUNT) == (0, 0)
    assert bounds(Command.COPY_TENSOR) == (592, 592)
    assert bounds(Command.GET_ALLOC_SIZE) == (3260, 3260)
    assert bounds(Command.SET_TENSOR) == (305, 305 + LIMITS.tensor_bytes)
    assert bounds(Command.GRAPH_COMPUTE) == (12, 12 + 100 * 8 + 50 * 296)
    assert CODECS["8.0.0"].request_bounds(Command.GRAPH_COMPUTE)[0] == 20
    assert CODECS["8.0.0"].request_bounds(Command.GRAPH_RECOMPUTE) == (12, 12)
    assert CODECS["8.0.0"].request_bounds(Command.SET_TENSOR_2D)[0] == 328


def test_a_graph_is_bounded_by_bytes_as_well_as_by_counts() -> None:
    codec = Codec(load().dialect("7.0.0"), Limits(graph_bytes=5000))
    assert codec.request_bounds(Command.GRAPH_COMPUTE) == (12, 5000)


@pytest.mark.parametrize(("version", "command"), [("7.0.0", 18), ("7.0.0", 22), ("8.0.0", 23), ("8.0.0", 255)])
def test_a_command_byte_of_another_dialect_is_unknown(version: str, command: int) -> None:
    for refuse in (CODECS[version].request_bounds, CODECS[version].check_known):
        with pytest.raises(FrameError, match=f"command byte {command} is unknown in protocol {version}"):
            refuse(command)


def test_a_graph_keeps_the_body_it_came_in() -> None:
    body = graph_body(3, 2)
    graph = CODECS["7.0.0"].decode_request(Command.GRAPH_COMPUTE, body)
    assert isinstance(graph, GraphCompute)
    assert (graph.device, graph.uid, graph.nodes.tolist(), len(graph.tensors)) == (3, 0, [1, 2, 3], 2)
    assert graph.body is body
    assert not graph.tensors.flags.writeable
    assert not graph.nodes.flags.writeable


def test_bytes_behind_the_last_record_of_a_graph_are_dropped() -> None:
    codec = CODECS["7.0.0"]
    graph = codec.decode_request(Command.GRAPH_COMPUTE, graph_body(2, 1, trailing=b"trailing"))
    assert codec.encode_request(graph)[REQUEST_HEAD.size :] == graph_body(2, 1)


@pytest.mark.parametrize(
    "body",
    [
        graph_body(3, 0)[:-1],
        graph_body(2, 2)[:-1],
        struct.pack("<III", 0, 1, 0),
        struct.pack("<III", 0, 0xFFFFFFFF, 0),
        struct.pack("<III", 0, 0, 0xFFFFFFFF),
        struct.pack("<III", 0, 0, 1),
        graph_body(101, 0),
        graph_body(0, 51),
    ],
    ids=["nodes cut", "records cut", "no node", "2^32 nodes", "2^32 records", "no record", "nodes", "records"],
)
def test_counts_that_do_not_fit_the_body_or_the_limits_are_refused(body: bytes) -> None:
    with pytest.raises(FrameError, match="GRAPH-2"):
        CODECS["7.0.0"].decode_request(Command.GRAPH_COMPUTE, body)


def test_a_field_that_a_dialect_lacks_is_zero() -> None:
    """6.0.0 knows no cache flag; the data reaches back further than the dialects that are served."""
    codec = Codec(load().at("6.0.0"), LIMITS)
    frame = codec.encode_request(SetTensor(zero_record(), cache_flag=0, offset=5, size=7))
    body = frame[REQUEST_HEAD.size :]
    assert len(body) == 304
    assert codec.decode_request(Command.SET_TENSOR, body, 7) == SetTensor(zero_record(), 0, 5, 7)
    with pytest.raises(ValueError, match="cannot carry cache_flag"):
        codec.encode_request(SetTensor(zero_record(), cache_flag=1, offset=5, size=7))


def test_a_dialect_with_empty_replies_has_no_codec() -> None:
    with pytest.raises(ValueError, match="empty frame"):
        Codec(load().at("5.0.0"), LIMITS)


def test_an_empty_graph_is_a_message() -> None:
    graph = CODECS["7.0.0"].decode_request(Command.GRAPH_COMPUTE, graph_body(0, 0))
    assert isinstance(graph, GraphCompute)
    assert (len(graph.nodes), len(graph.tensors)) == (0, 0)


def test_a_body_shorter_than_its_struct_is_refused() -> None:
    with pytest.raises(FrameError, match="FREE_BUFFER has 7 of 8 bytes"):
        CODECS["7.0.0"].decode_request(Command.FREE_BUFFER, bytes(7))


@pytest.mark.parametrize(("size", "n_copies"), [(8, 3), (1 << 63, 2), (0, 0)])
def test_a_strided_payload_of_another_length_than_its_pieces_is_refused(size: int, n_copies: int) -> None:
    codec = CODECS["8.0.0"]
    frame = codec.encode_request(SetTensor2D(zero_record(), 0, 8, 4, 16))
    fixed = bytearray(frame[REQUEST_HEAD.size :])
    struct.pack_into("<QQ", fixed, 304, size, n_copies)
    with pytest.raises(FrameError, match=f"not {size * n_copies}"):
        codec.decode_request(Command.SET_TENSOR_2D, bytes(fixed), 32)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("7.0.0", GraphRecompute(0, uid=1)),
        ("7.0.0", CommFree(0)),
        ("7.0.0", AllocBuffer(0, 1 << 64)),
        ("7.0.0", FreeBuffer(-1)),
        ("7.0.0", Hello(bytes(23))),
        ("7.0.0", Hello(bytes(25))),
        ("8.0.0", CommInit(0, 0, 2, 50052, b"h" * 65)),
        ("7.0.0", SetTensor(np.zeros(1, "<u4")[0], 0, 0, 0)),
        ("7.0.0", GraphCompute(0, 0, np.zeros(0, np.uint64), np.zeros(1, "<u4"))),
    ],
    ids=repr,
)
def test_a_request_that_the_dialect_cannot_carry_is_the_callers_fault(version: str, message: Request) -> None:
    with pytest.raises(ValueError, match=r"cannot carry|has no|fit|belong|not RPC_TENSOR"):
        CODECS[version].encode_request(message)


def test_a_reply_that_no_field_can_hold_is_the_callers_fault() -> None:
    with pytest.raises(ValueError, match="fit"):
        CODECS["7.0.0"].encode_reply(HelloReply(256, 0, 0))


def test_a_reply_answers_its_own_request_only() -> None:
    codec = CODECS["7.0.0"]
    asked = GetTensor(zero_record(), 0, 10)
    assert codec.answers(asked, TensorData(10))
    assert not codec.answers(asked, TensorData(9))
    assert not codec.answers(asked, AllocBufferReply(1, 10))
    assert not codec.answers(FreeBuffer(1), AllocBufferReply(1, 10))


def test_padding_of_the_hello_reply_is_not_looked_at() -> None:
    codec = CODECS["7.0.0"]
    body = b"\x07\x00\x00\xff" + bytes(24)
    reply = codec.decode_reply(Hello(), body)
    assert reply == HelloReply(7, 0, 0)
    assert codec.encode_reply(reply) == REPLY_HEAD.pack(28) + b"\x07\x00\x00\x00" + bytes(24)
