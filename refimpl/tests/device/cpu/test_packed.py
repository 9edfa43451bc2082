"""PackedRegions against a set of regions: nothing overlaps, everything is found, denials last until bytes are new."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.device.cpu.packed import MOST_DENIED, PackedRegion, PackedRegions
from spec.names import Type

BYTES = 64
END = 12 * BYTES


def region(first: int, count: int, type_: Type = Type.Q8_0, columns: int = 32) -> PackedRegion:
    return PackedRegion(first * BYTES, count * BYTES, type_, columns, 16)


def share(region: PackedRegion, start: int, end: int) -> bool:
    return start < end and region.offset < end and start < region.end


regions = st.builds(
    region, st.integers(0, 9), st.integers(1, 3), st.sampled_from([Type.Q4_0, Type.Q8_0]), st.sampled_from([32, 64])
)
bounds = st.integers(-1, END + 1)


@given(st.lists(st.tuples(regions, st.booleans()), max_size=20), bounds, bounds)
def test_what_comes_and_goes_is_found_by_its_bytes(
    changes: list[tuple[PackedRegion, bool]], start: int, end: int
) -> None:
    packed = PackedRegions()
    there: set[PackedRegion] = set()
    for one, comes in changes:
        free = not any(share(one, other.offset, other.end) for other in there)
        if comes and free:
            packed.add(one)
            there.add(one)
        elif comes:
            with pytest.raises(ValueError, match="overlaps"):
                packed.add(one)
        elif one in there:
            packed.remove(one)
            there.remove(one)
        assert list(packed.all()) == sorted(there)
        assert (one in packed) == (one in there)
    assert list(packed.overlapping(start, end)) == sorted(one for one in there if share(one, start, end))


def test_every_change_gives_a_new_version() -> None:
    packed, seen = PackedRegions(), []
    for change in (packed.add, packed.remove, packed.add, packed.remove):
        seen.append(packed.version)
        change(region(0, 1))
    assert len({*seen, packed.version}) == 5


@given(st.lists(regions, max_size=6), bounds, bounds)
def test_a_denial_lasts_until_its_bytes_are_written(denied: list[PackedRegion], start: int, end: int) -> None:
    packed = PackedRegions()
    for one in denied:
        packed.deny(one)
    assert all(packed.denied(one) for one in denied)
    assert packed.denied(region(11, 1)) == (region(11, 1) in denied)
    packed.written(start, max(start, end))
    for one in denied:
        assert packed.denied(one) == (not share(one, start, end))


def test_denials_are_bounded() -> None:
    packed = PackedRegions()
    for size in range(MOST_DENIED + 1):
        packed.deny(region(0, 1, columns=size))
    assert packed.denied(region(0, 1, columns=MOST_DENIED))
    assert not packed.denied(region(0, 1, columns=0))
