"""What a node tells about itself while it works, as frozen values: a log prints them, a screen draws them, a test
reads them.

An event says what happened and to whom, never what to do about it; whoever receives it decides. A receiver is called
on the event loop between two commands, so it returns at once and never raises. Sizes are bytes, times are seconds.
"""

from collections.abc import Callable

import attrs

__all__ = [
    "AcceptFailed",
    "CommandTaken",
    "ConnectionClosed",
    "ConnectionFailed",
    "ConnectionOpened",
    "ConnectionRefused",
    "GraphRan",
    "LeftAfterHello",
    "Trace",
    "TraceEvent",
]


@attrs.frozen
class AcceptFailed:
    """The system gives no more connections for the moment; told once, until that has been in order for a while."""

    detail: str


@attrs.frozen
class ConnectionOpened:
    """A peer is connected; nothing has been said yet."""

    endpoint: str


@attrs.frozen
class ConnectionClosed:
    """A connection has ended without fault, or the peer has gone; everything that it had is free again."""

    endpoint: str
    commands: int
    """commands taken in its whole life"""
    note: str = ""
    """why, where it is not the peer's plain goodbye"""


@attrs.frozen
class LeftAfterHello:
    """The peer left right after our HELLO reply, as a client of another major version does; it had nothing else."""

    endpoint: str
    served: str
    """the version that the reply told"""


@attrs.frozen
class ConnectionRefused:
    """The peer broke a clause of the specification and has lost its connection."""

    endpoint: str
    clause: str
    detail: str


@attrs.frozen
class ConnectionFailed:
    """A fault of this implementation ended one connection; all others go on."""

    endpoint: str
    report: str
    """the traceback"""


@attrs.frozen
class CommandTaken:
    """One command, before it takes effect; told only to a receiver that asked for commands."""

    endpoint: str
    command: str
    detail: str
    """its fields in words"""


@attrs.frozen
class GraphRan:
    """One graph has run to its end."""

    endpoint: str
    device: str
    seconds: float
    fresh: bool
    """compiled for this run, not found among the connection's programs"""


TraceEvent = (
    AcceptFailed
    | ConnectionOpened
    | ConnectionClosed
    | LeftAfterHello
    | ConnectionRefused
    | ConnectionFailed
    | CommandTaken
    | GraphRan
)
Trace = Callable[[TraceEvent], None]
