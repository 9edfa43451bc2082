"""How the bytes of a model file come into memory: llama.cpp's load modes (build 11434, `--load-mode`).

`auto` is `mmap`: pages come from the file when they are used, and go back under pressure. `none` reads the file into
memory of its own. `mlock` does that and keeps it from being swapped out; `mmap+mlock` locks the mapping. `dio` reads
past the system's page cache. Where the system refuses to lock, or a file system knows no direct reads, that is told to
the log and the model is used all the same, as there.
"""

import ctypes
import errno
import logging
import mmap
import os
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ModelError

__all__ = ["DOWNLOAD_AGAIN", "LoadMode", "read_bytes"]

DOWNLOAD_AGAIN = "download or convert it again"
PIECE = 64 << 20
"""bytes of one direct read; a multiple of every sector size"""

log = logging.getLogger("refimpl.model")


class LoadMode(Enum):
    """-lm: how a model file is read; the values are llama.cpp's words."""

    AUTO = "auto"
    NONE = "none"
    MMAP = "mmap"
    MLOCK = "mlock"
    MMAP_MLOCK = "mmap+mlock"
    DIRECT = "dio"

    @property
    def mapped(self) -> bool:
        return self in (LoadMode.AUTO, LoadMode.MMAP, LoadMode.MMAP_MLOCK)

    @property
    def locked(self) -> bool:
        return self in (LoadMode.MLOCK, LoadMode.MMAP_MLOCK)


def read_bytes(path: str, mode: LoadMode = LoadMode.AUTO) -> NDArray[np.uint8]:
    """All bytes of a file (n,), read-only. Raises ModelError for a file that is empty or cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ModelError(path, f"not a GGUF file (it is empty); {DOWNLOAD_AGAIN}")
            if mode.mapped:
                memory = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
            else:
                memory = mmap.mmap(-1, size)
                _fill(path, file.fileno(), memory, mode is LoadMode.DIRECT)
    except OSError as error:
        raise ModelError(path, f"cannot be read: {error.strerror}; check the path given to -m") from error
    data: NDArray[np.uint8] = np.frombuffer(memory, np.uint8)
    data.flags.writeable = False
    if mode.locked:
        _lock(path, data)
    return data


def _fill(path: str, source: int, memory: mmap.mmap, direct: bool) -> None:
    """Read the whole file into anonymous memory, which begins at a page: what direct reads ask for."""
    file = _open_direct(path) if direct else os.dup(source)
    try:
        with memoryview(memory) as view:
            done = 0
            while done < len(view):
                count = os.preadv(file, [view[done : done + PIECE]], done)
                if not count:
                    raise ModelError(path, f"became shorter while it was read; {DOWNLOAD_AGAIN}")
                done += count
    except OSError as error:
        if not direct or error.errno != errno.EINVAL:
            raise
        log.warning("%s: this file system refuses direct reads; read through the page cache", path)
        _fill(path, source, memory, direct=False)
    finally:
        os.close(file)


def _open_direct(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_DIRECT", 0))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        log.warning("%s: this file system knows no direct reads; read through the page cache", path)
        return os.open(path, os.O_RDONLY)


def _lock(path: str, data: NDArray[np.uint8]) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.mlock(ctypes.c_void_p(data.ctypes.data), ctypes.c_size_t(data.nbytes)) != 0:
        reason = os.strerror(ctypes.get_errno())
        log.warning("%s: cannot be locked in memory (%s); raise the limit of `ulimit -l`", path, reason)
