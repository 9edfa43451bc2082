"""What a process holds is read off it, and growth is what is above the level and the allowance."""

import os
from collections.abc import Iterator

import pytest
import trio.testing

from conformance.load.usage import MIB, Growth, Usage, calm, look_at, settled

LEVEL = Usage(memory=100 * MIB, descriptors=10, threads=3)


def looks(*held: Usage) -> Iterator[Usage]:
    """One after the other, the last one for ever."""
    yield from held
    while True:
        yield held[-1]


def test_a_descriptor_that_this_process_opens_is_seen() -> None:
    look = look_at(os.getpid())
    before = look()
    end, other = os.pipe()
    during = look()
    os.close(end)
    os.close(other)
    assert before is not None and during is not None  # noqa: PT018
    assert during.descriptors == before.descriptors + 2
    assert look_at(None)() is None


@pytest.mark.parametrize(
    ("after", "faults"),
    [
        (LEVEL, []),
        (Usage(108 * MIB, 10, 3), []),
        (Usage(50 * MIB, 5, 1), []),
        (Usage(108 * MIB + 1, 10, 3), ["resident memory has grown by 8.0 MiB, of which 8 MiB are allowed"]),
        (Usage(100 * MIB, 11, 3), ["1 more descriptors than before: 11, not 10"]),
        (Usage(100 * MIB, 10, 5), ["2 more threads than before: 5, not 3"]),
    ],
)
def test_growth_is_above_the_level_and_the_allowance(after: Usage, faults: list[str]) -> None:
    assert Growth(LEVEL, after, 8 * MIB).faults() == faults


async def test_what_comes_down_in_time_has_not_grown(autojump_clock: trio.testing.MockClock) -> None:
    held = looks(*[Usage(100 * MIB, 12, 3)] * 20, LEVEL)
    assert await settled(lambda: next(held), LEVEL, 0, seconds=60) == LEVEL
    assert await settled(lambda: Usage(200 * MIB, 10, 3), LEVEL, 0, seconds=60) == Usage(200 * MIB, 10, 3)
    assert trio.current_time() >= 60


async def test_calm_is_the_same_for_a_while(autojump_clock: trio.testing.MockClock) -> None:
    held = looks(*[Usage(0, number, 1) for number in range(30)], LEVEL)
    begin = trio.current_time()
    assert await calm(lambda: next(held), seconds=600) == LEVEL
    assert 3 < trio.current_time() - begin < 10


async def test_a_process_that_is_gone_holds_nothing(autojump_clock: trio.testing.MockClock) -> None:
    assert await calm(lambda: None, seconds=600) is None
    assert await settled(lambda: None, LEVEL, 0, seconds=600) is None
