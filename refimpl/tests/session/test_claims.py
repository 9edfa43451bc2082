"""What a client takes for possible of what a node claims, and how it says that something is not."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from refimpl.errors import ProtocolError
from refimpl.session.claims import MAX_DEVICES, Claims
from spec.names import Command

TOP = 1 << 64


def claims() -> Claims:
    """Two buffers of 100 bytes are live: handle 1 at 4096, handle 2 at 8192."""
    made = Claims("node:1")
    for handle, base in ((1, 4096), (2, 8192)):
        made.granted(100, handle, 100)
        made.based(handle, base, 100, 32)
    return made


@contextmanager
def refused(clause: str, command: str) -> Iterator[None]:
    with pytest.raises(ProtocolError, match=f"^{clause}: node:1: {command} is answered with"):
        yield


def test_so_many_devices_and_no_more() -> None:
    assert claims().devices(0) == 0
    assert claims().devices(MAX_DEVICES) == MAX_DEVICES
    with refused("CLIENT-6", "DEVICE_COUNT"):
        claims().devices(MAX_DEVICES + 1)


@pytest.mark.parametrize("alignment", [1, 32, 1 << 63])
def test_alignments(alignment: int) -> None:
    assert claims().alignment(0, alignment) == alignment


@pytest.mark.parametrize("alignment", [0, 3, 48, TOP - 1])
def test_what_is_no_alignment(alignment: int) -> None:
    with refused("ALLOC-6", "GET_ALIGNMENT"):
        claims().alignment(0, alignment)


def test_a_largest_buffer_has_a_byte() -> None:
    assert claims().max_size(0, 1) == 1
    with refused("ALLOC-7", "GET_MAX_SIZE"):
        claims().max_size(0, 0)


@pytest.mark.parametrize(("handle", "size", "clause"), [(1, 100, "HANDLE-1"), (3, 99, "ALLOC-3"), (3, 0, "ALLOC-3")])
def test_a_buffer_that_is_none(handle: int, size: int, clause: str) -> None:
    with refused(clause, "ALLOC_BUFFER"):
        claims().granted(100, handle, size)


def test_a_larger_buffer_is_one() -> None:
    claims().granted(100, 3, 200)


@pytest.mark.parametrize(("base", "size"), [(12288, 100), (4096 - 32, 32), (4224, 64), (TOP - 64, 64), (0, 0)])
def test_bases(base: int, size: int) -> None:
    assert claims().based(3, base, size, 32) == base


@pytest.mark.parametrize(
    ("base", "size", "words"),
    [
        (0, 100, "together"),
        (12288, 0, "together"),
        (12289, 100, "multiple of 32"),
        (TOP - 64, 65, "below 2\\^64"),
        (4096, 100, "apart"),
        (4096 + 96, 100, "apart"),
        (4064, 33, "apart"),
        (4064, 10_000, "apart"),
    ],
)
def test_what_is_no_base(base: int, size: int, words: str) -> None:
    with pytest.raises(ProtocolError, match=f"HANDLE-5: node:1: BUFFER_GET_BASE.*{words}"):
        claims().based(3, base, size, 32)


def test_a_freed_buffer_makes_room_for_its_handle_and_its_base() -> None:
    made = claims()
    made.freed(1)
    made.granted(100, 1, 100)
    assert made.based(1, 4096, 100, 32) == 4096


def test_a_buffer_that_was_refused_is_not_live() -> None:
    made = claims()
    with pytest.raises(ProtocolError):
        made.based(3, 4096, 100, 32)
    made.granted(100, 3, 100)


def test_a_flag_is_0_or_1() -> None:
    assert [claims().flag("CACHE-4", Command.SET_TENSOR_HASH, flag) for flag in (0, 1)] == [False, True]
    with refused("CACHE-4", "SET_TENSOR_HASH"):
        claims().flag("CACHE-4", Command.SET_TENSOR_HASH, 2)
