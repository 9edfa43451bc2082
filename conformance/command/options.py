"""The command line of refimpl-conformance, and what it means when it is right."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import attrs

from conformance.cases.catalogue import CASES, chosen
from conformance.command.exits import MEANINGS
from conformance.command.expectations import BadExpectations, Expectations, read_expectations
from conformance.fuzz.campaign import FOLDER
from conformance.judge.case import LEVELS
from conformance.testees import known
from spec.load import load

__all__ = ["Options", "Outputs", "options"]

DESCRIPTION = """\
Judge a ggml RPC server by the clauses of spec/text. After every case the testee has to be the same process and to serve
a fresh session, a bystander's session has to have its bytes and results, and memory and descriptors have to be back.

  refimpl-conformance client ...           judges a client: refimpl-conformance client --help
  refimpl-conformance report A.json ...    merges results into a matrix: refimpl-conformance report --help
"""


@attrs.frozen(kw_only=True)
class Outputs:
    """Files to write; None: not that one."""

    junit: Path | None = None
    json: Path | None = None
    html: Path | None = None


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
    expected: Expectations
    jobs: int
    seed: int | None
    fuzz_seconds: float
    findings: Path
    replay: Path | None
    outputs: Outputs
    listing: bool
    verbose: bool
    own_host: bool


def options(arguments: Sequence[str] | None = None) -> Options:
    """Parse a command line; exits with 2 and the reason when it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if wrong := _wrong(given):
        parser.error(wrong)
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
        expected=_expected(parser, given.expect_fail),
        jobs=given.jobs,
        seed=given.seed,
        fuzz_seconds=given.time,
        findings=given.findings,
        replay=given.replay,
        outputs=Outputs(junit=given.junit, json=given.json, html=given.html),
        listing=given.list,
        verbose=given.verbose,
        own_host=given.i_own_this_host,
    )


def _wrong(given: argparse.Namespace) -> str:
    """What is wrong about the arguments as a whole; empty when nothing is."""
    named = [name for name in (given.endpoint, given.spawn, given.testee) if name is not None]
    if len(named) > 1 or not (named or given.list):
        return "name one testee: HOST:PORT, --spawn or --testee"
    if given.testee is not None and given.testee not in known():
        return f"no testee {given.testee}; known: {', '.join(known())}"
    if given.spawn is not None and "{port}" not in given.spawn:
        return "--spawn needs {port} where the command takes the port to listen on"
    if given.timeout <= 0:
        return "--timeout has to be more than 0 seconds"
    if given.time < 0:
        return "--time is not less than 0 seconds"
    return _wrong_jobs(given)


def _wrong_jobs(given: argparse.Namespace) -> str:
    if given.jobs < 1:
        return "--jobs is at least 1"
    if given.jobs > 1 and given.endpoint is not None:
        return "--jobs needs a process for each job, and HOST:PORT is one: use --spawn or --testee"
    if given.jobs > 1 and given.port:
        return "--jobs takes a free port for each job, so --port has no meaning"
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refimpl-conformance",
        description=DESCRIPTION,
        epilog=MEANINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_testee(parser.add_argument_group("who is judged"))
    _add_cases(parser.add_argument_group("what is asked"))
    _add_fuzzing(parser.add_argument_group("fuzzing"))
    _add_reports(parser.add_argument_group("what comes out"))
    return parser


def _add_testee(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("endpoint", nargs="?", metavar="HOST:PORT", help="a server that listens already")
    add(
        "--spawn",
        metavar="CMD",
        help="start this command, watch it, start it again when it dies; {port} in it is filled in, and {cache} with "
        "an empty folder",
    )
    add("--testee", metavar="NAME", help=f"start one of {', '.join(known())} (testees.toml)")
    add("--jobs", type=int, default=1, metavar="N", help="start so many of it, which share the cases out (default: 1)")
    add("--port", type=int, default=0, help="the port of a testee that is started (default: any free one)")
    add("--proto", choices=load().versions, help="judge by this version (default: the one that the testee says)")
    add("--timeout", type=float, default=5.0, metavar="S", help="seconds to wait for each reply or end (default: 5)")
    add(
        "--i-own-this-host",
        action="store_true",
        help="judge a host that is not this machine: cases may crash its server",
    )


def _add_cases(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--list", action="store_true", help="list the cases and ask none")
    add("--only", action="append", metavar="ID", help="a family (HELLO), clause (HELLO-2) or case (HELLO-2/empty)")
    add("--skip", action="append", metavar="ID", help="as --only, what to leave out; both may be repeated")
    add("--level", action="append", choices=LEVELS, help="ask only cases of this level; may be repeated")
    add(
        "--seed",
        type=int,
        metavar="N",
        help="ask in an order drawn from N, and fuzz by it (default: the order of the prose, and a seed that is told)",
    )
    add(
        "--expect-fail",
        type=Path,
        metavar="FILE",
        help="cases that are expected to fail, one id a line, `= crashed pass` behind it for the verdicts that may "
        "come: they do not make the exit code 1, and those that pass do",
    )


def _add_fuzzing(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--time", type=float, default=0.0, metavar="S", help="seconds of fuzzing after the cases (default: 0, none)")
    add(
        "--findings",
        type=Path,
        default=FOLDER,
        metavar="FOLDER",
        help=f"where a fuzzed failure is written in its smallest form (default: {FOLDER})",
    )
    add("--replay", type=Path, metavar="FILE", help="ask what such a file says, instead of the cases")


def _add_reports(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-v", "--verbose", action="store_true", help="show the cases that pass too")
    add("--junit", type=Path, metavar="FILE", help="write a JUnit XML report")
    add("--json", type=Path, metavar="FILE", help="write everything as JSON, for the `report` command and for programs")
    add("--html", type=Path, metavar="FILE", help="write one self-contained page")


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


def _expected(parser: argparse.ArgumentParser, path: Path | None) -> Expectations:
    try:
        return read_expectations(path, CASES) if path is not None else {}
    except BadExpectations as bad:
        parser.error(f"--expect-fail: {bad}")
