"""What events make of a node, and what that is called at a given time."""

import pytest

from tui.model.events import Asked, Connected, Event, Failed, Memory, Reading, Served, Serves, Trouble
from tui.model.node import PATIENCE, SLOW_TRIP, Node, State

NAME = "a:1"
GOOD = Reading(NAME, 10.0, (8, 0, 0), (Memory(1, 4), Memory(2, 8)), 0.001)
REFUSED = Failed(NAME, 12.0, Trouble.UNREACHABLE, "no TCP connection: Connection refused")


def node(*events: Event) -> Node:
    made = Node(NAME)
    for event in events:
        made = made.after(event)
    return made


def test_nothing_known_is_being_asked() -> None:
    assert node().state(1e6) is State.ASKING
    assert node().age(1e6) is None
    assert not node().answers(1e6)


def test_a_reading_is_up_and_ages() -> None:
    read = node(Connected(NAME, 9.0), Asked(NAME, 9.5), GOOD)
    assert read.state(1000.0) is State.UP
    assert read.age(1000.0) == 990.0
    assert (read.free, read.total, read.version) == (3, 12, (8, 0, 0))


@pytest.mark.parametrize("before", [(), (GOOD,), (REFUSED,), (GOOD, REFUSED)])
def test_a_hello_unanswered_for_long_is_busy_whatever_was_before(before: tuple[Event, ...]) -> None:
    waiting = node(*before, Connected(NAME, 20.0))
    assert waiting.state(20.0 + PATIENCE + 0.1) is State.BUSY
    assert waiting.state(20.0 + PATIENCE) is node(*before).state(20.0)
    assert "unanswered for 30 s" in waiting.sentence(50.0)


def test_another_question_unanswered_for_long_is_slow() -> None:
    asked = node(GOOD, Asked(NAME, 20.0))
    assert asked.state(20.0 + PATIENCE) is State.UP
    assert asked.state(20.1 + PATIENCE) is State.SLOW
    assert asked.answers(20.1 + PATIENCE)


def test_a_long_round_trip_is_slow_until_a_short_one() -> None:
    long = Reading(NAME, 11.0, (8, 0, 0), (), SLOW_TRIP + 0.01)
    assert node(GOOD, long).state(11.0) is State.SLOW
    assert node(GOOD, long, GOOD).state(11.0) is State.UP


@pytest.mark.parametrize("trouble", Trouble)
def test_a_failure_names_the_state_and_keeps_the_last_values(trouble: Trouble) -> None:
    failed = node(GOOD, Failed(NAME, 12.0, trouble, "why"))
    assert failed.state(13.0).value == trouble.value
    assert failed.sentence(13.0) == "why"
    assert failed.devices == GOOD.devices
    assert failed.age(13.0) == 3.0
    assert not failed.answers(13.0)
    assert failed.after(GOOD).state(13.0) is State.UP


def test_a_failure_before_any_answer_tells_the_version_that_the_node_claims() -> None:
    assert node(Failed(NAME, 1.0, Trouble.WRONG_VERSION, "speaks 9", (9, 0, 0))).version == (9, 0, 0)
    assert node(GOOD, REFUSED).version == (8, 0, 0)


def test_the_median_is_of_recent_round_trips() -> None:
    trips = [Reading(NAME, float(at), (8, 0, 0), (), trip) for at, trip in enumerate([9.0] * 100 + [1.0] * 40)]
    many = node(*trips)
    assert many.last_trip == 1.0
    assert many.median_trip == 1.0
    assert len(many.round_trips) == 64


def test_a_node_for_one_client_says_what_busy_means() -> None:
    alone = node(GOOD, Served(NAME, 11.0, Serves.ONE))
    assert "one client at a time" in alone.sentence(11.0)
    assert "and has another" in alone.after(Connected(NAME, 20.0)).sentence(30.0)
