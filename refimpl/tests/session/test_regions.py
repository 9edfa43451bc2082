"""Byte sizes and regions, in particular where 64-bit arithmetic would wrap."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import FrameError, HandleError, RegionError
from refimpl.limits import Limits
from refimpl.session.ledger import AddressSpace, BufferEntry, Ledger
from refimpl.session.regions import Region, nbytes, resolve, resolve_2d, resolve_copy, span_2d, tensor_nbytes
from refimpl.wire.tensor import RPC_TENSOR
from spec.load import load
from spec.names import Type

LIMITS = Limits()
U32 = (1 << 32) - 1
Extents = tuple[int, int, int, int]
WRAPPING = [1 << 63, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - 16]


def contiguous(type: Type, ne: Extents) -> list[int]:
    definition = load().dialect("7.0.0").types[type]
    row = ne[0] // definition.block * definition.bytes
    return [definition.bytes, row, row * ne[1], row * ne[1] * ne[2]]


def record(entry: BufferEntry, at: int, type: Type, ne: Extents, nb: list[int] | None = None) -> Any:
    """A record of a contiguous tensor that begins `at` bytes into the buffer."""
    records = np.zeros(1, RPC_TENSOR)
    records["type"], records["buffer"], records["data"] = type, entry.handle, entry.base + at
    records["ne"] = ne
    records["nb"] = nb or contiguous(type, ne)
    return records[0]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(lambda: 0, LIMITS, AddressSpace())


@pytest.mark.parametrize(
    ("type", "ne", "size"),
    [
        (Type.F32, (3, 1, 1, 1), 12),
        (Type.F32, (3, 5, 2, 7), 3 * 5 * 2 * 7 * 4),
        (Type.F16, (8, 4, 1, 1), 64),
        (Type.Q4_0, (64, 3, 1, 1), 2 * 18 * 3),
        (Type.Q8_0, (32, 2, 2, 2), 34 * 8),
        (Type.F32, (0, 5, 1, 1), 0),
        (Type.F32, (5, 1, 1, 0), 0),
        (Type.Q4_0, (0, 1, 1, 1), 0),
    ],
)
def test_byte_size_of_a_contiguous_tensor_is_that_of_its_elements(type: Type, ne: Extents, size: int) -> None:
    assert nbytes(type, ne, contiguous(type, ne), LIMITS) == size


def test_byte_size_of_a_strided_tensor_is_its_span() -> None:
    assert nbytes(Type.F32, (2, 3, 1, 1), [16, 100, 0, 0], LIMITS) == 4 + 16 + 200
    assert nbytes(Type.F32, (4, 4, 1, 1), [0, 0, 0, 0], LIMITS) == 4


@pytest.mark.parametrize(("type", "clause"), [(4, "TENSOR-3"), (36, "TENSOR-3"), (43, "TENSOR-2"), (U32, "TENSOR-2")])
def test_withdrawn_and_unknown_types_are_refused_even_without_elements(type: int, clause: str) -> None:
    for ne in ((1, 1, 1, 1), (0, 1, 1, 1)):
        with pytest.raises(RegionError, match=clause):
            nbytes(type, ne, [4, 4, 4, 4], LIMITS)


@pytest.mark.parametrize("ne", [(U32, U32, 1, 1), (U32, U32, U32, U32), (1 << 31, 1 << 31, 2, 1)])
def test_extents_of_too_many_elements_are_refused_whatever_the_strides(ne: Extents) -> None:
    with pytest.raises(RegionError, match="TENSOR-5"):
        nbytes(Type.I8, ne, [0, 0, 0, 0], LIMITS)


def test_half_a_block_is_refused() -> None:
    with pytest.raises(RegionError, match="TENSOR-6"):
        nbytes(Type.Q4_0, (33, 1, 1, 1), [18, 36, 36, 36], LIMITS)


def test_a_tensor_over_the_limit_is_refused() -> None:
    ne, nb = (2, 2, 1, 1), [4, U32, 0, 0]
    size = nbytes(Type.F32, ne, nb, LIMITS)
    assert nbytes(Type.F32, ne, nb, Limits(tensor_bytes=size)) == size
    with pytest.raises(RegionError, match="TENSOR-15"):
        nbytes(Type.F32, ne, nb, Limits(tensor_bytes=size - 1))


@given(
    st.sampled_from(list(Type)),
    st.lists(st.integers(0, U32), min_size=4, max_size=4),
    st.lists(st.integers(0, U32), min_size=4, max_size=4),
)
def test_byte_size_is_refused_or_within_the_limit(type: Type, ne: Extents, nb: list[int]) -> None:
    try:
        size = nbytes(type, ne, nb, LIMITS)
    except RegionError:
        return
    assert (size == 0) == (0 in ne) or nb[0] == 0
    assert 0 <= size <= LIMITS.tensor_bytes


def test_a_region_counts_from_the_start_of_its_buffer(ledger: Ledger) -> None:
    ledger.add(0, 4096)
    entry = ledger.add(0, 1000)
    tensor = record(entry, 200, Type.F32, (10, 1, 1, 1))
    assert tensor_nbytes(tensor, LIMITS) == 40
    assert resolve(ledger, tensor, 8, 32) == Region(entry.handle, 208, 32)
    assert resolve(ledger, tensor, 40, 0) == Region(entry.handle, 240, 0)


@pytest.mark.parametrize(("offset", "size"), [(0, 41), (1, 40), (41, 0), (40, 1)])
def test_bytes_outside_the_tensor_are_refused_inside_the_buffer_too(ledger: Ledger, offset: int, size: int) -> None:
    tensor = record(ledger.add(0, 1000), 200, Type.F32, (10, 1, 1, 1))
    with pytest.raises(RegionError, match="REGION-2"):
        resolve(ledger, tensor, offset, size)


@pytest.mark.parametrize("offset", [0, 1, 40, *WRAPPING])
@pytest.mark.parametrize("size", [*WRAPPING, (1 << 64) - 40])
def test_offsets_and_sizes_cannot_wrap_back_into_the_tensor(ledger: Ledger, offset: int, size: int) -> None:
    tensor = record(ledger.add(0, 1000), 200, Type.F32, (10, 1, 1, 1))
    for pair in ((offset, size), (size, offset)):
        with pytest.raises(RegionError, match="REGION-2"):
            resolve(ledger, tensor, *pair)


@pytest.mark.parametrize("data", [0, 1, *WRAPPING])
def test_a_tensor_cannot_wrap_back_into_its_buffer(ledger: Ledger, data: int) -> None:
    tensor = record(ledger.add(0, 1000), 0, Type.F32, (10, 1, 1, 1))
    tensor["data"] = data
    with pytest.raises(RegionError, match="REGION-1"):
        resolve(ledger, tensor, 0, 1)


@pytest.mark.parametrize("at", [-1, 961, 1000, 1001])
def test_a_tensor_partly_outside_its_buffer_is_refused_even_for_no_bytes(ledger: Ledger, at: int) -> None:
    tensor = record(ledger.add(0, 1000), 0, Type.F32, (10, 1, 1, 1))
    tensor["data"] = int(tensor["data"]) + at
    with pytest.raises(RegionError, match="REGION-1"):
        resolve(ledger, tensor, 0, 0)


def test_a_tensor_may_end_with_its_buffer(ledger: Ledger) -> None:
    entry = ledger.add(0, 1000)
    tensor = record(entry, 960, Type.F32, (10, 1, 1, 1))
    assert resolve(ledger, tensor, 0, 40) == Region(entry.handle, 960, 40)


@pytest.mark.parametrize("at", [0, 1000, 5000])
def test_a_tensor_without_elements_is_an_empty_region_wherever_it_is(ledger: Ledger, at: int) -> None:
    entry = ledger.add(0, 1000)
    tensor = record(entry, at, Type.F32, (0, 7, 1, 1))
    region = resolve(ledger, tensor, 0, 0)
    assert (region.handle, region.size) == (entry.handle, 0)
    assert 0 <= region.offset <= entry.size
    with pytest.raises(RegionError, match="REGION-2"):
        resolve(ledger, tensor, 0, 1)


def test_a_buffer_of_no_bytes_holds_empty_tensors_only(ledger: Ledger) -> None:
    entry = ledger.add(0, 0)
    assert resolve(ledger, record(entry, 0, Type.F32, (0, 1, 1, 1)), 0, 0).size == 0
    with pytest.raises(RegionError, match="REGION-1"):
        resolve(ledger, record(entry, 0, Type.F32, (1, 1, 1, 1)), 0, 4)


def test_a_tensor_in_no_buffer_or_a_freed_one_is_refused(ledger: Ledger) -> None:
    entry = ledger.add(0, 100)
    tensor = record(entry, 0, Type.F32, (1, 1, 1, 1))
    ledger.free(entry.handle)
    with pytest.raises(HandleError, match="HANDLE-2"):
        resolve(ledger, tensor, 0, 4)
    tensor["buffer"] = 0
    with pytest.raises(HandleError, match="REGION-5"):
        resolve(ledger, tensor, 0, 4)


def test_a_copy_moves_all_of_its_source_whatever_the_extents_of_its_destination(ledger: Ledger) -> None:
    entry, other = ledger.add(0, 1000), ledger.add(0, 100)
    src = record(entry, 100, Type.F32, (10, 1, 1, 1))
    for ne in ((5, 2, 1, 1), (1, 1, 1, 1), (0, 1, 1, 1)):
        assert resolve_copy(ledger, src, record(other, 60, Type.F32, ne)) == (
            Region(entry.handle, 100, 40),
            Region(other.handle, 60, 40),
        )


@pytest.mark.parametrize(("at", "elements", "clause"), [(61, 1, "COPY-3"), (100, 0, "COPY-3"), (64, 10, "REGION-1")])
def test_a_copy_needs_room_in_the_buffer_of_its_destination(
    ledger: Ledger, at: int, elements: int, clause: str
) -> None:
    src = record(ledger.add(0, 1000), 100, Type.F32, (10, 1, 1, 1))
    with pytest.raises(RegionError, match=clause):
        resolve_copy(ledger, src, record(ledger.add(0, 100), at, Type.F32, (elements, 1, 1, 1)))


def test_a_copy_of_no_elements_moves_nothing(ledger: Ledger) -> None:
    entry = ledger.add(0, 100)
    empty = record(entry, 100, Type.F32, (0, 1, 1, 1))
    source, place = resolve_copy(ledger, empty, empty)
    assert source.size == place.size == 0


@pytest.mark.parametrize("data", [0, 1, *WRAPPING])
def test_a_copy_cannot_wrap_into_the_buffer_of_its_destination(ledger: Ledger, data: int) -> None:
    src = record(ledger.add(0, 1000), 100, Type.F32, (10, 1, 1, 1))
    dst = record(ledger.add(0, 100), 0, Type.F32, (0, 1, 1, 1))
    dst["data"] = data
    with pytest.raises(RegionError, match="COPY-3"):
        resolve_copy(ledger, src, dst)


def test_strided_pieces_span_from_first_to_last_byte() -> None:
    assert span_2d(size=8, n_copies=1, stride=1 << 63) == 8
    assert span_2d(size=8, n_copies=3, stride=100) == 208


@pytest.mark.parametrize(
    ("size", "n_copies", "stride"),
    [(0, 1, 8), (8, 0, 8), (1 << 63, 2, 0), (8, 1 << 61, 8), (1, (1 << 64) - 1, 1 << 63), (1 << 63, 2, 1 << 63)],
)
def test_strided_pieces_that_are_nothing_or_too_much_are_refused(size: int, n_copies: int, stride: int) -> None:
    with pytest.raises(RegionError, match="STRIDED-3"):
        span_2d(size, n_copies, stride)


def test_strided_pieces_touch_what_lies_between_their_ends(ledger: Ledger) -> None:
    entry = ledger.add(0, 1000)
    tensor = record(entry, 200, Type.F32, (10, 1, 1, 1))
    assert resolve_2d(ledger, tensor, 4, (8, 3, 14)) == Region(entry.handle, 204, 36)
    assert resolve_2d(ledger, tensor, 39, (1, 1, 1 << 63)) == Region(entry.handle, 239, 1)
    assert resolve_2d(ledger, tensor, 0, (40, 1000, 0)) == Region(entry.handle, 200, 40)


@pytest.mark.parametrize("offset", [0, 5, 41, *WRAPPING])
@pytest.mark.parametrize(("size", "n_copies", "stride"), [(8, 3, 15), (41, 1, 0), (1, 2, (1 << 64) - 41), (36, 2, 2)])
def test_strided_pieces_outside_their_tensor_are_refused(
    ledger: Ledger, offset: int, size: int, n_copies: int, stride: int
) -> None:
    tensor = record(ledger.add(0, 1000), 200, Type.F32, (10, 1, 1, 1))
    if offset + (n_copies - 1) * stride + size > 40:
        with pytest.raises(RegionError, match="STRIDED-2"):
            resolve_2d(ledger, tensor, offset, (size, n_copies, stride))
    else:
        assert resolve_2d(ledger, tensor, offset, (size, n_copies, stride)).size == (n_copies - 1) * stride + size


def test_strided_pieces_need_a_tensor_inside_its_buffer_and_a_message_within_the_limits(ledger: Ledger) -> None:
    entry = ledger.add(0, 1000)
    with pytest.raises(RegionError, match="REGION-1"):
        resolve_2d(ledger, record(entry, 961, Type.F32, (10, 1, 1, 1)), 0, (1, 1, 0))
    with pytest.raises(FrameError, match=r"FRAME-7.*limits\.tensor_bytes"):
        resolve_2d(ledger, record(entry, 0, Type.F32, (10, 1, 1, 1)), 0, (1, LIMITS.tensor_bytes + 1, 0))
    empty = record(entry, 0, Type.F32, (0, 1, 1, 1))
    with pytest.raises(RegionError, match="STRIDED-2"):
        resolve_2d(ledger, empty, 0, (1, 1, 0))
