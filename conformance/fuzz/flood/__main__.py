"""The command line of a flood.

    python -m conformance.fuzz.flood --testee refimpl-7.0.0 --messages 1000000 --seed 1
    python -m conformance.fuzz.flood --spawn "ggml-rpc-server -p {port}" --time 60
    python -m conformance.fuzz.flood --testee refimpl-7.0.0 --seed 1 --index 4711      # one session again, alone

Exit codes: 0 nothing was wrong; 1 something was; 2 wrong usage, or the testee cannot be reached.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from conformance.fuzz.flood.run import Flood
from conformance.fuzz.flood.single import Found, Plan, alone
from conformance.interop.current import NotRun
from conformance.interop.processes import ProcessFailed
from conformance.judge.codec import Codec
from conformance.judge.steps import Mismatch
from conformance.judge.testee import Attached, NotReached, Spawned, is_loopback
from conformance.judge.watch.processes import Usage
from conformance.testees import command_of, known
from spec.load import load

__all__ = ["main"]

FOUND, UNREACHED = 1, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Ends with an exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if sum(each is not None for each in (given.endpoint, given.spawn, given.testee)) != 1:
        parser.error("name one testee: HOST:PORT, --spawn or --testee")
    if given.testee is not None and given.testee not in known():
        parser.error(f"no testee {given.testee}; known: {', '.join(known())}")
    if given.endpoint is not None and not given.endpoint.rpartition(":")[2].isdigit():
        parser.error(f"{given.endpoint!r} is not HOST:PORT")
    if given.spawn is not None and "{port}" not in given.spawn:
        parser.error("--spawn needs {port} where the command takes the port to listen on")
    try:
        sys.exit(FOUND if trio.run(_main, given) else 0)
    except (NotReached, NotRun, ProcessFailed, Mismatch, OSError) as failure:
        print(f"not reached: {failure}", file=sys.stderr)
        sys.exit(UNREACHED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m conformance.fuzz.flood", description="Fuzz a ggml RPC server in bulk."
    )
    add = parser.add_argument
    add("endpoint", nargs="?", metavar="HOST:PORT", help="a server that listens already, on this machine")
    add("--spawn", metavar="CMD", help="start this command and watch it; {port} in it is filled in")
    add("--testee", metavar="NAME", help=f"start one of {', '.join(known())} (testees.toml)")
    add("--proto", choices=load().versions, help="its version (default: the testee's, else the newest)")
    add("--messages", type=int, default=100_000, metavar="N", help="how many (default: 100000)")
    add("--time", type=float, default=math.inf, metavar="S", help="or how many seconds, whatever comes first")
    add("--seed", type=int, default=0, help="what everything is drawn from (default: 0)")
    add(
        "--connections", type=int, default=8, metavar="K", help="how many at once, where it serves several (default: 8)"
    )
    add("--index", type=int, metavar="I", help="play only this session of the seed, alone")
    add("--first", type=int, default=0, metavar="I", help="number of the first session (default: 0)")
    add("--out", type=Path, default=Path("fuzz-findings"), metavar="FOLDER", help="where findings are written")
    return parser


async def _main(given: argparse.Namespace) -> bool:
    entry = known()[given.testee] if given.testee is not None else None
    codec = Codec(load().dialect(given.proto or (entry.proto if entry is not None else load().newest)))
    if given.endpoint is not None:
        host, _, port = given.endpoint.rpartition(":")
        if not is_loopback(host, int(port)):
            raise NotReached(f"{host} is not this machine")
        return await _run(Attached(host, int(port)), codec, given)
    command = await command_of(entry) if entry is not None else given.spawn
    with tempfile.TemporaryDirectory(prefix="refimpl-flood-") as folder:
        async with Spawned(command, Path(folder) / "log", codec) as testee:
            return await _run(testee, codec, given)


async def _run(testee: Attached | Spawned, codec: Codec, given: argparse.Namespace) -> bool:
    plan = Plan(
        messages=given.messages,
        seconds=given.time,
        seed=given.seed,
        connections=given.connections,
        folder=given.out,
        first=given.first,
    )
    flood = Flood(testee, codec, plan, testee.look, lambda line: print(line, flush=True))
    found = await (alone(testee, codec, plan, given.index) if given.index is not None else flood.run())
    print("\n".join(_figures(flood, found)))
    return found is not None


def _figures(flood: Flood, found: Found | None) -> list[str]:
    lines = list(flood.tally.lines()) if flood.tally.messages else []
    if found is not None:
        where = "no single session does it again" if found.index is None else f"session {found.index}: {found.path}"
        lines.append(f"found: {found.finding}\n  {where}")
    if flood.usages:
        first, last = flood.level or flood.usages[0], flood.usages[-1]
        most = Usage(max(u.memory for u in flood.usages), max(u.descriptors for u in flood.usages))
        names = (("after the warm-up", first), ("most", most), ("in the end", last))
        lines.append("; ".join(f"{name}: {Flood.held(usage)}" for name, usage in names))
    rate = flood.tally.messages / max(flood.seconds, 1e-9)
    verdict = "something is wrong" if found is not None else "no crash, no hang, no wrong answer, no leak"
    lines.append(f"{verdict}: {flood.tally.summary()}; {flood.seconds:.0f} s, {rate:.0f} a second")
    return lines


if __name__ == "__main__":
    main()
