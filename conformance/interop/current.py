"""Current llama.cpp, which speaks protocol 8.0.0: a native build out of a Python package, in a small Debian beside it.

The package `llama-cpp-py-sync` carries the libraries. They need a newer C library than many machines have, so they
live in a folder of the cache with a minimal Debian (debootstrap), are run with chroot, and that needs root. Where that
is not possible, NotRun says why: nobody may take it for a pass.

`python -m conformance.interop.current` lets it speak with our programs both ways and compares the texts; exit code 0:
they are the same; 1: they are not, or a program failed; 2: not run. Both must give the text that stock 7.0.0 gives
alone.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from conformance.interop.cache import once
from conformance.interop.model import smollm2
from conformance.interop.processes import ProcessFailed, Server, our_program, run_text, running_server
from conformance.interop.stock import stock_programs

__all__ = ["PROTO", "NotRun", "Outcome", "current_llama", "current_server", "current_text", "main", "prove"]

PROTO = "8.0.0"
"""protocol version that it speaks"""
PACKAGES = ("llama-cpp-py-sync==0.11739", "numpy==2.5.5", "cffi==2.1.1", "pycparser==3.12")
SUITE = "trixie"
BOOTSTRAP = ("unshare", "--mount", "debootstrap", "--variant=minbase", "--include=python3,libgomp1", SUITE)
"""in a mount namespace of its own, so that what it mounts ends with it"""
PYTHON = "3.13"
"""of that suite"""
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64")
SITE = "opt/peer"
"""where the packages lie in the Debian"""
MODELS = "models"
CONTEXT = 512
THREADS = 2
TOKENS = 48
ALL_LAYERS = 99
PROMPT = "Hello, my name is"

SERVE = """
import sys
from llama_cpp_py_sync.rpc import start_rpc_server
threads, host, port = int(sys.argv[1]), sys.argv[3], sys.argv[5]
start_rpc_server(f"{host}:{port}", devices=["CPU"], n_threads=threads)
"""
"""takes the number of threads, then ``-H HOST -p PORT``"""

CONTINUE = """
import sys
from llama_cpp_py_sync import Llama
model, prompt, tokens, threads, context, layers, *nodes = sys.argv[1:]
placed = {"n_gpu_layers": int(layers), "rpc_servers": nodes or None}
host = Llama(model, n_ctx=int(context), n_threads=int(threads), flash_attn_type=-1, **placed)
sys.stdout.write(prompt + host.generate(prompt, max_tokens=int(tokens), temperature=0.0, top_k=1, repeat_penalty=1.0))
"""
"""as llama-completion does it by itself: -1 leaves flash attention to the library, which this package would turn off"""


class NotRun(Exception):
    """This machine cannot run current llama.cpp; the message says what is missing."""


@attrs.frozen
class Outcome:
    """One way of running: `reference` is the text it must give; `reason` says why it was not run."""

    name: str
    reference: str = ""
    text: str = ""
    reason: str = ""

    @property
    def verdict(self) -> str:
        """``same``, ``DIFFERENT`` or ``not run``."""
        if self.reason:
            return "not run"
        return "same" if self.text == self.reference else "DIFFERENT"


async def current_llama() -> Path:
    """The folder of the Debian with the package in it, made on first use (a minute). Raises NotRun."""
    if reason := _obstacle():
        raise NotRun(reason)
    try:
        return await once(f"current-{PACKAGES[0].partition('==')[2]}-{SUITE}", _make)
    except ProcessFailed as failure:
        raise NotRun(f"the Debian for current llama.cpp could not be made: {failure}") from failure


@asynccontextmanager
async def current_server(log: Path, threads: int = 1) -> AsyncIterator[Server]:
    """Its RPC server on a free loopback port; yields when it answers HELLO. Raises NotRun and ProcessFailed."""
    root = await current_llama()
    async with running_server([*_inside(root, SERVE), str(threads)], log) as server:
        yield server


async def current_text(model: Path, prompt: str, log: Path, nodes: Sequence[str] = (), layers: int = ALL_LAYERS) -> str:
    """The prompt and what its main host makes of it greedily, with `layers` on the nodes, if there are any.

    Raises NotRun and ProcessFailed.
    """
    root = await current_llama()
    numbers = map(str, (TOKENS, THREADS, CONTEXT, layers if nodes else 0))
    placed = await trio.to_thread.run_sync(_place, root, model)
    return await run_text([*_inside(root, CONTINUE), placed, prompt, *numbers, *nodes], log)


async def prove(logs: Path, prompt: str = PROMPT) -> list[Outcome]:
    """Its main host over our server, and ours over its server. Raises ProcessFailed where a program fails."""
    names = f"current host, refimpl server ({PROTO})", f"refimpl host, current server ({PROTO})"
    try:
        await current_llama()
    except NotRun as obstacle:
        return [Outcome(name, reason=str(obstacle)) for name in names]
    model, log = await smollm2(), logs / "hosts.log"
    greedy = ["-m", str(model), "-no-cnv", "--temp", "0", "-p", prompt, "-n", str(TOKENS), "-c", str(CONTEXT)]
    stock = await run_text([str(await stock_programs() / "llama-completion"), *greedy, "-t", str(THREADS)], log)
    ours = [our_program("refimpl-server"), "--proto", PROTO, "-t", "1"]
    async with running_server(ours, logs / "refimpl-server.log") as server:
        over_ours = await current_text(model, prompt, log, [server.endpoint])
    host = [our_program("refimpl-cli"), *greedy, "--proto", PROTO, "-ngl", str(ALL_LAYERS)]
    async with current_server(logs / "current-server.log") as server:
        over_theirs = await run_text([*host, "--rpc", server.endpoint], log)
    reference, *texts = (text.rstrip("\n") for text in (stock, over_ours, over_theirs))
    return [Outcome(name, reference, text) for name, text in zip(names, texts, strict=True)]


def _obstacle() -> str:
    """Why this machine cannot run it; empty if it can."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"its libraries are for Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    if os.geteuid() != 0:
        return "chroot needs root, and this is no root user"
    if shutil.which("debootstrap") is None:
        return "debootstrap is not installed (apt-get install debootstrap)"
    return ""


def _inside(root: Path, code: str) -> list[str]:
    """Command that runs Python code in the Debian; arguments may follow."""
    return ["chroot", str(root), "/usr/bin/env", f"PYTHONPATH=/{SITE}", "LC_ALL=C.UTF-8", "python3", "-c", code]


def _place(root: Path, file: Path) -> str:
    """Path in the Debian of a file of this machine: a link where that is possible, else a copy."""
    about = file.stat()
    key = hashlib.sha256(f"{file.resolve()} {about.st_size} {about.st_mtime_ns}".encode()).hexdigest()[:8]
    place = root / MODELS / f"{key}-{file.name}"
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            draft = Path(folder) / file.name
            try:
                os.link(file.resolve(), draft)
            except OSError:
                shutil.copyfile(file, draft)
            draft.replace(place)
    return f"/{place.relative_to(root)}"


async def _make(root: Path) -> None:
    print(f"making a Debian for current llama.cpp ({PACKAGES[0]}); once, a minute", file=sys.stderr, flush=True)
    await _succeed([*BOOTSTRAP, str(root)])
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    pip += ["--target", str(root / SITE), "--implementation", "cp", "--python-version", PYTHON]
    await _succeed([*pip, *(f"--platform={name}" for name in (*PLATFORMS, "any")), *PACKAGES])
    await _succeed(_inside(root, "import llama_cpp_py_sync.rpc"))


async def _succeed(command: Sequence[str]) -> None:
    """Run to the end; ProcessFailed with the last words unless the exit code is 0."""
    done = await trio.run_process(
        command, capture_stdout=True, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        words = done.stdout.decode("utf-8", "replace").splitlines()[-10:]
        raise ProcessFailed("\n    ".join([f"{command[0]} exited with {done.returncode}", *words]))


def main() -> int:
    """Compare the texts, a line for each; the exit code."""
    logs = Path(tempfile.mkdtemp(prefix="current-"))
    try:
        outcomes = trio.run(prove, logs)
    except ProcessFailed as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    for outcome in outcomes:
        print(f"{outcome.name}: {outcome.verdict}{': ' if outcome.reason else ''}{outcome.reason}")
        if outcome.verdict == "DIFFERENT":
            print(f"    expected {outcome.reference!r}\n    got      {outcome.text!r}")
    verdicts = {outcome.verdict for outcome in outcomes}
    print(f"logs in {logs}", file=sys.stderr)
    return 1 if "DIFFERENT" in verdicts else 2 if "not run" in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
