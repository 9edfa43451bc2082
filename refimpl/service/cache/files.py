"""One kept tensor on disk: believed only when its bytes have the hash in its name.

Rules of this file:
- A file is written beside its place and renamed: a reader sees all of it or nothing. It is not fsynced, because
  nothing is lost with it but time: after a power failure a damaged file is found by its hash.
- Only plain files are read: a pipe or a device under a tensor's name would keep a thread for ever.
- Using a file leaves the time as its access time, whatever the file system would do by itself; its modification time
  stays, and shows whether somebody has written to it meanwhile.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from refimpl.service.cache.place import draft_of

__all__ = ["fill", "hash_of", "hash_of_file", "opened", "touch", "write"]

CHUNK = 1 << 22


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """A plain file to be read. Raises OSError."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no plain file")
        with FileIO(descriptor, closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def fill(file: FileIO, view: memoryview) -> bool:
    """Read exactly len(view) bytes from the beginning; False if there are fewer, or if they change meanwhile."""
    before = os.fstat(file.fileno())
    file.seek(0)
    while view:
        count = file.readinto(view[:CHUNK])
        if not count:
            return False
        view = view[count:]
    after = os.fstat(file.fileno())
    return (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)


def touch(path: Path | FileIO, now: float) -> None:
    """Note that a file is used; no harm if that is not allowed."""
    with suppress(OSError):
        target = path.fileno() if isinstance(path, FileIO) else path
        os.utime(target, ns=(int(now * 1e9), os.stat(target).st_mtime_ns))


def write(path: Path, data: memoryview) -> None:
    """Make the file, and its folder if need be. Raises OSError, and leaves nothing then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not made by tempfile: its files are for their owner alone, and users may share this folder.
    draft = draft_of(path)
    try:
        with draft.open("xb") as file:
            file.write(data)
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def hash_of(data: memoryview) -> int:
    """FNV-1a-64."""
    # Imported on first use: it loads the compiler, which a server without a cache should not wait for.
    from refimpl.kernels.cpu.fnv import fnv1a64

    return fnv1a64(data)


def hash_of_file(file: FileIO) -> int:
    """FNV-1a-64 of all of it."""
    from refimpl.kernels.cpu.fnv import FNV_OFFSET, fnv1a64

    state, chunk = FNV_OFFSET, memoryview(bytearray(CHUNK))
    file.seek(0)
    while count := file.readinto(chunk):
        state = fnv1a64(chunk[:count], state)
    return state
