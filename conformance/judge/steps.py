"""What a case may do and see, as values. A case yields steps and is sent answers; somebody else carries them out.

Rules
- A connection is named by `on` and is opened by the first step that names it; all that are left open are closed after
  the case. Steps without `on` look at the testee itself; where that cannot be done they end the case with NotOffered.
- A connection takes nothing in but by Receive and Sip: one that only sends, or pauses, is a client that does not read.
- FIN and RST are the same thing seen: End. What was sent to a connection that is closed already is lost without
  complaint; the next Receive says that it has ended.
- Receive never fails: it answers Reply, End or Silence, and the case judges. Only a case raises Mismatch.
"""

from collections.abc import Generator, Mapping
from typing import TypeVar

import attrs

__all__ = [
    "MAIN",
    "Answer",
    "CacheFiles",
    "Connect",
    "Damage",
    "End",
    "Finish",
    "Kept",
    "Leave",
    "Mapped",
    "Mappings",
    "Mismatch",
    "NotOffered",
    "OfTestee",
    "OnConnection",
    "Pause",
    "Receive",
    "Remove",
    "Reply",
    "Reset",
    "Result",
    "Send",
    "Silence",
    "Sip",
    "Step",
    "Talk",
    "Trickle",
    "require",
]

MAIN = "main"
"""the connection of a case that needs only one"""


@attrs.frozen
class Connect:
    """Open the connection, and say nothing; from another address of this machine, if one is named."""

    on: str = MAIN
    origin: str = ""


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
    """Wait for a reply frame, the end of the connection, or the time limit; or only for `within` seconds."""

    on: str = MAIN
    within: float | None = None


@attrs.frozen
class Sip:
    """Take in up to `size` bytes of what comes next, and leave them for a later Receive: a client that reads slowly."""

    size: int
    on: str = MAIN


@attrs.frozen
class Pause:
    """Neither say anything nor take anything in for so long."""

    seconds: float
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
class Mappings:
    """Look up which addresses the testee's process has mapped; answered with Mapped."""


@attrs.frozen
class CacheFiles:
    """Look into the testee's cache folder; answered with Kept."""


@attrs.frozen
class Damage:
    """Give a file of the testee's cache folder other bytes."""

    name: str
    data: bytes


@attrs.frozen
class Remove:
    """Remove a file of the testee's cache folder; `blocked`: and put a folder in its place."""

    name: str
    blocked: bool = False


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


@attrs.frozen
class Mapped:
    """Address ranges of the testee's process: from, up to."""

    spans: tuple[tuple[int, int], ...]

    def holds(self, address: int) -> bool:
        """Whether the address means something in that process."""
        return any(begin <= address < end for begin, end in self.spans)


@attrs.frozen
class Kept:
    """Files of the cache folder and of those in it: name > bytes."""

    sizes: Mapping[str, int]


OnConnection = Connect | Send | Trickle | Receive | Sip | Pause | Finish | Leave | Reset
OfTestee = Mappings | CacheFiles | Damage | Remove
Step = OnConnection | OfTestee
Answer = Reply | End | Silence | Mapped | Kept | None
"""None for every step but Receive, Mappings and CacheFiles"""
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
