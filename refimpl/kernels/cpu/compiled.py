"""How functions become machine code: compiled once for this machine, then loaded from the user's cache folder.

Rules of this file:
- A kernel is a C function `void(step, worker)` of two addresses (see step.py). It is compiled, or loaded, when its
  address is first asked for, and by nobody twice.
- Machine code lies in a folder that is named after a hash: of the module that defines it, of all modules that this
  one imports from the SOURCES, and theirs, and of the compiler's version. A changed callee in another file therefore
  never meets an old caller, and a second checkout with the same sources compiles nothing.
- `prepare` compiles at once whatever is not there yet, and says so: nobody waits for a compiler in the middle of a
  conversation.
- What lies there is loaded as code: the folder must belong to the user and be closed to others, or nothing is kept.

Unsatisfying: numba offers no public way to choose the folder for some functions only, so this file uses its cache
classes, which is one reason why the numba version is pinned.
"""

import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import njit, types
from numba.core import sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.ccallback import CFunc

__all__ = ["Kernel", "cache_folder", "digest", "function", "inline", "kernel", "plain", "prepare"]

log = logging.getLogger("refimpl.kernels")

OPTIONS = {"error_model": "numpy", "boundscheck": False}
SOURCES = ("refimpl.kernels.cpu", "refimpl.device.cpu", "spec.names")
"""packages and modules that compiled code is made of"""
IMPORT = re.compile(r"^from ([\w.]+) import (\([^)]*\)|.*)$", re.MULTILINE)
NAME = re.compile(r"\w+")
STALE = 30 * 24 * 3600.0
"""seconds after which a folder of other sources that nobody used is removed"""
FEW = 3
"""kernels for which a process of their own, which has to load the compiler first, is not worth while"""
MOST_PROCESSES = 16
COMPILE = """
import importlib, sys
for name in sys.argv[1:]:
    module, _, kernel = name.partition(":")
    getattr(importlib.import_module(module), kernel).address
"""
SIGNATURE = types.void(types.int64, types.int64)


def inline(function: Callable[..., Any]) -> Any:
    """A function that LLVM writes into each of its callers, so that vectors stay in registers and constant arguments
    decide their branches while compiling.
    """
    return njit(forceinline=True, nogil=True, **OPTIONS)(function)


def plain(function: Callable[..., Any]) -> Any:
    """A function that kernels call."""
    return njit(nogil=True, **OPTIONS)(function)


def function(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """A compiled function that Python calls, without the GIL; compiled or loaded when it is defined."""

    def decorate(defined: Callable[..., Any]) -> Any:
        compiled = njit(nogil=True, **OPTIONS)(defined)
        if cache_folder() is not None:
            compiled._cache = _Cache(defined)
        compiled.compile(signature)
        compiled.disable_compile()
        return compiled

    return decorate


class Kernel:
    """One kernel by name; `address` compiles or loads it."""

    def __init__(self, defined: Callable[..., None]) -> None:
        self.name = defined.__name__
        self.fresh = False
        """whether this process had to compile it"""
        self._defined = defined
        self._compiled: Any = None
        self._lock = threading.Lock()

    @property
    def address(self) -> int:
        """Address of `void kernel(int64 step, int64 worker)`."""
        with self._lock:
            if self._compiled is None:
                self._compiled = self._load()
        address: int = self._compiled.address
        return address

    @property
    def module(self) -> str:
        return str(self._defined.__module__)

    @property
    def importable(self) -> bool:
        """Whether another process finds this kernel by its name in its module."""
        return getattr(sys.modules.get(self.module), self.name, None) is self

    @property
    def kept(self) -> bool:
        """Whether its machine code, for some processor, lies in the user's cache folder."""
        return cache_folder() is not None and os.path.exists(_Cache(self._defined)._cache_file._index_path)

    def _load(self) -> Any:
        arguments, result = sigutils.normalize_signature(SIGNATURE)
        made: Any = CFunc(self._defined, (arguments, result), locals={}, options=dict(OPTIONS))
        if cache_folder() is not None:
            made._cache = _Cache(self._defined)
        made.compile()
        self.fresh = made.cache_hits == 0
        return made


_kernels: list[Kernel] = []


def kernel(defined: Callable[..., None]) -> Kernel:
    """A kernel; see step.py for its two arguments."""
    made = Kernel(defined)
    _kernels.append(made)
    return made


def prepare() -> None:
    """Compile those of the kernels imported so far that are not kept; of the first start on a machine, all.

    Half a dozen and more are shared by as many processes as there are cores; what one of them leaves undone is done
    here.
    """
    if all(made.kept for made in _kernels):
        return
    with _alone():
        missing = [made for made in _kernels if not made.kept]
        if not missing:
            return
        log.info("compiling %d kernels for this machine; once, a second or two for each on one core", len(missing))
        begin = time.monotonic()
        _compile_apart(missing)
        for made in missing:
            _ = made.address
        log.info("compiled in %.0f s", time.monotonic() - begin)


@contextmanager
def _alone() -> Iterator[None]:
    """While another process prepares its kernels, wait: most of them will be kept then."""
    folder = cache_folder()
    if folder is None:
        yield
        return
    with (folder / "preparing.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile_apart(missing: Sequence[Kernel]) -> None:
    """Fill the cache folder from other processes, which end with this one."""
    names = [f"{made.module}:{made.name}" for made in missing if made.importable]
    count = min(len(os.sched_getaffinity(0)), MOST_PROCESSES, len(names) // FEW)
    if count < 2 or cache_folder() is None:
        return
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [
        subprocess.Popen([sys.executable, "-c", COMPILE, *names[number::count]], env=env, stdin=subprocess.DEVNULL)
        for number in range(count)
    ]
    try:
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            process.kill()
            process.wait()


@cache
def _source(module: str) -> bytes | None:
    """Text of a module that compiled code may be made of; None for any other."""
    if not module.startswith(SOURCES):
        return None
    path = Path(__file__).parents[3].joinpath(*module.split("."))
    file = path.with_suffix(".py")
    return file.read_bytes() if file.exists() else None


@cache
def digest(module: str) -> str:
    """16 hex digits that change when the machine code of the functions of a module would."""
    found, waiting, seen = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode()), [module], {module}
    while waiting:
        name = waiting.pop()
        text = _source(name) or b""
        found.update(name.encode() + b"\0" + text + b"\0")
        for parent, names in IMPORT.findall(text.decode()):
            for used in (parent, *(f"{parent}.{child}" for child in NAME.findall(names))):
                if used not in seen and _source(used) is not None:
                    seen.add(used)
                    waiting.append(used)
    return found.hexdigest()[:16]


@cache
def cache_folder() -> Path | None:
    """Where machine code is kept, made on first use: below XDG_CACHE_HOME or ~/.cache.

    None, with a line in the log, where there is no folder that only this user can write to: then every process
    compiles for itself.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "ggml-rpc-refimpl" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = folder.stat()
        if about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{folder} can be written by others")
        _remove_stale(folder)
    except OSError as error:
        log.warning("compiled kernels are not kept: %s", error)
        return None
    return folder


def _remove_stale(kernels: Path) -> None:
    for folder in kernels.glob("*/"):
        if time.time() - folder.stat().st_mtime > STALE:
            shutil.rmtree(folder, ignore_errors=True)


class _Locator(_CacheLocator):  # type: ignore[misc]
    """A folder of its own for the functions of each module, by its digest."""

    def __init__(self, defined: Callable[..., Any], file: str) -> None:
        self._py_file = file
        self._digest = digest(defined.__module__)
        self._disambiguator = hashlib.sha256(f"{defined.__module__}.{defined.__qualname__}".encode()).hexdigest()[:10]

    def get_cache_path(self) -> str:
        folder = Path(str(cache_folder())) / self._digest
        folder.mkdir(exist_ok=True, mode=0o700)
        os.utime(folder)
        return str(folder)

    def get_source_stamp(self) -> str:
        return self._digest

    def get_disambiguator(self) -> str:
        return self._disambiguator

    @classmethod
    def from_function(cls, defined: Callable[..., Any], file: str) -> "_Locator":
        return cls(defined, file)


class _Impl(CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Cache(FunctionCache):  # type: ignore[misc]
    """Files that cannot be written, or read as code, cost time to compile and a line in the log, nothing else."""

    _impl_class = _Impl

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            log.warning("compiled code is not kept: %r", error)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:
            log.warning("kept code in %s cannot be read: %r", self.cache_path, error)
            with suppress(OSError):
                self.flush()
            return None
