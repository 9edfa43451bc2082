"""The program on a screen: it owns the feed, the fleet and the pace; screens only show them.

Rules of this file:
- Events come from the feed's thread by post_message and are folded here, in order. Screens are redrawn by the clock
  and after a key, not by events: a hundred nodes cost no more drawing than one.
- A feed that fails ends the program, which says why.
- Where the terminal has no colours (NO_COLOR), the theme uses the terminal's own, and everything that a colour says is
  said in words as well.
"""

import os
import time
import traceback
from collections.abc import Callable, Sequence

from textual.app import App
from textual.message import Message

from tui.feed.thread import Feed, known_dialects
from tui.feed.watch import Terms
from tui.model.events import Event
from tui.model.fleet import Fleet
from tui.screens.fleet import FleetScreen

__all__ = ["INTERVALS", "FeedFailed", "FleetApp", "News"]

INTERVALS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""seconds that + and - choose from"""
FAULT = 1


class News(Message):
    """Something happened between the feed and a node."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


class FeedFailed(Message):
    """The feed has ended by a fault of its own."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class FleetApp(App[None]):
    """Shows `endpoints` (host:port, each once), asked every `interval` seconds."""

    TITLE = "refimpl-tui"

    def __init__(
        self,
        endpoints: Sequence[str],
        interval: float,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.fleet = Fleet.of(endpoints)
        self.interval = interval
        self.paused = False
        self.clock = clock
        self.fault: str | None = None
        terms = Terms(self._tell, known_dialects(), clock, timeout)
        self.feed = Feed(endpoints, terms, interval, self._feed_failed)

    def on_mount(self) -> None:
        """Begin."""
        if self.no_color:
            self.theme = "ansi-dark"
        self.push_screen(FleetScreen(self))
        self.feed.start()

    def on_unmount(self) -> None:
        """Hang up everywhere before the program ends."""
        self.feed.stop()

    def on_news(self, news: News) -> None:
        """Fold an event into what is known."""
        self.fleet = self.fleet.after(news.event)

    def on_feed_failed(self, failed: FeedFailed) -> None:
        """End, with the reason."""
        self.fault = failed.text
        self.exit(return_code=FAULT)

    def toggle_pause(self) -> None:
        """Ask nothing, or ask again."""
        self.paused = not self.paused
        self.feed.change(self.interval, self.paused)

    def step_interval(self, step: int) -> None:
        """The next shorter (-1) or longer (1) of INTERVALS; the ends stay."""
        if step < 0:
            self.interval = max((value for value in INTERVALS if value < self.interval), default=self.interval)
        else:
            self.interval = min((value for value in INTERVALS if value > self.interval), default=self.interval)
        self.feed.change(self.interval, self.paused)

    def _tell(self, event: Event) -> None:
        self.post_message(News(event))

    def _feed_failed(self, error: BaseException) -> None:
        self.post_message(FeedFailed("".join(traceback.format_exception(error))))
