"""Load a server, and see what is left of it.

    python -m conformance.load connections --testee refimpl-8.0.0 -n 10000
    python -m conformance.load texts --testee refimpl-7.0.0 --minutes 5
    python -m conformance.load cache --testee refimpl-7.0.0
    python -m conformance.load memory --testee refimpl-7.0.0 --cgroup 1500

Exit codes, as of refimpl-conformance: 0 it stood the load; 1 it did not; 2 wrong usage, or it cannot be reached, or is
not suited to this load; 3 a fault of the suite.
"""

import argparse
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import trio

from conformance.interop.current import NotRun
from conformance.interop.processes import ProcessFailed
from conformance.judge.testee import NotReached
from conformance.load import cache, connections, exhaust, texts
from conformance.load.kinds import KILLED, KINDS
from conformance.load.report import Findings
from conformance.load.testees import Wanted, running
from conformance.load.usage import MIB
from conformance.testees import known

__all__ = ["main"]

STOOD, FAILED, NOT_RUN, SUITE_FAULT = range(4)

Load = Callable[[argparse.Namespace, Findings, Path], Awaitable[None]]


async def _connections(given: argparse.Namespace, findings: Findings, folder: Path) -> None:
    plan = connections.Plan(count=given.count, seed=given.seed, allowance=given.allowance * MIB, skip=given.skip)
    async with running(_wanted(given), folder) as loaded:
        await connections.connections(loaded, plan, findings)


async def _texts(given: argparse.Namespace, findings: Findings, folder: Path) -> None:
    plan = texts.Plan(minutes=given.minutes, clients=given.clients, tokens=given.tokens, model=given.model)
    async with running(_wanted(given), folder) as loaded:
        await texts.texts(loaded, plan, findings, folder)


async def _cache(given: argparse.Namespace, findings: Findings, folder: Path) -> None:
    await cache.cache(_wanted(given), cache.Plan(model=given.model), findings, folder)


async def _memory(given: argparse.Namespace, findings: Findings, folder: Path) -> None:
    plan = exhaust.Plan(
        turns=given.turns,
        touch=given.touch,
        address_space=given.address_space and given.address_space * MIB,
        cgroup=given.cgroup and given.cgroup * MIB,
    )
    await exhaust.exhaust(_wanted(given), plan, findings, folder)


LOADS: Mapping[str, Load] = {"connections": _connections, "texts": _texts, "cache": _cache, "memory": _memory}


def _wanted(given: argparse.Namespace) -> Wanted:
    return Wanted(
        endpoint=given.endpoint, spawn=given.spawn, testee=given.testee, port=given.port, timeout=given.timeout
    )


def main() -> int:
    """Run one load; the exit code."""
    given = _parser().parse_args()
    findings = Findings(given.load, given.testee or given.spawn or str(given.endpoint))
    try:
        with tempfile.TemporaryDirectory(prefix="refimpl-load-") as folder:
            trio.run(LOADS[given.load], given, findings, Path(folder))
    except (NotReached, NotRun, ProcessFailed) as failure:
        print(f"not run: {failure}", file=sys.stderr)
        return NOT_RUN
    except Exception:
        traceback.print_exc()
        return SUITE_FAULT
    print(findings.summary())
    if given.json:
        findings.write(given.json)
    return STOOD if findings.stood else FAILED


def _parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m conformance.load", description="Load a ggml RPC server.")
    loads = root.add_subparsers(dest="load", required=True, metavar="LOAD")
    many = loads.add_parser("connections", help="connections that come and go in every way")
    _testee(many)
    many.add_argument("-n", "--count", type=int, default=10_000, help="how many (default: 10000)")
    many.add_argument("--seed", type=int, default=0, help="decides their order (default: 0)")
    many.add_argument("--allowance", type=int, default=8, metavar="MIB", help="memory that may stay (default: 8)")
    many.add_argument("--skip", action="append", default=[], choices=(*KINDS, KILLED), help="a kind to leave out")
    together = loads.add_parser("texts", help="several main hosts at once, each with a text of its own")
    _testee(together)
    _model(together)
    together.add_argument("--minutes", type=float, default=5.0, metavar="M", help="how long (default: 5)")
    most = len(texts.PROMPTS)
    together.add_argument("--clients", type=int, default=most, choices=range(2, most + 1), help=f"(default: {most})")
    together.add_argument("--tokens", type=int, default=96, metavar="N", help="of each text (default: 96)")
    kept = loads.add_parser("cache", help="a full disk and damaged files under the tensor cache")
    _testee(kept)
    _model(kept)
    _memory_flags(loads.add_parser("memory", help="buffers until no memory is left"))
    return root


def _model(flags: argparse.ArgumentParser) -> None:
    flags.add_argument("-m", "--model", type=Path, metavar="FILE", help="GGUF file (default: SmolLM2-135M, fetched)")


def _memory_flags(flags: argparse.ArgumentParser) -> None:
    _testee(flags)
    flags.add_argument("--turns", type=int, default=3, metavar="N", help="how often (default: 3)")
    flags.add_argument("--touch", action="store_true", help="fill every buffer, so that the memory is really taken")
    flags.add_argument("--address-space", type=int, metavar="MIB", help="limit the testee's address space")
    flags.add_argument("--cgroup", type=int, metavar="MIB", help="limit the testee's memory by a control group (root)")


def _testee(flags: argparse.ArgumentParser) -> None:
    which = flags.add_mutually_exclusive_group(required=True)
    which.add_argument("--spawn", metavar="CMD", help="start this command; {port} in it is filled in")
    which.add_argument("--testee", choices=tuple(known()), metavar="NAME", help=f"start one of {', '.join(known())}")
    which.add_argument(
        "--attach", dest="endpoint", type=_endpoint, metavar="HOST:PORT", help="one that listens already"
    )
    flags.add_argument("--port", type=int, default=0, help="the port of a testee that is started (default: any)")
    flags.add_argument("--timeout", type=float, default=30.0, metavar="S", help="for each step (default: 30)")
    flags.add_argument("--json", type=Path, metavar="FILE", help="write figures and faults there")


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host, int(port)


if __name__ == "__main__":
    sys.exit(main())
