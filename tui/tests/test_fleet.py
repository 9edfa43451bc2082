"""Order, sums and snapshots of several nodes."""

import json

import pytest

from tui.model.events import Connected, Event, Failed, Memory, Reading, Served, Serves, Trouble
from tui.model.fleet import Fleet, Order
from tui.model.node import State
from tui.model.snapshot import as_text, as_values

NOW = 100.0
GIB = 1 << 30
EVENTS: tuple[Event, ...] = (
    Reading("c:1", 99.0, (8, 0, 0), (Memory(GIB, 4 * GIB),), 0.002),
    Served("c:1", 99.0, Serves.MANY),
    Failed("b:1", 98.0, Trouble.UNREACHABLE, "no TCP connection: Connection refused"),
    Reading("a:1", 90.0, (7, 0, 0), (Memory(2 * GIB, 2 * GIB), Memory(GIB, GIB)), 0.001),
    Connected("d:1", 50.0),
)


@pytest.fixture
def fleet() -> Fleet:
    made = Fleet.of(["c:1", "b:1", "a:1", "d:1"])
    for event in EVENTS:
        made = made.after(event)
    return made


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (Order.GIVEN, ["c:1", "b:1", "a:1", "d:1"]),
        (Order.NAME, ["a:1", "b:1", "c:1", "d:1"]),
        (Order.STATE, ["b:1", "d:1", "c:1", "a:1"]),
        (Order.FREE, ["a:1", "c:1", "b:1", "d:1"]),
        (Order.TRIP, ["c:1", "a:1", "b:1", "d:1"]),
    ],
)
def test_rows_are_sorted_and_ties_stay_as_given(fleet: Fleet, order: Order, names: list[str]) -> None:
    assert [node.name for node in fleet.rows(order, NOW)] == names


def test_the_orders_go_round() -> None:
    order = Order.GIVEN
    seen = [order := order.next for _ in Order]
    assert seen[-1] is Order.GIVEN
    assert set(seen) == set(Order)


def test_sums_count_only_nodes_that_answer(fleet: Fleet) -> None:
    assert fleet.memory(NOW) == (4 * GIB, 7 * GIB)
    assert fleet.counts(NOW) == {State.UP: 2, State.BUSY: 1, State.UNREACHABLE: 1}
    assert not fleet.all_answer(NOW)
    gone = fleet.after(Failed("c:1", NOW, Trouble.UNREACHABLE, "gone"))
    assert gone.memory(NOW) == (3 * GIB, 3 * GIB)


def test_an_event_of_a_stranger_is_refused(fleet: Fleet) -> None:
    with pytest.raises(KeyError):
        fleet.after(Connected("e:1", NOW))


def test_a_snapshot_is_json_with_nothing_made_up(fleet: Fleet) -> None:
    values = json.loads(json.dumps(as_values(fleet, NOW, "2026-11-25T00:00:00+00:00")))
    up, gone, _, busy = values["nodes"]
    assert not values["all_answered"]
    assert (up["state"], up["version"], up["clients_at_a_time"]) == ("up", "8.0.0", "many")
    assert up["devices"] == [{"free_bytes": GIB, "total_bytes": 4 * GIB}]
    assert up["round_trip_ms"] == {"last": 2.0, "p50": 2.0}
    assert up["age_s"] == 1.0
    assert (gone["state"], gone["answered"], gone["version"], gone["age_s"]) == ("unreachable", False, None, None)
    assert gone["round_trip_ms"] == {"last": None, "p50": None}
    assert busy["state"] == "busy?"


def test_text_has_a_row_for_each_node_and_a_sentence_for_those_that_do_not_answer(fleet: Fleet) -> None:
    lines = as_text(fleet, NOW).splitlines()
    assert len(lines) == 1 + 4 + 2
    assert lines[2].split()[0] == "b:1"
    assert lines[-2] == "b:1: no TCP connection: Connection refused"
    assert lines[-1].startswith("d:1: connected, but HELLO unanswered for 50 s")
