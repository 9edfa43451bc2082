"""Steps without a barrier between them may run at the same time: `barriers` against that, byte by byte."""

from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from refimpl.device.cpu.plan import MOST_RANGES, Range, barriers

Step = tuple[list[Range], list[Range]]

ranges = st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda place: (place[0], place[0] + place[1]))
steps = st.tuples(st.lists(ranges, max_size=3), st.lists(ranges, max_size=2))
chains = st.lists(steps, max_size=30)


def bytes_of(some: list[Range]) -> set[int]:
    return {byte for start, end in some for byte in range(start, end)}


def conflict(earlier: Step, later: Step) -> bool:
    """Whether the two must not run at the same time."""
    read, written = bytes_of(earlier[0]), bytes_of(earlier[1])
    return bool(written & (bytes_of(later[0]) | bytes_of(later[1])) or read & bytes_of(later[1]))


def waits_of(chain: list[Step]) -> list[bool]:
    return barriers([reads for reads, _ in chain], [writes for _, writes in chain])


def phases(chain: list[Step]) -> list[list[Step]]:
    """Steps that no barrier separates."""
    made: list[list[Step]] = [[]]
    for step, wait in zip(chain, waits_of(chain), strict=True):
        if wait:
            made.append([])
        made[-1].append(step)
    return made


@given(chains)
def test_steps_of_a_phase_never_conflict(chain: list[Step]) -> None:
    for phase in phases(chain):
        assert not any(conflict(earlier, later) for earlier, later in combinations(phase, 2))


@given(chains)
def test_a_barrier_stands_only_where_a_step_conflicts_with_the_phase_before_it(chain: list[Step]) -> None:
    made = phases(chain)
    for phase, following in zip(made, made[1:], strict=False):
        assert any(conflict(earlier, following[0]) for earlier in phase)


def test_a_step_may_read_what_it_writes() -> None:
    assert waits_of([([(0, 8)], [(0, 8)])]) == [False]


class Counted(int):
    """A number that counts how often it is compared."""

    comparisons = 0

    def __lt__(self, other: Any) -> bool:
        Counted.comparisons += 1
        return int(self) < int(other)


def comparisons(count: int) -> int:
    """Of `count` steps that have nothing to do with each other."""
    places = [Counted(8 * number) for number in range(2 * count + 1)]
    chain = [([(places[2 * n], places[2 * n + 1])], [(places[2 * n + 1], places[2 * n + 2])]) for n in range(count)]
    Counted.comparisons = 0
    assert not any(conflict(*pair) for pair in combinations(chain[:20], 2))
    waits_of(chain)
    return Counted.comparisons


def test_twice_the_steps_take_twice_the_work() -> None:
    once = comparisons(8 * MOST_RANGES)
    assert comparisons(16 * MOST_RANGES) < 2.2 * once


def test_steps_that_never_conflict_get_a_barrier_now_and_then() -> None:
    waits = waits_of([([(2 * n, 2 * n + 1)], [(2 * n + 1, 2 * n + 2)]) for n in range(4 * MOST_RANGES)])
    assert 2 <= sum(waits) <= 5
