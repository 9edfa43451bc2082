"""The program on a pretended terminal, against live nodes. Plain functions: Textual is asyncio, see nodes.py."""

import asyncio
from collections.abc import Callable

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from tui.app import INTERVALS, FleetApp
from tui.model.fleet import Order
from tui.model.node import Node, State
from tui.screens.fleet import NOTE, FleetScreen
from tui.screens.help import HelpScreen
from tui.tests.nodes import GIB, PATIENCE, refused_endpoint, served, silent
from tui.widgets.fleet_table import FleetTable

SIZES = [(80, 24), (120, 30), (200, 50)]


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    """Let the program go on until something holds of it."""
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await pilot.pause()
    fleet_screen(pilot).redraw()
    await pilot.pause()


def app_of(pilot: Pilot[None]) -> FleetApp:
    assert isinstance(pilot.app, FleetApp)
    return pilot.app


def fleet_screen(pilot: Pilot[None]) -> FleetScreen:
    (screen,) = [screen for screen in pilot.app.screen_stack if isinstance(screen, FleetScreen)]
    return screen


def state_of(pilot: Pilot[None], endpoint: str) -> State:
    app = app_of(pilot)
    return app.fleet.nodes[endpoint].state(app.clock())


def rows(pilot: Pilot[None]) -> list[str]:
    table = fleet_screen(pilot).query_one(FleetTable)
    return [" ".join(str(cell) for cell in table.get_row_at(row)) for row in range(table.row_count)]


def text(pilot: Pilot[None], name: str) -> str:
    return str(fleet_screen(pilot).query_one(f"#{name}", Static).content)


@pytest.mark.parametrize("size", SIZES)
def test_two_nodes_are_shown_at_every_size(size: tuple[int, int]) -> None:
    async def scenario(old: str, new: str) -> None:
        app = FleetApp([old, new], 0.2)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: {state_of(pilot, old), state_of(pilot, new)} == {State.UP})
            first, second = rows(pilot)
            assert first.split()[:2] == [old, "7.0.0"]
            assert second.split()[:2] == [new, "8.0.0"]
            assert "4.0/4.0G" in first
            assert "2.0/2.0G" in second
            assert all(len(row) <= size[0] - 1 for row in rows(pilot))
            assert text(pilot, "title") == "2 nodes: 2 up | 6.0 of 6.0 GiB free"
            assert len(text(pilot, "note")) <= 80
            assert text(pilot, "note") == NOTE

    with served("7.0.0", 4 * GIB) as (old, _), served("8.0.0", 2 * GIB) as (new, _):
        asyncio.run(scenario(old, new))


def test_a_killed_node_keeps_its_values_and_a_hung_one_stalls_nothing() -> None:
    async def scenario(endpoint: str, kill: Callable[[], None], hung: str) -> None:
        app = FleetApp([hung, endpoint], 0.2)
        async with app.run_test() as pilot:
            await until(pilot, lambda: state_of(pilot, endpoint) is State.UP)
            await until(pilot, lambda: state_of(pilot, hung) is State.BUSY)
            kill()
            await until(pilot, lambda: state_of(pilot, endpoint) is State.UNREACHABLE)
            await until(pilot, lambda: "refused" in app.fleet.nodes[endpoint].sentence(app.clock()))
            assert "4.0/4.0G" in rows(pilot)[1]
            assert text(pilot, "title") == "2 nodes: 1 busy?, 1 unreachable | 0.0 of 0.0 GiB free"
            await pilot.press("j")
            assert text(pilot, "about").startswith(f"{endpoint}  unreachable: no TCP connection: Connection refused")

    with served() as (endpoint, kill), silent() as hung:
        asyncio.run(scenario(endpoint, kill, hung))


def test_the_cursor_stays_with_its_node_when_the_order_changes() -> None:
    async def scenario(up: str, dead: str) -> None:
        app = FleetApp([up, dead], 0.2)
        async with app.run_test() as pilot:
            await until(pilot, lambda: state_of(pilot, up) is State.UP and state_of(pilot, dead) is State.UNREACHABLE)
            table = fleet_screen(pilot).query_one(FleetTable)
            assert (table.chosen, table.cursor_row) == (up, 0)
            await pilot.press("s", "s")
            assert Order.STATE.value in text(pilot, "pace")
            assert [row.split()[0] for row in rows(pilot)] == [dead, up]
            assert (table.chosen, table.cursor_row) == (up, 1)
            await pilot.press("k")
            assert (table.chosen, table.cursor_row) == (dead, 0)
            await pilot.press("k", "down", "j", "j")
            assert (table.chosen, table.cursor_row) == (up, 1)

    with served() as (up, _):
        asyncio.run(scenario(up, refused_endpoint()))


def test_a_pause_asks_nothing_and_ends() -> None:
    async def scenario(endpoint: str) -> None:
        app = FleetApp([endpoint], 0.2)
        async with app.run_test() as pilot:
            await until(pilot, lambda: len(node(pilot).round_trips) > 2)
            await pilot.press("space")
            assert text(pilot, "pace").startswith("PAUSED")
            await asyncio.sleep(0)
            await until(pilot, lambda: (node(pilot).age(app.clock()) or 0) > 0.6)
            await pilot.press("space")
            count = len(node(pilot).round_trips)
            await until(pilot, lambda: len(node(pilot).round_trips) > count)

    def node(pilot: Pilot[None]) -> Node:
        (only,) = app_of(pilot).fleet.nodes.values()
        return only

    with served() as (endpoint, _):
        asyncio.run(scenario(endpoint))


def test_the_interval_has_steps_with_ends() -> None:
    async def scenario() -> None:
        app = FleetApp([refused_endpoint()], 2.0)
        async with app.run_test() as pilot:
            await pilot.press("plus")
            assert app.interval == 1.0
            await pilot.press("minus", "minus")
            assert app.interval == 5.0
            assert "asked every 5 s" in text(pilot, "pace")
            await pilot.press(*["equals_sign"] * len(INTERVALS))
            assert app.interval == INTERVALS[0]
            await pilot.press(*["minus"] * (len(INTERVALS) + 1))
            assert app.interval == INTERVALS[-1]

    asyncio.run(scenario())


def test_help_opens_closes_and_fits_80_by_24() -> None:
    async def scenario() -> None:
        app = FleetApp([refused_endpoint()], 2.0)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("question_mark")
            assert isinstance(app.screen, HelpScreen)
            assert app.screen.query_one("#help").max_scroll_y == 0
            await pilot.press("escape")
            assert isinstance(app.screen, FleetScreen)

    asyncio.run(scenario())


@pytest.mark.parametrize("keys", [("q",), ("question_mark", "q")])
def test_q_ends_the_program_and_its_feed(keys: tuple[str, ...]) -> None:
    async def scenario(endpoint: str, hung: str) -> FleetApp:
        app = FleetApp([endpoint, hung], 0.2)
        async with app.run_test() as pilot:
            await until(pilot, lambda: state_of(pilot, endpoint) is State.UP)
            await pilot.press(*keys)
        return app

    with served() as (endpoint, _), silent() as hung:
        app = asyncio.run(scenario(endpoint, hung))
    assert not app.is_running
    assert not app.feed.alive
    assert app.fault is None


def test_a_feed_that_fails_ends_the_program_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a fault of the feed")

    async def scenario() -> FleetApp:
        app = FleetApp([refused_endpoint()], 2.0)
        async with app.run_test() as pilot:
            async with asyncio.timeout(PATIENCE):
                while app.fault is None:
                    await pilot.pause()
        return app

    monkeypatch.setattr("tui.feed.thread.watch", broken)
    app = asyncio.run(scenario())
    assert "a fault of the feed" in (app.fault or "")
    assert app.return_code == 1
