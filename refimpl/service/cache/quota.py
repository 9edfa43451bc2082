"""How much the tensor cache may take of a disk: what was used least recently makes room.

Rules of this file:
- Files whose names are neither tensors' nor drafts' are never deleted, nor counted. Other programs may use the folder.
- Other processes may add and delete files at any time. So the folders are counted anew at least once a minute, and
  whenever there seems to be no room; then the least recently used files go until a sixteenth of the quota is free.
- Part of the disk stays free, whatever the quota says.
- A draft that nobody has written to for an hour is left over from a process that was killed, and goes.
- A file that cannot be deleted stays and counts.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import attrs

from refimpl.limits import Limits
from refimpl.service.cache.place import is_draft, is_kept

__all__ = ["Clock", "Quota"]

Clock = Callable[[], float]
"""seconds since 1970, as files have them"""

BLOCK = 4096
"""bytes that the smallest file takes"""
RECOUNT = 60.0
ABANDONED = 3600.0
SLACK = 16
SPARE_PART = 20
SPARE = 1 << 30
"""this part of the disk stays free, but not more than this many bytes"""


@attrs.frozen
class _File:
    path: Path
    size: int
    used: float


class Quota:
    """Room for the tensors in `folders()`; for any number of threads."""

    def __init__(self, folders: Callable[[], Iterable[Path]], limits: Limits, clock: Clock = time.time) -> None:
        self._folders = folders
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._counted = float("-inf")
        self._bytes = 0
        self._files = 0

    def make_room(self, disk: Path, size: int) -> bool:
        """Have room for one file of `size` bytes more on the disk of the folder `disk`, which is there.

        False if there can be none. Raises OSError if folders cannot be listed.
        """
        size = max(size, BLOCK)
        if size > self._limits.cache_bytes or not self._limits.cache_files:
            return False
        with self._lock:
            if self._clock() - self._counted > RECOUNT or self._missing(disk, size):
                self._tidy(disk, size)
            if self._missing(disk, size):
                return False
            self._bytes += size
            self._files += 1
            return True

    def _missing(self, disk: Path, size: int) -> int:
        """Bytes that have to go before there is room; 0 if there is."""
        limits, usage = self._limits, shutil.disk_usage(disk)
        of_quota = self._bytes + size - limits.cache_bytes
        of_disk = size + min(SPARE, usage.total // SPARE_PART) - usage.free
        of_files = BLOCK * (self._files + 1 - limits.cache_files)
        return max(0, of_quota, of_disk, of_files)

    def _tidy(self, disk: Path, size: int) -> None:
        """Count, delete drafts that nobody writes any more, and make room if there is none and can be some."""
        files = self._count()
        if not 0 < self._missing(disk, size) <= sum(file.size for file in files):
            return
        limits = self._limits
        most_bytes, most_files = (limit - limit // SLACK for limit in (limits.cache_bytes, limits.cache_files))
        for file in sorted(files, key=lambda file: file.used):
            slack = self._bytes + size <= most_bytes and self._files < most_files
            if slack and not self._missing(disk, size):
                return
            with suppress(OSError):
                file.path.unlink()
                self._bytes -= file.size
                self._files -= 1

    def _count(self) -> list[_File]:
        now, files, drafts = self._clock(), [], 0
        for folder in self._folders():
            for name, about in _listed(folder):
                file = _File(folder / name, max(about.st_size, BLOCK), about.st_atime)
                if is_kept(name):
                    files.append(file)
                elif now - about.st_mtime > ABANDONED:
                    with suppress(OSError):
                        file.path.unlink()
                else:
                    drafts += file.size
        self._counted = now
        self._bytes, self._files = drafts + sum(file.size for file in files), len(files)
        return files


def _listed(folder: Path) -> list[tuple[str, os.stat_result]]:
    """Tensors and drafts in a folder; none where they cannot be listed."""
    with suppress(OSError), os.scandir(folder) as entries:
        return [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries if _is_ours(entry.name)]
    return []


def _is_ours(name: str) -> bool:
    return is_kept(name) or is_draft(name)
