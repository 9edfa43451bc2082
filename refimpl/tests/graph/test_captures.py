"""Every graph that stock llama.cpp was recorded sending passes all checks, against the buffers it had then."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import spec
from refimpl.graph.build import build
from refimpl.graph.checked import CheckedGraph
from refimpl.limits import Limits
from refimpl.tests.graph.samples import buffer_table
from refimpl.wire.codec import Codec
from refimpl.wire.messages import GraphCompute
from spec.load import load
from spec.names import Command, Op

VECTORS = Path(spec.__path__[0]) / "vectors"
FLAVOURS = [(version, flavour) for version in ("7.0.0", "8.0.0") for flavour in ("flash", "no-flash")]


def requests(data: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start < len(data):
        command, size = struct.unpack_from("<BQ", data, start)
        yield command, data[start + 9 : start + 9 + size]
        start += 9 + size


def replies(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        (size,) = struct.unpack_from("<Q", data, start)
        yield data[start + 8 : start + 8 + size]
        start += 8 + size


def graphs(version: str, flavour: str) -> Iterator[CheckedGraph]:
    """The graphs of a recorded connection, checked, in the order they were sent."""
    dialect, folder = load().dialect(version), VECTORS / version / flavour
    codec = Codec(dialect, Limits())
    answers = replies((folder / "main.s2c").read_bytes())
    bases: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for command, body in requests((folder / "main.c2s").read_bytes()):
        answer = next(answers) if dialect.commands[command].answered else b""
        if command == Command.ALLOC_BUFFER:
            handle, size = struct.unpack("<QQ", answer)
            sizes[handle] = size
        elif command == Command.BUFFER_GET_BASE:
            (bases[int.from_bytes(body, "little")],) = struct.unpack("<Q", answer)
        elif command == Command.FREE_BUFFER:
            sizes.pop(int.from_bytes(body, "little"))
        elif command == Command.GRAPH_COMPUTE:
            message = codec.decode_request(command, body)
            assert isinstance(message, GraphCompute)
            table = buffer_table({handle: (bases[handle], size) for handle, size in sizes.items()})
            yield build(message.nodes, message.tensors, table, Limits(), dialect)


@pytest.mark.parametrize(("version", "flavour"), FLAVOURS)
def test_stock_graphs_pass(version: str, flavour: str) -> None:
    checked = list(graphs(version, flavour))
    assert len(checked) == (3 if version == "7.0.0" else 2)
    for graph in checked:
        ops = [Op(op) for op in graph.tensors.op[graph.nodes].tolist()]
        assert ops.count(Op.FLASH_ATTN_EXT) == (2 if flavour == "flash" else 0)
        assert len(graph.handles) == 3


@pytest.mark.parametrize(("version", "flavour"), FLAVOURS)
def test_the_pair_that_stock_sends_without_the_compute_flag_does_not_run(version: str, flavour: str) -> None:
    for graph in graphs(version, flavour):
        ops = graph.tensors.op[graph.nodes]
        assert (graph.tensors.op == Op.DUP).sum() == 1
        assert (ops == Op.DUP).sum() == 0
        assert (graph.tensors.op == Op.SET_ROWS).sum() == (ops == Op.SET_ROWS).sum() + 1
