"""The tensor cache: weights that a node has seen once need not travel again.

Place and naming are stock llama.cpp's, so that a cache of either is the other's: $LLAMA_CACHE, else the platform's
cache folder of llama.cpp, in it `rpc/`, one file per tensor, named after the FNV-1a-64 of its bytes in 16 hexadecimal
digits.

Rules of this file:
- A file is written beside its place and renamed: a reader sees all of it or nothing. It is not fsynced, because
  nothing is lost with it but time: after a power failure a damaged file is found by its hash.
- A file is believed only when its bytes have the hash in its name, which is checked at every hit. Another file is
  deleted and was a miss. (FNV-1a is no cryptographic hash: whoever can write this folder, or forge a collision, can
  lie. Hence it is off unless asked for.)
- A file that does not fit the bytes asked for is a miss, and stays.
- A cache that cannot be written (no room, no right) is no reason to lose a connection: it is told to the log, once
  per failure.

All methods block on the disk and on the hash: call them in a thread.
"""

import logging
import sys
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from secrets import token_hex

__all__ = ["TensorCache", "default_folder"]

CHUNK = 1 << 22

log = logging.getLogger("refimpl.cache")


def default_folder(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where stock llama.cpp keeps its tensor cache on `platform`, given the environment's variables."""
    if root := environment.get("LLAMA_CACHE"):
        return Path(root) / "rpc"
    home = Path(environment.get("HOME") or Path.home())
    if platform == "win32":
        root_folder = Path(environment.get("LOCALAPPDATA") or home)
    elif platform == "darwin":
        root_folder = home / "Library" / "Caches"
    else:
        root_folder = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return root_folder / "llama.cpp" / "rpc"


class TensorCache:
    """One folder of tensors by hash. Any number of processes may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: int) -> Path:
        """File of the tensor with that hash, there or not."""
        return self.folder / f"{digest:016x}"

    def store(self, data: memoryview) -> None:
        """Keep the bytes of a tensor. Does nothing if they are there already, with the right size."""
        digest = _fnv1a64(data)
        path = self.path(digest)
        try:
            if not path.exists() or path.stat().st_size != len(data):
                self._write(path, data)
        except OSError as error:
            log.warning("tensor cache %s not written: %s", path, error)

    def load(self, digest: int, view: memoryview) -> bool:
        """Copy the tensor with that hash to the front of `view` (writable); whether it was there and fits."""
        path = self.path(digest)
        try:
            with path.open("rb", buffering=0) as file:
                size = self._verified_size(file, digest)
                if size is None:
                    log.warning("tensor cache %s does not hold what its name says: deleted", path)
                    path.unlink(missing_ok=True)
                    return False
                if size > len(view):
                    log.warning("tensor cache %s has %d bytes where at most %d fit", path, size, len(view))
                    return False
                file.seek(0)
                return _fill(file, view[:size])
        except OSError:
            return False

    def _verified_size(self, file: FileIO, digest: int) -> int | None:
        """Bytes of the file if they have that hash."""
        from refimpl.kernels.cpu.fnv import FNV_OFFSET, fnv1a64

        state, size, chunk = FNV_OFFSET, 0, memoryview(bytearray(CHUNK))
        while count := file.readinto(chunk):
            state = fnv1a64(chunk[:count], state)
            size += count
        return size if state == digest else None

    def _write(self, path: Path, data: memoryview) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Not made by tempfile: its files are for their owner alone, and users may share this folder.
        draft = path.with_name(f".{path.name}.{token_hex(8)}")
        try:
            with draft.open("xb") as file:
                file.write(data)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _fill(file: FileIO, view: memoryview) -> bool:
    """Read exactly len(view) bytes; whether the file had them."""
    while view:
        count = file.readinto(view[:CHUNK])
        if not count:
            return False
        view = view[count:]
    return True


def _fnv1a64(data: memoryview) -> int:
    # Imported on first use: it loads the compiler, which a server without a cache should not wait for.
    from refimpl.kernels.cpu.fnv import fnv1a64

    return fnv1a64(data)
