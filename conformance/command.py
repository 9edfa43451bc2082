"""refimpl-conformance: judge a server.

    refimpl-conformance HOST:PORT
    refimpl-conformance --spawn "ggml-rpc-server -p {port}"
    refimpl-conformance --testee refimpl-7.0.0

Exit codes: 0 every MUST was kept; 1 some were not; 2 wrong usage, or the testee cannot be reached (any more); 3 a fault
of the suite itself.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

import attrs
import trio
from rich.console import Console

from conformance.cases.catalogue import CASES, chosen
from conformance.interop.current import NotRun
from conformance.interop.processes import ProcessFailed
from conformance.judge.case import LEVELS, Case
from conformance.judge.codec import Codec
from conformance.judge.probe import version_of
from conformance.judge.run import Judge
from conformance.judge.steps import Mismatch
from conformance.judge.testee import Attached, NotReached, Spawned, Testee, is_loopback
from conformance.judge.verdict import Report, Verdict
from conformance.report.console import ConsoleReport
from conformance.report.junit import write_junit
from conformance.testees import command_of, known
from spec.load import load
from spec.schema import parse_version

__all__ = ["Exit", "Options", "exit_code", "main", "options"]

EPILOG = "exit codes: 0 every MUST was kept; 1 some were not; 2 usage, or not reached; 3 a fault of the suite"


class Exit(IntEnum):
    """What the process says in the end."""

    KEPT = 0
    VIOLATED = 1
    NOT_REACHED = 2
    SUITE_FAULT = 3


@attrs.frozen(kw_only=True)
class Options:
    """The command line, checked."""

    endpoint: tuple[str, int] | None
    spawn: str | None
    testee: str | None
    port: int
    proto: str | None
    timeout: float
    only: tuple[str, ...]
    skip: tuple[str, ...]
    levels: tuple[str, ...]
    junit: Path | None
    listing: bool
    verbose: bool
    own_host: bool


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script; ends with one of the documented exit codes."""
    chosen_options = options(arguments)
    console = Console()
    try:
        sys.exit(trio.run(_main, chosen_options, console))
    except KeyboardInterrupt:
        sys.exit(Exit.NOT_REACHED)


def options(arguments: Sequence[str] | None = None) -> Options:
    """Parse a command line; exits with 2 and the reason when it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    named = [name for name in (given.endpoint, given.spawn, given.testee) if name is not None]
    if len(named) > 1 or not (named or given.list):
        parser.error("name one testee: HOST:PORT, --spawn or --testee")
    if given.testee is not None and given.testee not in known():
        parser.error(f"no testee {given.testee}; known: {', '.join(known())}")
    if given.spawn is not None and "{port}" not in given.spawn:
        parser.error("--spawn needs {port} where the command takes the port to listen on")
    if given.timeout <= 0:
        parser.error("--timeout has to be more than 0 seconds")
    return Options(
        endpoint=_endpoint(parser, given.endpoint) if given.endpoint else None,
        spawn=given.spawn,
        testee=given.testee,
        port=given.port,
        proto=given.proto,
        timeout=given.timeout,
        only=_names(parser, given.only),
        skip=_names(parser, given.skip),
        levels=tuple(given.level or LEVELS),
        junit=given.junit,
        listing=given.list,
        verbose=given.verbose,
        own_host=given.i_own_this_host,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refimpl-conformance",
        description="Judge a ggml RPC server by the clauses of spec/text.",
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("endpoint", nargs="?", metavar="HOST:PORT", help="a server that listens already")
    add(
        "--spawn",
        metavar="CMD",
        help="start this command, watch it, start it again when it dies; {port} in it is filled in",
    )
    add("--testee", metavar="NAME", help=f"start one of {', '.join(known())} (testees.toml)")
    add("--port", type=int, default=0, help="the port of a testee that is started (default: any free one)")
    add("--proto", choices=load().versions, help="judge by this version (default: the one that the testee says)")
    add("--timeout", type=float, default=5.0, metavar="S", help="seconds to wait for each reply or end (default: 5)")
    add("--only", action="append", metavar="ID", help="a family (HELLO), clause (HELLO-2) or case (HELLO-2/empty)")
    add("--skip", action="append", metavar="ID", help="as --only, what to leave out; both may be repeated")
    add("--level", action="append", choices=LEVELS, help="ask only cases of this level; may be repeated")
    add("--junit", type=Path, metavar="FILE", help="write a JUnit XML report")
    add("--list", action="store_true", help="list the cases and ask none")
    add("-v", "--verbose", action="store_true", help="show the cases that pass too")
    add(
        "--i-own-this-host",
        action="store_true",
        help="judge a host that is not this machine: cases may crash its server",
    )
    return parser


def _endpoint(parser: argparse.ArgumentParser, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        parser.error(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _names(parser: argparse.ArgumentParser, given: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(name for text in given or () for name in text.split(","))
    for name in names:
        if not chosen((name,), (), LEVELS):
            parser.error(f"no case is called {name} or begins so; --list shows them")
    return names


async def _main(wanted: Options, console: Console) -> Exit:
    try:
        if wanted.listing:
            _list(wanted, console)
            return Exit.KEPT
        if wanted.endpoint is not None:
            return await _attached(wanted, wanted.endpoint, console)
        return await _spawned(wanted, console)
    except (NotReached, NotRun, ProcessFailed) as failure:
        console.print(f"not reached: {failure}", style="bold red", markup=False, highlight=False)
        return Exit.NOT_REACHED
    except Exception:
        console.print_exception()
        return Exit.SUITE_FAULT


def _cases(wanted: Options, version: str | None) -> tuple[Case, ...]:
    cases = chosen(wanted.only, wanted.skip, wanted.levels)
    return tuple(case for case in cases if version is None or case.holds(parse_version(version)))


def _list(wanted: Options, console: Console) -> None:
    cases = _cases(wanted, wanted.proto)
    for case in cases:
        mark = "ordinary" if case.ordinary else ""
        console.print(
            f"{case.level:<7}{case.id:<52}{mark:<10}{case.title}", soft_wrap=True, markup=False, highlight=False
        )
    console.print(f"{len(cases)} of {len(CASES)} cases", highlight=False)


async def _attached(wanted: Options, endpoint: tuple[str, int], console: Console) -> Exit:
    host, port = endpoint
    if not wanted.own_host and not is_loopback(host, port):
        raise NotReached(
            f"{host} is not this machine; cases may crash its server: --i-own-this-host says that it is yours"
        )
    return await _judge(Attached(host, port), wanted, wanted.proto, console)


async def _spawned(wanted: Options, console: Console) -> Exit:
    entry = known()[wanted.testee] if wanted.testee is not None else None
    command = await command_of(entry) if entry is not None else wanted.spawn or ""
    proto = wanted.proto or (entry.proto if entry is not None else None)
    with tempfile.TemporaryDirectory(prefix="refimpl-conformance-") as folder:
        async with Spawned(command, Path(folder) / "log", _greeter(proto), wanted.port) as testee:
            testee.name = wanted.testee or command
            return await _judge(testee, wanted, proto, console)


def _greeter(proto: str | None) -> Codec:
    """A codec that can greet: HELLO is the same in all described versions."""
    return Codec(load().dialect(proto or load().newest))


async def _judge(testee: Testee, wanted: Options, proto: str | None, console: Console) -> Exit:
    codec = await _codec(testee, proto, wanted.timeout)
    shown = ConsoleReport(console, codec, wanted.verbose)
    judge = Judge(testee, codec, wanted.timeout)
    try:
        await judge.look()
    except (Mismatch, OSError) as wrong:
        ending = await testee.death(wanted.timeout)
        raise NotReached(
            f"{testee.name} does not serve an ordinary session: {wrong}; {ending or 'it lives'}"
        ) from wrong
    report = await judge.run(_cases(wanted, codec.dialect.name), shown.tell)
    shown.close(report)
    if wanted.junit is not None:
        write_junit(report, codec, wanted.junit)
    return exit_code(report)


async def _codec(testee: Testee, proto: str | None, timeout: float) -> Codec:
    """By which version to judge: the one asked for, unless the testee says another major; else the testee's."""
    try:
        said = await version_of(testee.dial, _greeter(proto), timeout)
    except OSError as refused:
        raise NotReached(f"{testee.name}: {refused}") from refused
    spec = load()
    by_major = {parse_version(version)[0]: version for version in spec.versions}
    if proto is None:
        if said is None or said[0] not in by_major:
            what = "does not answer HELLO" if said is None else f"says {'.'.join(map(str, said))}"
            raise NotReached(f"{testee.name} {what}; known versions: {', '.join(spec.versions)} (--proto)")
        return Codec(spec.dialect(by_major[said[0]]))
    if said is not None and said[0] != parse_version(proto)[0]:
        raise NotReached(f"{testee.name} says {'.'.join(map(str, said))}, and was to be judged by {proto}")
    return Codec(spec.dialect(proto))


def exit_code(report: Report) -> Exit:
    """A fault of the suite outweighs violations, and those outweigh that the testee was lost on the way."""
    if report.count(Verdict.ERROR):
        return Exit.SUITE_FAULT
    if any(outcome.violates for outcome in report.outcomes):
        return Exit.VIOLATED
    return Exit.NOT_REACHED if report.cut_short else Exit.KEPT
