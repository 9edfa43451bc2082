"""FNV-1a side by side: the hash of one byte after the other, for every length around a lane and a piece."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.kernels import fnv_lanes
from refimpl.kernels.fnv_lanes import FNV_OFFSET, fnv1a64_lanes

PRIME = 0x100000001B3


def one_by_one(data: bytes, state: int = FNV_OFFSET) -> int:
    for byte in data:
        state = ((state ^ byte) * PRIME) % (1 << 64)
    return state


def test_known_hashes() -> None:
    assert fnv1a64_lanes(b"") == 0xCBF29CE484222325
    assert fnv1a64_lanes(b"a") == 0xAF63DC4C8601EC8C
    assert fnv1a64_lanes(b"foobar") == 0x85944171F73967E8


@given(data=st.binary(max_size=300), state=st.integers(0, (1 << 64) - 1))
def test_lanes_give_what_one_byte_after_the_other_gives(data: bytes, state: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fnv_lanes, "LANES", 8)
        patch.setattr(fnv_lanes, "PIECE", 100)
        assert fnv1a64_lanes(data, state) == one_by_one(data, state)


@pytest.mark.parametrize("length", [fnv_lanes.LANES - 1, fnv_lanes.LANES, 3 * fnv_lanes.LANES + 5])
def test_whole_lanes_of_the_real_width(length: int) -> None:
    data = np.random.default_rng(length).integers(0, 256, length, dtype=np.uint8).tobytes()
    assert fnv1a64_lanes(data) == one_by_one(data)
    assert fnv1a64_lanes(memoryview(data)[100:], one_by_one(data[:100])) == one_by_one(data)
