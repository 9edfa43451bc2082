"""How many bytes this process can still have before the system refuses some, or ends a process to find them.

Asked anew each time, of whoever has a say: the machine (what is available without swapping), the control groups that
the process is in, of version 2 or 1, with all those around them, the limits of the process itself (address space and
data), and the system's count of promises where it keeps one. Files that a group has cached count as available: the
system gives them up first.

Where something cannot be read it has no say: containers hide groups, other systems have none.

What the devices of a process have promised is counted for all of them together (`Promises`): they share one memory.
"""

import mmap
import resource
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import attrs
import psutil

__all__ = ["UNLIMITED", "Group", "Promises", "System", "groups", "promises"]

UNLIMITED = 1 << 62
KIB = 1 << 10
STRICT = "2"
"""value of overcommit_memory with which the system counts promises"""
SIZE, RESIDENT, SHARED, DATA = 0, 1, 2, 5
"""fields of statm, in pages"""
RESERVE = 3 << 29
RESERVED_PART = 16
"""never promised: this part of what is available at the start, but not more than RESERVE"""


@attrs.frozen
class Group:
    """A control group with a limit on memory: its folder and the names of three files in it."""

    folder: Path
    limit: str
    usage: str
    cached: str
    """key of memory.stat: bytes of files that nobody has used for a while"""

    def bound(self) -> int:
        """The limit itself; UNLIMITED for none."""
        return min(_number(self.folder / self.limit), UNLIMITED)

    def left(self) -> int:
        """Bytes up to the limit."""
        bound, used = self.bound(), _number(self.folder / self.usage)
        if UNLIMITED in (bound, used):
            return UNLIMITED
        return bound - used + _table(self.folder / "memory.stat").get(self.cached, 0)


def groups(root: Path = Path("/")) -> tuple[Group, ...]:
    """The groups of this process, innermost first, that can be seen below `root`."""
    found: list[Group] = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for base in ("sys/fs/cgroup", "sys/fs/cgroup/unified"):
                found += [
                    Group(folder, "memory.max", "memory.current", "inactive_file")
                    for folder in _upwards(root / base, path, "memory.max")
                ]
        elif "memory" in controllers.split(","):
            found += [
                Group(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                for folder in _upwards(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
            ]
    return tuple(found)


class System:
    """What the system says about memory. `root` is where its files are, for tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._groups = groups(root)

    def total(self) -> int:
        """Bytes that the process could have if it were alone."""
        return min([psutil.virtual_memory().total, *(group.bound() for group in self._groups)])

    def available(self) -> int:
        """Bytes that the process can touch for the first time now, perhaps less than none."""
        return min([psutil.virtual_memory().available, *(group.left() for group in self._groups)])

    def mappable(self) -> int:
        """Bytes that it can ask for now, whether it touches them or not; UNLIMITED where nobody counts that."""
        return min([UNLIMITED, *self._own(), self._promises()])

    def touched(self) -> int:
        """Bytes of its own that the process has really got."""
        statm = self._statm()
        return (statm[RESIDENT] - statm[SHARED]) * mmap.PAGESIZE if statm else 0

    def _own(self) -> Iterator[int]:
        statm = self._statm()
        for kind, field in ((resource.RLIMIT_AS, SIZE), (resource.RLIMIT_DATA, DATA)):
            limit, _ = resource.getrlimit(kind)
            if limit != resource.RLIM_INFINITY and statm:
                yield limit - statm[field] * mmap.PAGESIZE

    def _promises(self) -> int:
        if _text(self._root / "proc/sys/vm/overcommit_memory").strip() != STRICT:
            return UNLIMITED
        told = _table(self._root / "proc/meminfo")
        if "CommitLimit" not in told or "Committed_AS" not in told:
            return UNLIMITED
        return (told["CommitLimit"] - told["Committed_AS"]) * KIB

    def _statm(self) -> list[int]:
        return [int(word) for word in _text(self._root / "proc/self/statm").split()]


class Promises:
    """Bytes that have been promised to somebody, and those that still can be. For any number of threads."""

    def __init__(self, system: System) -> None:
        self.system = system
        available = min(system.available(), system.mappable())
        self._reserve = min(RESERVE, max(0, available) // RESERVED_PART)
        self._capacity = available - self._reserve
        self._before = system.touched()
        self._made = 0
        self.lock = threading.RLock()  # a program that the collector ends inside gives memory back

    def left(self) -> int:
        """Bytes that can be promised now, perhaps less than none."""
        touched = max(0, self.system.touched() - self._before)
        untouched = max(0, self._made - touched)
        now = min(self.system.available() - untouched, self.system.mappable()) - self._reserve
        return min(now, self._capacity - self._made)

    def change(self, size: int) -> None:
        """Promise so many bytes more, or less."""
        with self.lock:
            self._made += size


@cache
def promises() -> Promises:
    """Those of this process, from the first call on."""
    return Promises(System())


def _upwards(base: Path, path: str, file: str) -> list[Path]:
    """Folders that have `file`, from the group at `path` up to the root of its tree, `base`.

    Inside a container the path may be the host's, and name nothing here: then the root is all there is to see.
    """
    folder = base / path.lstrip("/")
    chain = [folder, *folder.parents]
    seen = chain[: chain.index(base) + 1] if base in chain else []
    return [step for step in seen if _text(step / file)]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _number(path: Path) -> int:
    """The number in a file; UNLIMITED for ``max`` or where there is none to read."""
    text = _text(path).strip()
    return int(text) if text.isascii() and text.isdigit() else UNLIMITED


def _table(path: Path) -> dict[str, int]:
    """Lines ``key value`` or ``key: value unit`` by key."""
    rows = (line.replace(":", " ").split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}
