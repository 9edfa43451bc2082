"""One session per question; `nox` alone asks all that CI asks, `nox -l` is the menu.

All sessions share one environment, .nox/workshop, which is made when it is missing or when pyproject.toml has changed.
Only `wheel` makes an empty one each time: that is its question. Every stage prints its seconds.
What is expensive and does not depend on the checkout (the stock build, the model, compiled kernels) lives in the user's
cache directory; REFIMPL_CACHE names another one for the first two.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["check", "tests", "state", "wheel", "interop_quick"]

ROOT = Path(__file__).parent
WORKSHOP = ROOT / ".nox" / "workshop"
STATE_SECONDS = "60"
CANARY_SECONDS = "300"
OURS = ("refimpl-7.0.0", "refimpl-8.0.0")
THEIRS = ("stock-7.0.0", "stock-8.0.0")


@contextlib.contextmanager
def stage(session: nox.Session, name: str) -> Iterator[None]:
    """Print how long a part of a session takes, also when it fails."""
    begin = time.monotonic()
    try:
        yield
    finally:
        session.log(f"{session.name}: {name} took {time.monotonic() - begin:.1f} s")


def workshop(session: nox.Session) -> str:
    """Return the python of the shared environment: the checkout, editable, and the `dev` group."""
    python = WORKSHOP / "bin" / "python"
    stamp = WORKSHOP / "pyproject.sha256"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
        with stage(session, "making the workshop environment"):
            session.run(sys.executable, "-m", "venv", "--clear", str(WORKSHOP), external=True)
            session.run(str(python), "-m", "pip", "install", "-qq", "--upgrade", "pip>=25.1", external=True)
            session.run(str(python), "-m", "pip", "install", "-qq", "-e", ".", "--group", "dev", external=True)
        stamp.write_text(wanted)
    return str(python)


def compile_kernels(session: nox.Session) -> None:
    """What the first start on a machine does, as a stage of its own: a minute or two once, then next to nothing."""
    code = "import logging; logging.basicConfig(level='INFO', format='%(message)s'); "
    code += "from refimpl.device.cpu import CpuDevice; CpuDevice(threads=1).close()"
    ask(session, "python", "-c", code, name="compiling kernels")


def ask(session: nox.Session, *command: str, name: str = "", env: dict[str, str] | None = None) -> None:
    """Run one command of the workshop environment as a timed stage; `python` is that environment's."""
    python = workshop(session)
    program = python if command[0] == "python" else str(WORKSHOP / "bin" / command[0])
    with stage(session, name or " ".join(command[:3])):
        session.run(program, *command[1:], env=env, external=True)


@nox.session
def check(session: nox.Session) -> None:
    """Is it clean? ruff, mypy --strict, the import arrows, the specification's cross-checks, a case for each clause."""
    questions = (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lint-imports", "--no-cache"),
        ("python", "-m", "spec.check"),
        ("python", "-m", "spec.render", "--check"),
        ("python", "-m", "conformance.coverage"),
    )
    failed = [" ".join(question) for question in questions if not answered(session, *question)]
    if failed:
        session.error(f"failed: {', '.join(failed)}")


def answered(session: nox.Session, *command: str) -> bool:
    """Ask, and say whether it went well, so that one failure does not hide the next."""
    try:
        ask(session, *command)
    except nox.command.CommandFailed:
        return False
    return True


@nox.session
def tests(session: nox.Session) -> None:
    """Do the parts work? All deterministic tests; needs neither stock llama.cpp nor a model. Takes pytest arguments."""
    compile_kernels(session)
    ask(session, "python", "-m", "pytest", "-m", "not state", "--durations=8", *session.posargs)


@nox.session
def state(session: nox.Session) -> None:
    """Does a live server survive 60 s of Hypothesis? Allocate, compute, free, disconnect, two clients."""
    env = {"REFIMPL_STATE_SECONDS": os.environ.get("REFIMPL_STATE_SECONDS", STATE_SECONDS)}
    ask(session, "python", "-m", "pytest", "-m", "state", "-s", *session.posargs, env=env)


@nox.session
def spec(session: nox.Session) -> None:
    """Does the specification agree with itself? Data cross-checked, rendered tables fresh, its own tests."""
    ask(session, "python", "-m", "spec.check")
    ask(session, "python", "-m", "spec.render", "--check")
    ask(session, "python", "-m", "pytest", "spec")


@nox.session
def wheel(session: nox.Session) -> None:
    """Is the package whole? Build it, install it in an empty environment, look at it from outside the checkout."""
    python = workshop(session)
    dist = ROOT / "dist"
    for old in dist.glob("*.whl"):
        old.unlink()
    with stage(session, "building the wheel"):
        session.run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(dist), ".", external=True)
    (built,) = dist.glob("*.whl")
    empty = ROOT / ".nox" / "empty"
    with stage(session, "installing it in an empty environment"):
        session.run(sys.executable, "-m", "venv", "--clear", str(empty), external=True)
        session.run(str(empty / "bin" / "pip"), "install", "-qq", str(built), external=True)
    judge = ROOT / "refimpl" / "tests" / "project" / "installed.py"
    with stage(session, "looking at it from outside"), session.chdir(session.create_tmp()):
        session.run(str(empty / "bin" / "python"), "-I", str(judge), external=True)


@nox.session
def interop_quick(session: nox.Session) -> None:
    """Do we agree with stock llama.cpp on one prompt? Three minutes, and nine once for its build."""
    ask(session, "python", "-m", "conformance.interop", "--quick", *session.posargs)


@nox.session
def interop(session: nox.Session) -> None:
    """Do we agree with stock llama.cpp? Both main hosts over every kind of server, 7.0.0 and 8.0.0; tokenizers."""
    ask(session, "python", "-m", "conformance.interop", *session.posargs)


@nox.session
def current(session: nox.Session) -> None:
    """Do we agree with current llama.cpp, protocol 8.0.0? Needs root and debootstrap; exit code 2 means not run."""
    ask(session, "python", "-m", "conformance.interop.current", *session.posargs)


@nox.session
def conformance(session: nox.Session) -> None:
    """Does a server keep the protocol? Alone judges refimpl-server; takes refimpl-conformance's arguments after --."""
    if session.posargs:
        ask(session, "python", "-m", "conformance", *session.posargs)
        return
    for testee in OURS:
        ask(session, "python", "-m", "conformance", "--testee", testee, "--jobs", "2", name=testee)


@nox.session
def clients(session: nox.Session) -> None:
    """Does a client keep the protocol? Alone judges refimpl-cli and the library; takes arguments after --."""
    if session.posargs:
        ask(session, "python", "-m", "conformance", "client", *session.posargs)
        return
    for name in ("refimpl-cli-7.0.0", "refimpl-cli-8.0.0", "refimpl-client-7.0.0", "refimpl-client-8.0.0"):
        ask(session, "python", "-m", "conformance", "client", "--client", name, name=name)


@nox.session
def results(session: nox.Session) -> None:
    """Who keeps the protocol? Judge our server and stock by both versions; writes conformance/RESULTS.md and a page."""
    python, folder = workshop(session), ROOT / ".nox" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    (ROOT / "dist").mkdir(exist_ok=True)
    files = [str(folder / f"{testee}.json") for testee in (*OURS, *THEIRS)]
    for testee, file in zip((*OURS, *THEIRS), files, strict=True):
        command = (python, "-m", "conformance", "--testee", testee, "--jobs", "2", "--json", file, *session.posargs)
        with stage(session, testee), (folder / f"{testee}.txt").open("w") as said:
            session.run(*command, external=True, success_codes=[0, 1], stdout=said, stderr=subprocess.STDOUT)
    outputs = ("--markdown", "conformance/RESULTS.md", "--html", "dist/results.html")
    ask(session, "python", "-m", "conformance", "report", *files, *outputs, name="the matrix")


@nox.session
def canaries(session: nox.Session) -> None:
    """Does a kernel ever leave its memory? Random graphs between forbidden pages, 300 s; takes --seed, --seconds."""
    checked = ROOT / ".nox" / "bounds-checked"
    checked.mkdir(parents=True, exist_ok=True)
    env = {"NUMBA_BOUNDSCHECK": "1", "XDG_CACHE_HOME": str(checked)}  # machine code of its own: minutes, once
    ask(session, "python", "-m", "refimpl.tests.canaries", "--seconds", CANARY_SECONDS, *session.posargs, env=env)


@nox.session
def load(session: nox.Session) -> None:
    """Does a server stand it? 10,000 connections, texts at once, a full disk, no memory; or -- LOAD and its flags."""
    if session.posargs:
        ask(session, "python", "-m", "conformance.load", *session.posargs)
        return
    for kind in ("connections", "texts", "cache", "memory"):
        ask(session, "python", "-m", "conformance.load", kind, "--testee", OURS[0], name=kind)


@nox.session
def demo(session: nox.Session) -> None:
    """What does it look like? Fetch SmolLM2-135M, start two servers on loopback, let it speak across them."""
    ask(session, "python", "-m", "conformance.interop.demo", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """How fast are we beside stock llama.cpp? Both servers alternate under a stock main host; prints ratios."""
    python = workshop(session)
    with stage(session, "stock build and model"):
        stock = subprocess.check_output([python, "-m", "conformance.interop.stock"], text=True).strip()
        model = subprocess.check_output([python, "-m", "conformance.interop.model"], text=True).strip()
    ask(session, "refimpl-bench", "side-by-side", "--stock", stock, "-m", model, *session.posargs)


@nox.session
def upstream(session: nox.Session) -> None:
    """What does stock's own test-backend-ops say of our kernels? Takes ops: -- ROPE CPY. Half an hour for all."""
    ask(session, "python", "-m", "conformance.upstream", *session.posargs)


@nox.session
def perplexity(session: nox.Session) -> None:
    """Do numbers agree with stock's? llama-perplexity on 2,048 tokens over our server and alone, eight types."""
    ask(session, "python", "-m", "conformance.upstream.perplexity", *session.posargs)


@nox.session
def families(session: nox.Session) -> None:
    """Which families of models run over us? Small ones of random weights, and Gemma 3 270M's text."""
    ask(session, "python", "-m", "conformance.upstream.families", *session.posargs)


@nox.session
def picture(session: nox.Session) -> None:
    """What does refimpl-tui look like? Draw docs/fleet.svg over one server of ours and a stock one."""
    python = workshop(session)
    stock = subprocess.check_output([python, "-m", "conformance.interop.stock"], text=True).strip()
    servers = (f"{WORKSHOP}/bin/refimpl-server -p {{port}}", f"{stock}/ggml-rpc-server -H 127.0.0.1 -p {{port}}")
    flags = [word for server in servers for word in ("--server", server)]
    ask(session, "python", "-m", "tui.picture", "-o", "docs/fleet.svg", *flags, *session.posargs)
