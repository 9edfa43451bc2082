"""One run of the client under test: a process that is started, watched and, when it does not end, ended.

Rules
- Two clocks: a client has ORDINARY_SECONDS to get as far as the deed, since a first start may compile, and `limit`
  seconds from there.
- Memory is looked at every POLL_SECONDS, children included. A client that holds more than `memory` bytes is killed at
  once: what it was told could make it take all that the machine has.
- The client is killed as a group, with whatever it has started.
"""

import contextlib
import os
import shlex
import signal
import subprocess
from pathlib import Path

import attrs
import trio

from conformance.judge.testee import NotReached
from conformance.judge.watch.processes import Processes

__all__ = ["Ending", "Patience", "start_client", "watch_client"]

ORDINARY_SECONDS = 600.0
POLL_SECONDS = 0.02
SHOWN_BYTES = 1 << 16
OUT, ERR = "stdout", "stderr"


@attrs.frozen
class Patience:
    """limit: seconds that a client has from the deed on; memory: bytes that it may hold, None for any number."""

    limit: float
    memory: int | None = None


@attrs.frozen
class Ending:
    """How a client ended. code: exit code, negative for a signal; None when it had to be killed."""

    code: int | None
    seconds: float
    """from the deed on, or from the start where there was none"""
    peak: int
    """bytes of memory at most"""
    greedy: bool
    """killed for its memory"""
    out: bytes
    """what it wrote to stdout"""
    said: str
    """the end of what it wrote to stderr"""

    def __str__(self) -> str:
        if self.greedy:
            return "it was killed for the memory that it took"
        if self.code is None:
            return f"it did not end within {self.seconds:.1f} s"
        if self.code < 0:
            return f"it was ended by {signal.Signals(-self.code).name}"
        return f"it ended with exit code {self.code}"


@attrs.define(eq=False)
class _Watched:
    process: trio.Process
    patience: Patience
    peak: int = 0
    greedy: bool = False
    killed: bool = False
    since: float = attrs.field(factory=trio.current_time)

    async def memory(self) -> None:
        """Look at the memory until the process has gone."""
        held = Processes(self.process.pid)
        while (usage := held.look()) is not None:
            self.peak = max(self.peak, usage.memory)
            if self.patience.memory is not None and usage.memory > self.patience.memory:
                self.greedy = True
                self.kill()
                return
            await trio.sleep(POLL_SECONDS)

    async def time(self, begun: trio.Event) -> None:
        """Kill the process when its time is over."""
        with trio.move_on_after(ORDINARY_SECONDS):
            await begun.wait()
            self.since = trio.current_time()
            await trio.sleep(self.patience.limit)
        self.killed = True
        self.kill()

    def kill(self) -> None:
        """End it and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


async def start_client(command: str, folder: Path) -> trio.Process:
    """Start a command line in `folder`, which takes its output; raises NotReached if it does not start."""
    try:
        words = shlex.split(command)
        with (folder / OUT).open("wb") as out, (folder / ERR).open("wb") as err:
            return await trio.lowlevel.open_process(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder, start_new_session=True
            )
    except (OSError, ValueError) as error:
        raise NotReached(f"{command}: {error}") from error


async def watch_client(process: trio.Process, folder: Path, begun: trio.Event, patience: Patience) -> Ending:
    """See a client that was started there to its end."""
    watched = _Watched(process, patience)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watched.memory)
            nursery.start_soon(watched.time, begun)
            await process.wait()
            nursery.cancel_scope.cancel()
    finally:
        watched.kill()
    return Ending(
        code=None if watched.killed or watched.greedy else process.returncode,
        seconds=trio.current_time() - watched.since,
        peak=watched.peak,
        greedy=watched.greedy,
        out=(folder / OUT).read_bytes(),
        said=_tail(folder / ERR),
    )


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - SHOWN_BYTES))
        return file.read().decode("utf-8", "replace")
