"""What is known of one node, and what that means at a given time. Pure: time comes in as `now`.

    event > Node.after > Node        (Node, now) > state, sentence, age

The state at a time, first match:

    busy?          HELLO unanswered for longer than PATIENCE: the node serves somebody else, or hangs
    slow           another question unanswered for longer than PATIENCE
    unreachable, wrong version, broken: as the last visit ended
    asking         nothing known yet
    slow           the last round trip took longer than SLOW_TRIP
    up             otherwise

A failure does not erase what was read before: the last good values stay, and `age` says how old they are.
"""

import statistics
from enum import Enum
from typing import assert_never

import attrs

from tui.model.events import Asked, Connected, Event, Failed, Memory, Reading, Served, Serves, Version

__all__ = ["PATIENCE", "SLOW_TRIP", "Node", "State"]

PATIENCE = 1.0
"""seconds that an answer may be owed before it is called late"""
SLOW_TRIP = 0.5
"""seconds of a round trip that make a node slow"""
REMEMBERED = 64
"""round trips that the median is taken of"""


class State(Enum):
    """One word about a node, best first."""

    UP = "up"
    SLOW = "slow"
    BUSY = "busy?"
    ASKING = "asking"
    BROKEN = "broken"
    WRONG_VERSION = "wrong version"
    UNREACHABLE = "unreachable"


@attrs.frozen
class Node:
    """One node as far as it is known."""

    name: str
    version: Version | None = None
    serves: Serves | None = None
    devices: tuple[Memory, ...] = ()
    round_trips: tuple[float, ...] = ()
    good_at: float | None = None
    """when the values above were read"""
    greeting_since: float | None = None
    asking_since: float | None = None
    failure: Failed | None = None

    def after(self, event: Event) -> "Node":
        """What is known once `event` has happened."""
        match event:
            case Connected(at=at):
                return attrs.evolve(self, greeting_since=at, asking_since=None)
            case Asked(at=at):
                return attrs.evolve(self, greeting_since=None, asking_since=at)
            case Served(serves=serves):
                return attrs.evolve(self, serves=serves)
            case Failed():
                version = event.version or self.version
                return attrs.evolve(self, failure=event, version=version, greeting_since=None, asking_since=None)
            case Reading():
                return attrs.evolve(
                    self,
                    version=event.version,
                    devices=event.devices,
                    round_trips=(*self.round_trips, event.round_trip)[-REMEMBERED:],
                    good_at=event.at,
                    greeting_since=None,
                    asking_since=None,
                    failure=None,
                )
        raise TypeError(f"no event of a node: {event!r}")

    def state(self, now: float) -> State:
        """See the module's table."""
        if _late(self.greeting_since, now):
            return State.BUSY
        if _late(self.asking_since, now):
            return State.SLOW
        if self.failure is not None:
            return State(self.failure.trouble.value)
        if self.good_at is None:
            return State.ASKING
        return State.SLOW if self.round_trips[-1] > SLOW_TRIP else State.UP

    def answers(self, now: float) -> bool:
        """Whether what was read is what the node says at present."""
        return self.good_at is not None and self.state(now) in (State.UP, State.SLOW)

    @property
    def free(self) -> int:
        """Bytes, of all devices."""
        return sum(device.free for device in self.devices)

    @property
    def total(self) -> int:
        """Bytes, of all devices."""
        return sum(device.total for device in self.devices)

    @property
    def last_trip(self) -> float | None:
        """Seconds."""
        return self.round_trips[-1] if self.round_trips else None

    @property
    def median_trip(self) -> float | None:
        """Seconds."""
        return statistics.median(self.round_trips) if self.round_trips else None

    def age(self, now: float) -> float | None:
        """Seconds since the values were read."""
        return None if self.good_at is None else max(0.0, now - self.good_at)

    def owed(self, now: float) -> float:
        """Seconds that the node has owed an answer; 0 where it owes none."""
        since = self.greeting_since if self.greeting_since is not None else self.asking_since
        return 0.0 if since is None else max(0.0, now - since)

    def sentence(self, now: float) -> str:
        """What the state means and why, in one sentence."""
        match self.state(now):
            case State.BUSY:
                who = (
                    "serves one client at a time and has another,"
                    if self.serves is Serves.ONE
                    else "serves another client"
                )
                return f"connected, but HELLO unanswered for {self.owed(now):.0f} s: it {who} or hangs"
            case State.SLOW if self.asking_since is not None and _late(self.asking_since, now):
                return f"an answer has been owed for {self.owed(now):.0f} s"
            case State.SLOW:
                return f"the last round trip took more than {SLOW_TRIP:g} s"
            case State.ASKING:
                return "not asked yet, or no answer yet"
            case State.UP if self.serves is Serves.ONE:
                return "serves one client at a time, so it is asked briefly and seldom"
            case State.UP if self.serves is Serves.MANY:
                return "serves several clients at once: one connection stays open"
            case State.UP:
                return "answers"
            case State.BROKEN | State.WRONG_VERSION | State.UNREACHABLE:
                return self.failure.detail if self.failure is not None else ""
            case never:
                assert_never(never)


def _late(since: float | None, now: float) -> bool:
    return since is not None and now - since > PATIENCE
