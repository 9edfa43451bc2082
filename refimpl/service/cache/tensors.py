"""The tensor cache: weights that a node has seen once need not travel again.

Rules of this file:
- Unless everybody trusts everybody (Scope.ALL), what one address has sent is given to that address only. FNV-1a is no
  cryptographic hash: whoever likes can make other bytes with the hash of a known weight, and whoever knows a hash would
  be given the bytes (CACHE-9).
- A file is believed only when its bytes have the hash in its name, which is checked at every hit. Another file is
  deleted and was a miss.
- A file that does not fit the bytes asked for is a miss, and stays.
- A cache that cannot be read or written (no room, no right, no folder) is no reason to lose a connection: it is told to
  the log.

All methods block on the disk and on the hash: call them in a thread, any number of them at a time.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from io import FileIO
from pathlib import Path

from refimpl.limits import Limits
from refimpl.service.cache.files import fill, hash_of, hash_of_file, opened, touch, write
from refimpl.service.cache.place import Scope, folder_of, folders
from refimpl.service.cache.quota import Clock, Quota

__all__ = ["TensorCache"]

log = logging.getLogger("refimpl.cache")


class TensorCache:
    """Tensors by hash in one folder. Any number of processes may share it."""

    def __init__(
        self, folder: Path, limits: Limits | None = None, scope: Scope = Scope.PEER, clock: Clock = time.time
    ) -> None:
        self.folder = folder
        self._scope = scope
        self._clock = clock
        self._quota = Quota(partial(folders, folder, scope), limits or Limits(), clock)

    def path(self, digest: int, host: str) -> Path:
        """File of the tensor with that hash that the peer at `host` may have, there or not."""
        return folder_of(self.folder, self._scope, host) / f"{digest:016x}"

    def store(self, data: memoryview, host: str) -> None:
        """Keep the bytes of a tensor from `host`. If they are there already, with the right size, note their use."""
        path = self.path(hash_of(data), host)
        try:
            if path.exists() and path.stat().st_size == len(data):
                touch(path, self._clock())
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._quota.make_room(path.parent, len(data)):
                write(path, data)
                touch(path, self._clock())
            else:
                log.warning("tensor cache %s: no room for %d bytes (limits.cache_bytes, or the disk)", path, len(data))
        except OSError as error:
            log.warning("tensor cache %s not written: %s", path, error)

    def load(self, digest: int, host: str, room: Callable[[], memoryview]) -> bool:
        """Copy the tensor with that hash to the front of `room()`; whether `host` may have it, and it fits.

        `room` gives writable memory and is called only if there is such a file; what it raises comes through.
        """
        path = self.path(digest, host)
        try:
            with opened(path) as file:
                return self._load(file, path, digest, room())
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("tensor cache %s not read: %s", path, error)
            return False

    def _load(self, file: FileIO, path: Path, digest: int, view: memoryview) -> bool:
        size = file.seek(0, 2)
        if size > len(view):
            log.warning("tensor cache %s has %d bytes where at most %d fit", path, size, len(view))
            return False
        if hash_of_file(file) != digest:
            log.warning("tensor cache %s does not hold what its name says: deleted", path)
            path.unlink(missing_ok=True)
            return False
        touch(file, self._clock())
        return fill(file, view[:size])
