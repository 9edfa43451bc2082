"""What a feed tells about nodes. A recording of these events is all that the model needs to be played again.

`node` is the node's endpoint as host:port, `at` the time in seconds on the feed's monotonic clock. Nothing here holds
text from a peer: sentences are made by this program.
"""

from enum import Enum

import attrs

__all__ = ["Asked", "Connected", "Event", "Failed", "Memory", "Reading", "Served", "Serves", "Trouble", "Version"]

Version = tuple[int, int, int]
"""major, minor, patch of a protocol"""


class Serves(Enum):
    """How many connections a node talks to at the same time."""

    ONE = "one"
    MANY = "many"


class Trouble(Enum):
    """Why nothing can be read from a node; the values are the names of states."""

    UNREACHABLE = "unreachable"
    WRONG_VERSION = "wrong version"
    BROKEN = "broken"
    """it speaks a version known here and breaks a clause of it"""


@attrs.frozen
class Memory:
    """One device, in bytes."""

    free: int
    total: int


@attrs.frozen
class Event:
    """Something happened between this program and a node."""

    node: str
    at: float


@attrs.frozen
class Connected(Event):
    """TCP stands and HELLO is on its way: from now on the node owes an answer."""


@attrs.frozen
class Asked(Event):
    """A question went out on a connection that has said HELLO."""


@attrs.frozen
class Reading(Event):
    """Everything asked was answered. round_trip: seconds of one small question on the open connection."""

    version: Version
    devices: tuple[Memory, ...]
    round_trip: float


@attrs.frozen
class Served(Event):
    """It is known how many the node serves at the same time; None: no longer."""

    serves: Serves | None


@attrs.frozen
class Failed(Event):
    """A visit ended without a reading. version: what the node says it speaks, where it said so."""

    trouble: Trouble
    detail: str
    version: Version | None = None
