"""The live feed: Trio in a thread of its own, for a program whose main thread belongs to something else.

Events are told on the feed's thread. `change` and `stop` are for the other one; neither waits for a node. A fault of
the feed itself is told once, as the exception: without it the screen would go on showing what was.
"""

import threading
from collections.abc import Callable, Sequence

import trio

from spec.dialect import Dialect
from spec.load import load
from tui.feed.pace import Pace
from tui.feed.watch import Terms, watch

__all__ = ["Feed", "known_dialects", "watch_all"]

STOP_SECONDS = 5.0


def known_dialects() -> tuple[Dialect, ...]:
    """Every described version, newest first."""
    spec = load()
    return tuple(spec.dialect(version) for version in reversed(spec.versions))


async def watch_all(endpoints: Sequence[str], terms: Terms, pace: Pace) -> None:
    """Visit all nodes until cancelled, each in a task of its own."""
    async with trio.open_nursery() as nursery:
        for endpoint in endpoints:
            nursery.start_soon(watch, endpoint, terms, pace)


class Feed:
    """Started once, stopped once."""

    def __init__(
        self, endpoints: Sequence[str], terms: Terms, interval: float, fault: Callable[[BaseException], None]
    ) -> None:
        self._endpoints = endpoints
        self._terms = terms
        self._interval = interval
        self._fault = fault
        self._thread = threading.Thread(target=self._body, name="feed", daemon=True)
        self._ready = threading.Event()
        self._loop: tuple[trio.lowlevel.TrioToken, Pace, trio.CancelScope] | None = None

    @property
    def alive(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to visit."""
        self._thread.start()
        self._ready.wait()

    def change(self, interval: float, paused: bool) -> None:
        """Another pace, from now on; nothing once the feed has ended."""
        if self._loop is not None:
            token, pace, _ = self._loop
            self._soon(token, lambda: pace.change(interval, paused))

    def stop(self) -> None:
        """Hang up everywhere and end; returns when that is done."""
        if self._loop is not None:
            token, _, scope = self._loop
            self._soon(token, scope.cancel)
        self._thread.join(STOP_SECONDS)

    @staticmethod
    def _soon(token: trio.lowlevel.TrioToken, act: Callable[[], None]) -> None:
        try:
            token.run_sync_soon(act)
        except trio.RunFinishedError:
            return

    def _body(self) -> None:
        try:
            trio.run(self._run)
        except BaseException as error:
            self._fault(error)
        finally:
            self._ready.set()

    async def _run(self) -> None:
        pace = Pace(self._interval)
        with trio.CancelScope() as scope:
            self._loop = (trio.lowlevel.current_trio_token(), pace, scope)
            self._ready.set()
            await watch_all(self._endpoints, self._terms, pace)
