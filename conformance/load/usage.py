"""What a testee's processes hold: resident memory, open descriptors, threads. Figures, and whether they have grown.

Rules
- A family is a process and its descendants; what is shared between them counts for each.
- Resident memory may grow by an allowance, because allocators keep pages; descriptors and threads may not grow at all.
- A level is looked at for a while before it is believed: what a connection had is given back soon, not at once.
"""

from collections.abc import Callable

import attrs
import psutil
import trio

__all__ = ["MIB", "Growth", "Look", "Usage", "calm", "look_at", "settled"]

MIB = 1 << 20
POLL_SECONDS = 0.1
CALM_SECONDS = 1.0


@attrs.frozen
class Usage:
    """Bytes of resident memory, open descriptors, threads."""

    memory: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return f"{self.memory / MIB:.1f} MiB, {self.descriptors} descriptors, {self.threads} threads"


Look = Callable[[], Usage | None]
"""What is held now; None where that cannot be seen"""


def look_at(pid: int | None) -> Look:
    """Looks at a process and its descendants; a testee whose process is not known shows nothing."""

    def look() -> Usage | None:
        if pid is None:
            return None
        try:
            root = psutil.Process(pid)
            if root.status() == psutil.STATUS_ZOMBIE:
                return None
            parts = [_usage(process) for process in (root, *root.children(recursive=True))]
        except psutil.Error:
            return None
        return Usage(*(sum(part) for part in zip(*map(attrs.astuple, parts), strict=True)))

    return look


def _usage(process: psutil.Process) -> Usage:
    return Usage(process.memory_info().rss, process.num_fds(), process.num_threads())


@attrs.frozen
class Growth:
    """From one level to a later one; `allowance` is of memory, in bytes."""

    before: Usage
    after: Usage
    allowance: int

    def faults(self) -> list[str]:
        """What has grown more than it may."""
        found = []
        if self.after.memory - self.before.memory > self.allowance:
            allowed = f"{self.allowance / MIB:g} MiB are allowed"
            grown = (self.after.memory - self.before.memory) / MIB
            found.append(f"resident memory has grown by {grown:.1f} MiB, of which {allowed}")
        for name in ("descriptors", "threads"):
            before, after = getattr(self.before, name), getattr(self.after, name)
            if after > before:
                found.append(f"{after - before} more {name} than before: {after}, not {before}")
        return found


async def calm(look: Look, seconds: float) -> Usage | None:
    """Wait until descriptors and threads are the same for CALM_SECONDS, or for `seconds` at most; what is held then."""
    deadline = trio.current_time() + seconds
    since, last = trio.current_time(), look()
    while (now := look()) is not None and last is not None:
        if (now.descriptors, now.threads) != (last.descriptors, last.threads):
            since = trio.current_time()
        last = now
        if trio.current_time() >= min(deadline, since + CALM_SECONDS):
            break
        await trio.sleep(POLL_SECONDS)
    return now


async def settled(look: Look, before: Usage, allowance: int, seconds: float) -> Usage | None:
    """Wait until no more is held than `before`, for so long at most; what is held then."""
    deadline = trio.current_time() + seconds
    while (now := look()) is not None and Growth(before, now, allowance).faults():
        if trio.current_time() >= deadline:
            break
        await trio.sleep(POLL_SECONDS)
    return now
