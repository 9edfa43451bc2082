"""What is expensive to make and does not depend on the checkout: one directory per thing, made once and whole.

A thing is made in a directory of its own beside its final place and renamed at the end, so a half-made one is never
used; a lock file lets only one process make it while others wait. REFIMPL_CACHE names another cache than the user's.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

__all__ = ["cache_dir", "once"]

APPLICATION = "ggml-rpc-refimpl"


def cache_dir() -> Path:
    """REFIMPL_CACHE, or this application's folder in the user's cache directory."""
    if chosen := os.environ.get("REFIMPL_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / APPLICATION


async def once(name: str, make: Callable[[Path], Awaitable[None]]) -> Path:
    """Return the directory `name` of the cache, after `make(directory)` has filled it if it did not exist.

    What `make` raises is passed on, and nothing stays behind.
    """
    final = cache_dir() / name
    final.parent.mkdir(parents=True, exist_ok=True)
    with final.with_name(f"{final.name}.lock").open("w") as lock:
        await trio.to_thread.run_sync(fcntl.flock, lock, fcntl.LOCK_EX, abandon_on_cancel=True)
        if not final.exists():
            await _make_whole(final, make)
    return final


async def _make_whole(final: Path, make: Callable[[Path], Awaitable[None]]) -> None:
    draft = Path(tempfile.mkdtemp(prefix=f"{final.name}.", dir=final.parent))
    try:
        await make(draft)
        draft.rename(final)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
