"""Tensors laid out in buffers: aligned, apart, and no buffer over the device's limit."""

from hypothesis import given
from hypothesis import strategies as st

from refimpl.host.backends.packing import Packing, Slot, pack


def test_sizes_follow_each_other_aligned() -> None:
    assert pack([10, 64, 1], 32, 1 << 20) == Packing((Slot(0, 0), Slot(0, 32), Slot(0, 96)), (128,))


def test_a_new_buffer_begins_where_the_limit_would_be_passed() -> None:
    assert pack([64, 64, 64], 32, 128) == Packing((Slot(0, 0), Slot(0, 64), Slot(1, 0)), (128, 64))


def test_a_size_over_the_limit_stands_alone() -> None:
    assert pack([32, 500, 32], 32, 128).buffers == (32, 512, 32)


def test_nothing_needs_no_buffer() -> None:
    assert pack([], 32, 128) == Packing((), ())


@given(
    sizes=st.lists(st.integers(0, 5000), max_size=30),
    alignment=st.sampled_from([1, 32, 64, 4096]),
    max_size=st.integers(8192, 40000),
)
def test_slots_are_aligned_and_disjoint(sizes: list[int], alignment: int, max_size: int) -> None:
    packing = pack(sizes, alignment, max_size)
    ends = [0] * len(packing.buffers)
    for size, slot in zip(sizes, packing.slots, strict=True):
        assert slot.offset % alignment == 0
        assert slot.offset >= ends[slot.buffer]
        ends[slot.buffer] = slot.offset + size
    assert all(end <= size <= max_size for end, size in zip(ends, packing.buffers, strict=True))
