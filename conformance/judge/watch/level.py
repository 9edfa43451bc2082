"""Whether a case leaves more memory or descriptors behind than there were.

Rules
- The level is what the testee holds after ordinary traffic. After a case it may hold ALLOWANCE_BYTES more memory than
  that (allocators keep pages; a compiler and a cache keep what they have made) and not one descriptor more; it has
  SETTLE_SECONDS to come down. What falls below the level lowers it.
- More than that is a suspicion and no verdict: a first use may be what grows, once. The case is asked again, AGAIN
  times, and only what grows each time, by a descriptor or by more memory than a grain, is a leak; and not even that
  when it comes down within PATIENCE_SECONDS. Then the level moves to what is held now; nothing else moves it up.
- A grain is GRAIN_BYTES and a quarter of what went over the case's connections: a heap that large messages go through
  takes a while to find its size, and it grows by less than they hold.
- So a leak of less than a grain a case is not told as one. `summary` says what a whole run has added.
"""

from collections.abc import Awaitable, Callable

import attrs
import trio

from conformance.judge.watch.processes import MIB, Excess, Usage

__all__ = ["Leak", "Look", "Watch"]

ALLOWANCE_BYTES = 4 * MIB
GRAIN_BYTES = 256 << 10
SETTLE_SECONDS = 0.5
PATIENCE_SECONDS = 5.0
FIRST_POLL_SECONDS = 0.001
LAST_POLL_SECONDS = 0.05
AGAIN = 8
GRAIN_SHARE = 4
"""one part in so many of what went over the connections"""
WARM_ROUNDS = 12
WARM_SESSIONS = 4

Look = Callable[[], Usage | None]
"""what is held now; None where that cannot be seen, or no more"""


@attrs.frozen
class Leak:
    """What a case left behind, and what each time that it was asked again added."""

    excess: Excess
    again: tuple[Excess, ...]

    def __str__(self) -> str:
        return f"{self.excess}; asked again, each time more: {', '.join(map(str, self.again))}"


class Watch:
    """Watches what one testee holds. `begin` after every start; until then, and where nothing is seen, no leak is."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._level: Usage | None = None
        self._began: Usage | None = None
        self._rises: list[int] = []

    async def begin(self, ordinary: Callable[[], Awaitable[None]]) -> bool:
        """Take the level of a testee that has just been started; returns whether there is anything to be seen.

        `ordinary` is a little ordinary traffic; it is repeated, to an end, until what is held stands still.
        """
        held = self._look()
        for _ in range(WARM_ROUNDS):
            for _ in range(WARM_SESSIONS):
                await ordinary()
            before, held = held, self._look()
            if before is None or held is None or held.memory - before.memory <= GRAIN_BYTES:
                break
        self._level = self._began = held
        return held is not None

    async def leak(self, volume: int, again: Callable[[], Awaitable[bool]]) -> Leak | None:
        """Whether what has just been asked leaks.

        volume: bytes that went over its connections; again: asks it once more, and says whether the testee lives on.
        """
        grain = GRAIN_BYTES + volume // GRAIN_SHARE
        excess = await self._settled(ALLOWANCE_BYTES, SETTLE_SECONDS)
        if excess is None or self._level is None:
            return None
        before, grown = self._level, list[Excess]()
        while len(grown) < AGAIN:
            self._level = self._look()
            if not await again():
                return None
            more = await self._settled(grain, SETTLE_SECONDS)
            if more is None:
                self._rises.append(max(0, excess.memory))
                return None
            grown.append(more)
        self._level = before
        kept = await self._settled(ALLOWANCE_BYTES, PATIENCE_SECONDS)
        self._level = self._look()
        return Leak(excess, tuple(grown)) if kept else None

    async def _settled(self, allowance: int, seconds: float) -> Excess | None:
        """Wait for it to come down; what is left above the level when it does not."""
        wait, deadline = FIRST_POLL_SECONDS, trio.current_time() + seconds
        while (excess := self._excess()) is not None and excess.exceeds(allowance):
            if trio.current_time() >= deadline:
                return excess
            await trio.sleep(wait)
            wait = min(2 * wait, LAST_POLL_SECONDS)
        return None

    def _excess(self) -> Excess | None:
        now, level = self._look(), self._level
        if now is None or level is None:
            return None
        self._level = Usage(min(now.memory, level.memory), min(now.descriptors, level.descriptors))
        return now.above(level)

    def summary(self) -> tuple[str, ...]:
        """A line about the testee that lives now, if there is anything to be seen of it."""
        now = self._look()
        if now is None or self._began is None:
            return ()
        rises = (
            f"; first uses added up to {max(self._rises) / MIB:.0f} MiB ({len(self._rises)} of them)"
            if self._rises
            else ""
        )
        return (f"held after ordinary traffic: {self._began}; in the end: {now}{rises}",)
