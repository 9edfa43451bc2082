"""What a process and its descendants hold: resident memory and open descriptors, as psutil sees them.

Rules
- What may not be looked at, or is gone, is None, never a number.
- Pages that processes share count once for each of them: with many children, resident memory is an upper bound.
"""

import attrs
import psutil
import trio

__all__ = ["MIB", "Excess", "Processes", "Usage", "listener_at"]

MIB = 1 << 20
FAMILY_SECONDS = 0.1
"""how long a list of child processes is believed: making one reads about every process of the machine"""
EVERYWHERE = frozenset({"0.0.0.0", "::"})


@attrs.frozen
class Usage:
    """What is held by a process and its descendants: bytes of resident memory, and open descriptors."""

    memory: int
    descriptors: int

    def above(self, level: "Usage") -> "Excess":
        """How much more than the level that is."""
        return Excess(self.memory - level.memory, self.descriptors - level.descriptors)

    def __str__(self) -> str:
        return f"{self.memory / MIB:.0f} MiB and {self.descriptors} descriptors"


@attrs.frozen
class Excess:
    """How much more is held than the level; what is negative is less."""

    memory: int
    descriptors: int

    def exceeds(self, memory: int) -> bool:
        """Whether that is a descriptor too many, or more than so many bytes."""
        return self.memory > memory or self.descriptors > 0

    def __str__(self) -> str:
        memory = f"{self.memory / MIB:.1f} MiB" if self.memory > 0 else ""
        count = self.descriptors
        descriptors = f"{count} descriptor{'s' if count > 1 else ''}" if count > 0 else ""
        return " and ".join(filter(None, (memory, descriptors))) or "nothing"


class Processes:
    """Looks at a process and its descendants; raises ProcessLookupError when there is none of that number."""

    def __init__(self, pid: int) -> None:
        try:
            self._root = psutil.Process(pid)
        except psutil.NoSuchProcess as gone:
            raise ProcessLookupError(str(gone)) from gone
        self._family: list[psutil.Process] = []
        self._listed = float("-inf")

    @property
    def pid(self) -> int:
        """Of the process itself."""
        return self._root.pid

    def alive(self) -> bool:
        """Whether it is that process still, and not another one that got its number."""
        try:
            return bool(self._root.is_running()) and self._root.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def look(self) -> Usage | None:
        """The sum over all that can be seen; None when the process is gone or is not ours to look at."""
        try:
            held = _usage(self._root)
            self._list()
        except psutil.Error:
            return None
        for child in self._family:
            try:
                more = _usage(child)
            except psutil.Error:
                continue
            held = Usage(held.memory + more.memory, held.descriptors + more.descriptors)
        return held

    def _list(self) -> None:
        now = trio.current_time()
        if now - self._listed > FAMILY_SECONDS:
            self._family, self._listed = self._root.children(recursive=True), now


def _usage(process: psutil.Process) -> Usage:
    return Usage(process.memory_info().rss, process.num_fds())


def listener_at(addresses: frozenset[str], port: int) -> int | None:
    """The process of this machine that listens at that TCP port of one of the addresses.

    None when there is none, or this user may not know. Of several that share a listener it is the oldest: the parent.
    """
    try:
        found = psutil.net_connections("tcp")
        pids = {
            one.pid
            for one in found
            if one.pid is not None
            and one.status == psutil.CONN_LISTEN
            and one.laddr
            and one.laddr.port == port
            and one.laddr.ip in addresses | EVERYWHERE
        }
        return min(pids, key=lambda pid: psutil.Process(pid).create_time(), default=None)
    except psutil.Error:
        return None
