"""With how many threads a program runs best, as long as other programs may use the processors too.

Threads of a run wait for each other some hundred times for one token. While all of them have a processor that costs
nothing; if one has lost its processor to another program, each meeting takes as long as that one keeps it, and a single
thread, which waits for nobody, is several times as fast.

Rules of this file:
- A program runs with all threads. After `FIRST` runs one thread is tried, and again whenever each of the last `RECENT`
  runs has taken longer than `SLOW` times what a run usually takes; a failed trial is not repeated for `AGAIN` runs.
- If one thread was faster than the fastest of those, it does the next `AGAIN` runs; then all are tried, and from there
  on whichever is faster.
- What a run usually takes follows upwards slowly, as contexts grow, and downwards at once.
"""

from collections import deque

import attrs

__all__ = ["AGAIN", "FIRST", "RECENT", "SLOW", "Pace"]

FIRST = 8
RECENT = 3
SLOW = 1.5
AGAIN = 16
GROWTH = 1.01


@attrs.define
class Pace:
    """See the module's rules. Times are seconds."""

    _usual: float = float("inf")
    _recent: deque[float] = attrs.field(factory=lambda: deque(maxlen=RECENT))
    """of the last runs with all threads"""
    _one: float = float("inf")
    """of the last run with one thread"""
    _alone: bool = False
    _left: int = FIRST
    """runs before the other way may be tried"""

    def threads(self, most: int) -> int:
        """How many of `most` threads the next run has."""
        if most == 1:
            return 1
        return 1 if self._alone != self._is_trial() else most

    def took(self, threads: int, seconds: float) -> None:
        """Note how long a run with that many threads has taken."""
        trial = self._is_trial()
        if threads == 1:
            self._one = seconds
        else:
            self._recent.append(seconds)
            self._usual = min(self._usual * GROWTH, seconds)
        if trial:
            self._alone = self._one < (seconds if self._alone else min(self._recent))
            self._left = AGAIN
        elif self._left:
            self._left -= 1

    def _is_trial(self) -> bool:
        """Whether the next run is done the other way."""
        if self._left:
            return False
        return self._alone or self._one == float("inf") or min(self._recent, default=0.0) > SLOW * self._usual
