"""What a case may do and see, as values. A case yields steps and is sent answers; somebody else carries them out.

Rules
- A connection is named by `on` and is opened by the first step that names it; all that are left open are closed after
  the case.
- FIN and RST are the same thing seen: End. What was sent to a connection that is closed already is lost without
  complaint; the next Receive says that it has ended.
- Receive never fails: it answers Reply, End or Silence, and the case judges. Only a case raises Mismatch.
"""

from collections.abc import Generator
from typing import TypeVar

import attrs

__all__ = [
    "MAIN",
    "Answer",
    "End",
    "Finish",
    "Leave",
    "Mismatch",
    "NotOffered",
    "Receive",
    "Reply",
    "Reset",
    "Result",
    "Send",
    "Silence",
    "Step",
    "Talk",
    "Trickle",
    "require",
]

MAIN = "main"
"""the connection of a case that needs only one"""


@attrs.frozen
class Send:
    """Send bytes as they stand."""

    data: bytes
    on: str = MAIN


@attrs.frozen
class Trickle:
    """Send bytes one by one."""

    data: bytes
    on: str = MAIN


@attrs.frozen
class Receive:
    """Wait for a reply frame, the end of the connection, or the time limit."""

    on: str = MAIN


@attrs.frozen
class Finish:
    """End the own direction (FIN); the other still works."""

    on: str = MAIN


@attrs.frozen
class Leave:
    """Close the connection (FIN)."""

    on: str = MAIN


@attrs.frozen
class Reset:
    """Break the connection off (RST)."""

    on: str = MAIN


@attrs.frozen
class Reply:
    """A frame came; `body` is shorter than `declared` only when that is more than the judge is willing to read."""

    declared: int
    body: bytes

    def __str__(self) -> str:
        shown = self.body[:32].hex(" ") + (" ..." if len(self.body) > 32 else "")
        return f"a reply that declares {self.declared} bytes" + (f": {shown}" if shown else "")


@attrs.frozen
class End:
    """The connection was closed; `rest` is what had come of an unfinished frame."""

    rest: bytes = b""

    def __str__(self) -> str:
        return "the connection was closed" + (f" behind a piece of a reply: {self.rest.hex(' ')}" if self.rest else "")


@attrs.frozen
class Silence:
    """Neither a whole frame nor the end came in time."""

    seconds: float
    rest: bytes = b""

    def __str__(self) -> str:
        return f"nothing for {self.seconds:g} s" + (
            f" behind a piece of a reply: {self.rest.hex(' ')}" if self.rest else ""
        )


Step = Send | Trickle | Receive | Finish | Leave | Reset
Answer = Reply | End | Silence | None
"""None for every step but Receive"""
Result = TypeVar("Result")
Talk = Generator[Step, Answer, Result]


class Mismatch(Exception):
    """The testee did otherwise; `silent` when it did nothing where something was due."""

    def __init__(self, expected: str, came: str, silent: bool = False) -> None:
        super().__init__(f"expected {expected}; came {came}")
        self.expected = expected
        self.came = came
        self.silent = silent


class NotOffered(Exception):
    """The testee does not have what the case asks about; the text says what."""


def require(holds: bool, expected: str, came: object) -> None:
    """Raise Mismatch unless it holds."""
    if not holds:
        raise Mismatch(expected, str(came))
