"""How often nodes are asked: one interval and one pause for all of them, to be changed at any time.

`rest` is the only place where a watcher waits between two questions, so a change takes effect at once.
"""

import math

import trio

__all__ = ["SELDOM", "SELDOM_TIMES", "Pace"]

SELDOM = 10.0
"""seconds between two visits to a node that serves one client at a time, at least"""
SELDOM_TIMES = 5
"""and at least that many intervals"""


class Pace:
    """Belongs to the event loop: other threads change it through the loop."""

    def __init__(self, interval: float, paused: bool = False) -> None:
        self._interval = interval
        self._paused = paused
        self._changed = trio.Event()

    def change(self, interval: float, paused: bool) -> None:
        """Go on at another pace from now on."""
        self._interval, self._paused = interval, paused
        self._changed.set()
        self._changed = trio.Event()

    def stretch(self, seldom: bool) -> float:
        """Seconds between two questions."""
        return max(SELDOM, SELDOM_TIMES * self._interval) if seldom else self._interval

    async def rest(self, seldom: bool = False) -> None:
        """Wait for as long as the pace says, counted from now, and for the end of a pause."""
        begin = trio.current_time()
        while True:
            left = begin + self.stretch(seldom) - trio.current_time()
            if left <= 0 and not self._paused:
                return
            with trio.move_on_after(math.inf if self._paused else left):
                await self._changed.wait()
