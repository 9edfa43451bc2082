"""A log that no peer can flood, and in which no peer can forge a line.

Rules of this file:
- Of one source, the place of a peer or one kind of complaint of the server itself, the first LINES of a minute are
  written and the others counted; of all sources together the first LINES_IN_ALL. What was counted is told in one line
  when something is logged after that minute, and at the end.
- What somebody asked for (level DEBUG, the log of each command) is never held back.
- A line is a line: control characters, escape sequences and whatever else is not printable are written as escapes. Of a
  text in several lines, a traceback, the others are indented.
- Sources that are remembered are bounded: beyond SOURCES, what is new counts among all alone.
"""

import logging
import time
from collections.abc import Callable

__all__ = ["QuietHandler", "printable"]

MINUTE = 60.0
LINES = 10
LINES_IN_ALL = 200
SOURCES = 4096
LONGEST = 2000
"""characters of a line"""


def printable(text: str) -> str:
    """The text with escapes for all that is not printable, line ends among it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class QuietHandler(logging.Handler):
    """Hands the records on to `target`. A record's `source`, if it has one, says from which place of a peer it is."""

    def __init__(self, target: logging.Handler, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._target = target
        self._clock = clock
        self._begun = clock()
        self._written = 0
        self._seen: dict[str, int] = {}
        """lines by source in this minute, written or not"""
        self._hidden: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it."""
        if self._clock() - self._begun >= MINUTE:
            self._new_minute()
        if record.levelno <= logging.DEBUG or self._allowed(_source(record)):
            self._write(record.levelno, record.getMessage())

    def flush(self) -> None:
        """Hand on what the target may keep."""
        self._target.flush()

    def close(self) -> None:
        """Tell what has been counted."""
        self._new_minute()
        super().close()

    def _allowed(self, source: str) -> bool:
        if source not in self._seen and len(self._seen) >= SOURCES:
            source = ""
        self._seen[source] = self._seen.get(source, 0) + 1
        if self._seen[source] <= LINES and self._written < LINES_IN_ALL:
            self._written += 1
            return True
        self._hidden[source] = self._hidden.get(source, 0) + 1
        return False

    def _new_minute(self) -> None:
        hidden, self._hidden, self._seen = self._hidden, {}, {}
        self._begun, self._written = self._clock(), 0
        most = sorted(hidden, key=lambda source: -hidden[source])
        for source in most[:LINES]:
            self._write(logging.WARNING, f"{source or 'others'}: and {hidden[source]} more lines within a minute")
        if rest := sum(hidden[source] for source in most[LINES:]):
            self._write(logging.WARNING, f"{len(most) - LINES} more sources: and {rest} more lines within a minute")

    def _write(self, level: int, text: str) -> None:
        lines = [printable(line)[:LONGEST] for line in text.split("\n")]
        self._target.handle(logging.LogRecord("refimpl", level, "", 0, "\n    ".join(lines), None, None))


def _source(record: logging.LogRecord) -> str:
    """Where a record comes from: a peer's place, or the logger and the kind of message."""
    told = getattr(record, "source", "")
    return told if isinstance(told, str) and told else f"{record.name}: {record.msg}"
