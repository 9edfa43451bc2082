"""Steps without a barrier between them may run at the same time: `barriers` against that, byte by byte."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from refimpl.device.cpu.plan import MOST_RANGES, Footprints, Range, barriers

ranges = st.tuples(st.integers(0, 40), st.integers(1, 12)).map(lambda place: (place[0], place[0] + place[1]))


@attrs.frozen
class Footprint:
    """What one step touches."""

    reads: Sequence[Range]
    writes: Sequence[Range]
    solo: bool = False


steps = st.builds(Footprint, st.lists(ranges, max_size=3), st.lists(ranges, max_size=2), st.booleans())
chains = st.lists(steps, max_size=30)


def footprints(chain: Sequence[Footprint]) -> Footprints:
    """Of all steps."""
    reads, writes = (ranges_of([getattr(step, name) for step in chain]) for name in ("reads", "writes"))
    return Footprints(reads, writes, np.array([step.solo for step in chain], np.bool_))


def ranges_of(some: Sequence[Sequence[Range]]) -> NDArray[np.int64]:
    """(n, r, 2)"""
    most = max((len(own) for own in some), default=0)
    made = np.zeros((len(some), most, 2), np.int64)
    for at, own in enumerate(some):
        for number, place in enumerate(own):
            made[at, number] = place
    return made


def waits_of(chain: Sequence[Footprint]) -> list[bool]:
    waits: list[bool] = barriers(footprints(chain)).tolist()
    return waits


def bytes_of(some: Sequence[Range]) -> set[int]:
    return {byte for start, end in some for byte in range(start, end)}


def conflict(earlier: Footprint, later: Footprint) -> bool:
    """Whether the two must not run at the same time, and might: one thread does all that runs alone, in order."""
    if earlier.solo and later.solo:
        return False
    read, written = bytes_of(earlier.reads), bytes_of(earlier.writes)
    return bool(written & (bytes_of(later.reads) | bytes_of(later.writes)) or read & bytes_of(later.writes))


def phases(chain: list[Footprint]) -> list[list[Footprint]]:
    """Steps that no barrier separates."""
    made: list[list[Footprint]] = [[]]
    for step, wait in zip(chain, waits_of(chain), strict=True):
        if wait:
            made.append([])
        made[-1].append(step)
    return made


@given(chains)
def test_steps_of_a_phase_never_conflict(chain: list[Footprint]) -> None:
    for phase in phases(chain):
        assert not any(conflict(earlier, later) for earlier, later in combinations(phase, 2))


@given(chains)
def test_a_barrier_stands_only_where_a_step_conflicts_with_the_phase_before_it(chain: list[Footprint]) -> None:
    made = phases(chain)
    for phase, following in pairwise(made):
        assert any(conflict(earlier, following[0]) for earlier in phase)


def test_a_step_may_read_what_it_writes() -> None:
    assert waits_of([Footprint([(0, 8)], [(0, 8)])]) == [False]


def test_a_step_that_runs_alone_waits_for_those_that_do_not() -> None:
    writer, reader = Footprint([], [(0, 8)]), Footprint([(0, 8)], [], solo=True)
    assert waits_of([writer, reader]) == [False, True]
    assert waits_of([reader, writer]) == [False, True]
    assert waits_of([attrs.evolve(writer, solo=True), reader]) == [False, False]


def apart(places: Sequence[int], alone: int) -> list[Footprint]:
    """Steps that have nothing to do with each other, `alone` of four done by one thread."""
    return [
        Footprint([(places[n], places[n + 1])], [(places[n + 1], places[n + 2])], n // 2 % 4 < alone)
        for n in range(0, len(places) - 2, 2)
    ]


@pytest.mark.parametrize("alone", [0, 2, 4])
def test_steps_that_never_conflict_get_a_barrier_now_and_then(alone: int) -> None:
    """Each step is compared with those since the last barrier, so planning takes linear time."""
    made = phases(apart(range(16 * MOST_RANGES + 1), alone))
    assert max(len(phase) for phase in made) <= 2 * MOST_RANGES + 2
    assert min(len(phase) for phase in made[:-1]) > MOST_RANGES
