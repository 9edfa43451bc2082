"""refimpl-conformance client: judge a client.

    refimpl-conformance client --spawn "refimpl-cli -m {model} -p Hello -n 4 --temp 0 -ngl 99 --rpc {endpoint}"
    refimpl-conformance client --client refimpl-cli-8.0.0

The client is started once for each thing that a server can do wrongly. It talks to a hostile server, which stands
before a right one and is right itself, but for that one thing. Exit codes are those of refimpl-conformance.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs
import trio
from rich.console import Console

from conformance.client.case import ClientCase
from conformance.client.catalogue import CASES, chosen
from conformance.client.clients import filled_in, known_clients
from conformance.client.judge import ClientJudge
from conformance.command.exits import MEANINGS, Exit, exit_code
from conformance.command.options import Outputs
from conformance.interop.current import NotRun
from conformance.interop.processes import ProcessFailed
from conformance.judge.case import LEVELS
from conformance.judge.codec import Codec
from conformance.judge.probe import version_of
from conformance.judge.testee import NotReached, Spawned
from conformance.judge.verdict import Report
from conformance.report.console import ConsoleReport
from conformance.report.document import document, write_json
from conformance.report.html.page import page
from conformance.report.junit import write_junit
from spec.load import load
from spec.schema import parse_version

__all__ = ["ClientOptions", "main", "options"]

SERVER = "{scripts}/refimpl-server -p {port}"
LIMIT_SECONDS = 20.0
HELLO_SECONDS = 5.0


@attrs.frozen(kw_only=True)
class ClientOptions:
    """The command line, checked. client: what reports call it; spawn, server: commands, not yet filled in."""

    client: str
    spawn: str
    server: str
    timeout: float
    only: tuple[str, ...]
    skip: tuple[str, ...]
    levels: tuple[str, ...]
    outputs: Outputs
    listing: bool
    verbose: bool

    @property
    def cases(self) -> tuple[ClientCase, ...]:
        """The chosen ones, of any version."""
        return chosen(self.only, self.skip, self.levels)


def main(arguments: Sequence[str] | None = None) -> None:
    """The sub-command; ends with one of the documented exit codes."""
    wanted = options(arguments)
    console = Console()
    code = Exit.NOT_REACHED
    try:
        if wanted.listing:
            _list(wanted, console)
            code = Exit.KEPT
        else:
            code = trio.run(_main, wanted, console)
    except* KeyboardInterrupt:
        _complain(console, "interrupted")
    sys.exit(code)


def options(arguments: Sequence[str] | None = None) -> ClientOptions:
    """Parse a command line; exits with 2 and the reason when it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if (given.client is None) == (given.spawn is None) and not given.list:
        parser.error("name one client: --spawn or --client")
    if given.spawn is not None and "{endpoint}" not in given.spawn:
        parser.error("--spawn needs {endpoint} where the command takes the server's host:port")
    if given.server is not None and "{port}" not in given.server:
        parser.error("--server needs {port} where the command takes the port to listen on")
    if given.timeout <= 0:
        parser.error("--timeout has to be more than 0 seconds")
    named = known_clients().get(given.client)
    return ClientOptions(
        client=given.client or given.spawn or "",
        spawn=named.spawn if named else given.spawn or "",
        server=given.server or (named.server if named else SERVER),
        timeout=given.timeout,
        only=_names(parser, given.only),
        skip=_names(parser, given.skip),
        levels=tuple(given.level or LEVELS),
        outputs=Outputs(junit=given.junit, json=given.json, html=given.html),
        listing=given.list,
        verbose=given.verbose,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refimpl-conformance client",
        description="Judge a ggml RPC client by the clauses of spec/text, with a hostile server.",
        epilog=MEANINGS,
    )
    add = parser.add_argument
    add(
        "--spawn",
        metavar="CMD",
        help="start this client for every deed; {endpoint} in it is filled in, and {model} with a small model. It has "
        "to do some work and end by itself, give the same text each time, and wait for less than --timeout",
    )
    add("--client", choices=known_clients(), metavar="NAME", help=f"one of {', '.join(known_clients())} (clients.toml)")
    add("--server", metavar="CMD", help=f"the right server behind the hostile one, {{port}} left open ({SERVER})")
    add("--timeout", type=float, default=LIMIT_SECONDS, metavar="S", help="seconds to end, from the deed on (20)")
    add("--list", action="store_true", help="list the cases and ask none")
    add("--only", action="append", metavar="ID", help="a family (HELLO), clause (HELLO-4) or case (HELLO-4/major-0)")
    add("--skip", action="append", metavar="ID", help="as --only, what to leave out; both may be repeated")
    add("--level", action="append", choices=LEVELS, help="ask only cases of this level; may be repeated")
    add("-v", "--verbose", action="store_true", help="show the cases that pass too")
    add("--junit", type=Path, metavar="FILE", help="write a JUnit XML report")
    add("--json", type=Path, metavar="FILE", help="write everything as JSON, for the `report` command and for programs")
    add("--html", type=Path, metavar="FILE", help="write one self-contained page")
    return parser


def _names(parser: argparse.ArgumentParser, given: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(name for text in given or () for name in text.split(","))
    for name in names:
        if not chosen((name,), (), LEVELS):
            parser.error(f"no case is called {name} or begins so; --list shows them")
    return names


def _list(wanted: ClientOptions, console: Console) -> None:
    for case in wanted.cases:
        mark = "ordinary" if case.ordinary else ""
        line = f"{case.level:<7}{case.id:<52}{mark:<10}{case.title}"
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    console.print(f"{len(wanted.cases)} of {len(CASES)} cases", highlight=False)


def _complain(console: Console, text: str) -> None:
    console.print(text, style="bold red", markup=False, highlight=False, soft_wrap=True)


async def _main(wanted: ClientOptions, console: Console) -> Exit:
    try:
        with tempfile.TemporaryDirectory(prefix="refimpl-conformance-") as folder:
            return exit_code(await _judged(wanted, Path(folder), console))
    except (NotReached, NotRun, ProcessFailed) as failure:
        _complain(console, f"not reached: {failure}")
        return Exit.NOT_REACHED
    except Exception:
        console.print_exception()
        return Exit.SUITE_FAULT


async def _judged(wanted: ClientOptions, folder: Path, console: Console) -> Report:
    """Start the right server, run the client through the cases, show and write the report; raises NotReached."""
    spawn, server = await filled_in(wanted.spawn, folder), await filled_in(wanted.server, folder)
    began, begin = datetime.now(UTC), trio.current_time()
    async with Spawned(server, folder / "log", Codec(load().dialect(load().newest))) as right:
        right.name = wanted.server
        codec = await _codec(right)
        judge = ClientJudge(wanted.client, spawn, right, codec, wanted.timeout)
        await judge.look()
        shown = ConsoleReport(console, codec, wanted.verbose)
        report = await judge.run([case for case in wanted.cases if case.holds(codec.dialect.version)], shown.tell)
    seconds = trio.current_time() - begin
    report = attrs.evolve(report, began=began.isoformat(timespec="seconds"), seconds=seconds)
    shown.close(report)
    _write(report, codec, wanted.outputs)
    return report


async def _codec(right: Spawned) -> Codec:
    """By the version of the right server: it is the one that the client speaks with it."""
    said = await version_of(right.dial, Codec(load().dialect(load().newest)), HELLO_SECONDS)
    for version in load().versions:
        if said is not None and parse_version(version)[0] == said[0]:
            return Codec(load().dialect(version))
    raise NotReached(f"the right server, {right.name}, says {said}; known versions: {', '.join(load().versions)}")


def _write(report: Report, codec: Codec, outputs: Outputs) -> None:
    if outputs.junit is not None:
        write_junit(report, codec, outputs.junit)
    if outputs.json is not None:
        write_json(document(report, codec), outputs.json)
    if outputs.html is not None:
        outputs.html.write_text(page([document(report, codec)]), "utf-8")
