"""Plans of memory: what is alive at the same time never shares a byte, and what is dead is used again."""

from hypothesis import given
from hypothesis import strategies as st

from refimpl.graph.memory import Lifetime, plan


@st.composite
def lifetimes(draw: st.DrawFn) -> list[Lifetime]:
    firsts = sorted(draw(st.lists(st.integers(0, 30), max_size=25)))
    return [Lifetime(draw(st.integers(0, 500)), first, first + draw(st.integers(0, 12))) for first in firsts]


@given(lifetimes(), st.sampled_from([1, 32, 256]))
def test_lives_that_overlap_share_no_byte(wanted: list[Lifetime], alignment: int) -> None:
    layout = plan(wanted, alignment)
    placed = list(zip(wanted, layout.offsets, strict=True))
    for index, (one, start) in enumerate(placed):
        assert start % alignment == 0
        assert start + one.size <= layout.total
        for other, offset in placed[:index]:
            together = one.first <= other.last and other.first <= one.last
            if together and one.size and other.size:
                assert start + one.size <= offset or offset + other.size <= start


def test_a_chain_needs_no_more_than_two_of_its_links() -> None:
    chain = [Lifetime(1000, step, step + 1) for step in range(50)]
    assert plan(chain, 32).total == 2 * 1024


def test_the_gap_of_a_dead_block_is_filled() -> None:
    layout = plan([Lifetime(64, 0, 1), Lifetime(64, 0, 9), Lifetime(64, 2, 9)], 32)
    assert layout.offsets == (0, 64, 0)
