"""How long a watcher rests, on a clock that jumps."""

import pytest
import trio
import trio.testing

from tui.feed.pace import SELDOM, SELDOM_TIMES, Pace


@pytest.mark.parametrize(("interval", "seldom"), [(2.0, SELDOM), (0.1, SELDOM), (30.0, 30.0 * SELDOM_TIMES)])
async def test_a_node_for_one_client_is_visited_seldom(
    interval: float, seldom: float, autojump_clock: trio.testing.MockClock
) -> None:
    begin = trio.current_time()
    await Pace(interval).rest()
    assert trio.current_time() - begin == pytest.approx(interval)
    await Pace(interval).rest(seldom=True)
    assert trio.current_time() - begin == pytest.approx(interval + seldom)


async def test_another_interval_takes_effect_in_the_middle_of_a_rest(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    pace, begin = Pace(60.0), trio.current_time()

    async def hurry() -> None:
        await trio.sleep(3.0)
        pace.change(5.0, paused=False)

    nursery.start_soon(hurry)
    await pace.rest()
    assert trio.current_time() - begin == pytest.approx(5.0)


async def test_a_pause_lasts_until_it_is_over(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> None:
    pace, begin = Pace(2.0, paused=True), trio.current_time()

    async def go_on() -> None:
        await trio.sleep(100.0)
        pace.change(2.0, paused=False)

    nursery.start_soon(go_on)
    await pace.rest()
    assert trio.current_time() - begin == pytest.approx(100.0)
