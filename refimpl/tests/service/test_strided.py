"""SET_TENSOR_2D and GET_TENSOR_2D move pieces at equal distances, whatever their sizes, and no byte between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.service.client import connect
from refimpl.tests.service.harness import record, running
from refimpl.trace import ConnectionRefused
from refimpl.wire.strided import BATCH, Pieces

SIZE = 1 << 20


def expected(memory: bytes, pieces: Pieces, offset: int, data: bytes) -> bytes:
    """Memory after pieces were written one after the other: the slow definition."""
    result = bytearray(memory)
    for number in range(pieces.count):
        begin = offset + number * pieces.stride
        result[begin : begin + pieces.size] = data[number * pieces.size : (number + 1) * pieces.size]
    return bytes(result)


def packed(memory: bytes, pieces: Pieces, offset: int) -> bytes:
    begins = [offset + number * pieces.stride for number in range(pieces.count)]
    return b"".join(memory[begin : begin + pieces.size] for begin in begins)


WAYS = {
    "one piece, any stride": (Pieces(100, 1, 1 << 63), 7),
    "side by side": (Pieces(100, 50, 100), 0),
    "rows of a matrix": (Pieces(64, 1000, 1000), 36),
    "single bytes": (Pieces(1, 5000, 3), 1),
    "more bytes than one batch": (Pieces(3000, 900, 1100), 5),
    "large pieces": (Pieces(BATCH // 4, 3, BATCH // 4 + 5), 11),
    "large pieces that overlap": (Pieces(BATCH // 2, 3, 1000), 0),
    "small pieces that overlap": (Pieces(10, 100, 3), 2),
    "all in one place": (Pieces(8, 1000, 0), 16),
    "up to the last byte": (Pieces(10, 2, SIZE - 10), 0),
}


@pytest.mark.parametrize(("pieces", "offset"), WAYS.values(), ids=WAYS)
async def test_pieces_are_written_and_read(pieces: Pieces, offset: int) -> None:
    random = np.random.default_rng(1)
    before, data = random.bytes(SIZE), random.bytes(pieces.packed_bytes)
    async with running() as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(SIZE + 64)
        tensor = record(buffer, SIZE, at=32)
        await client.set_tensor(tensor, before)
        assert bytes(await client.get_tensor_2d(tensor, pieces, offset)) == packed(before, pieces, offset)
        await client.set_tensor_2d(tensor, data, pieces, offset)
        after = expected(before, pieces, offset, data)
        assert bytes(await client.get_tensor(tensor, 0, SIZE)) == after
        assert bytes(await client.get_tensor_2d(tensor, pieces, offset)) == packed(after, pieces, offset)


@given(
    size=st.integers(1, 40),
    count=st.integers(1, 40),
    stride=st.integers(0, 60),
    seed=st.integers(0, 9),
    batch=st.integers(1, 9),
)
@settings(max_examples=200, deadline=None)
def test_batches_make_what_single_pieces_make(size: int, count: int, stride: int, seed: int, batch: int) -> None:
    pieces = Pieces(size, count, stride)
    random = np.random.default_rng(seed)
    before, data = random.bytes((count - 1) * stride + size), random.bytes(pieces.packed_bytes)
    memory = memoryview(bytearray(before))
    gathered = b""
    for first in range(0, count, batch):
        many = min(batch, count - first)
        gathered += bytes(pieces.gather(memory, first, many))
    assert gathered == packed(before, pieces, 0)
    for first in range(0, count, batch):
        many = min(batch, count - first)
        pieces.scatter(memory, first, memoryview(data)[first * size : (first + many) * size])
    assert bytes(memory) == expected(before, pieces, 0, data)


def test_pieces_outside_their_memory_are_never_touched() -> None:
    with pytest.raises(ValueError, match="in 19 bytes"):
        Pieces(10, 2, 10).gather(memoryview(bytearray(19)), 0, 2)


@pytest.mark.parametrize(
    ("pieces", "offset", "clause"),
    [
        (Pieces(0, 3, 8), 0, "STRIDED-3"),
        (Pieces(8, 0, 8), 0, "STRIDED-3"),
        (Pieces(8, 2, 1 << 63), 0, "STRIDED-2"),
        (Pieces(8, 3, (1 << 64) - 8), 0, "STRIDED-3"),
        (Pieces(8, 3, 47), 0, "STRIDED-2"),
        (Pieces(8, 3, 46), 1, "STRIDED-2"),
        (Pieces(101, 1, 0), 0, "STRIDED-2"),
        (Pieces(1, 1, 0), (1 << 64) - 1, "STRIDED-2"),
    ],
)
async def test_pieces_that_are_none_or_leave_the_tensor_are_refused(pieces: Pieces, offset: int, clause: str) -> None:
    async with running() as node, connect(node.endpoint) as client:
        tensor = record(await client.devices[0].allocate(200), 100)
        await client.set_tensor_2d(tensor, bytes(pieces.packed_bytes), pieces, offset)
        assert (await node.trace.seen(ConnectionRefused)).clause == clause
