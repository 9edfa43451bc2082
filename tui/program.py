"""refimpl-tui: watch the nodes of a fleet, over the protocol that they speak anyway.

A node is asked for its version, its devices and their memory, and for nothing else. A stock node serves one client at a
time: it is visited briefly and seldom, and looks busy while somebody else is attached (feed/watch.py has the rules).

    refimpl-tui A:50052 B:50052                 the live table
    refimpl-tui --once [--json] A:50052 ...     one snapshot on standard output

Exit codes: 0; with --once 1 if a node has not answered; 1 for a fault of this program; 2 for a flag or an endpoint that
cannot be used.
"""

import argparse
import curses
import datetime
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

import attrs
import trio

from refimpl.errors import UsageError
from refimpl.service.client import parse_endpoint
from refimpl.service.transport import endpoint_text
from tui.feed.thread import known_dialects
from tui.feed.watch import Terms
from tui.model.snapshot import as_text, as_values
from tui.once import look_once

__all__ = ["Options", "main", "parse"]

PROGRAM = "refimpl-tui"
UNANSWERED = 1
FAULT = 1
MISUSED = 2
LEAST_INTERVAL = 0.1
LEAST_TIMEOUT = 0.1
FEW_COLOURS = 8


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see --help)")


@attrs.frozen
class Options:
    """The command line, checked."""

    endpoints: tuple[str, ...]
    """host:port, each once"""
    interval: float
    timeout: float
    once: bool
    json: bool


def _version() -> str:
    try:
        return metadata.version("ggml-rpc-refimpl")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Watch ggml RPC nodes: version, devices, memory, round trip. A stock node serves one client at a "
        "time: it is asked briefly and seldom, and looks busy while another client is attached.",
        allow_abbrev=False,
    )
    known = ", ".join(dialect.name for dialect in known_dialects())
    add = parser.add_argument
    add("nodes", nargs="+", metavar="HOST:PORT", help="nodes, refimpl-server or ggml-rpc-server (port: 50052)")
    add("-i", "--interval", type=float, default=2.0, metavar="S", help="seconds between questions (default: 2)")
    add("--timeout", type=float, default=5.0, metavar="S", help="to connect; with --once for everything (default: 5)")
    add("--once", action="store_true", help="print one snapshot and exit: 0 if all nodes answered, else 1")
    add("--json", action="store_true", help="with --once: as JSON")
    add("--version", action="version", version=f"{PROGRAM} {_version()} (protocols {known})", help="show the version")
    return parser


def parse(argv: Sequence[str]) -> Options:
    """The options of a command line; raises UsageError for what cannot be used."""
    given = _parser().parse_args(argv)
    if not (math.isfinite(given.interval) and given.interval >= LEAST_INTERVAL):
        raise UsageError(f"--interval {given.interval:g}: at least {LEAST_INTERVAL:g} seconds")
    if not (math.isfinite(given.timeout) and given.timeout >= LEAST_TIMEOUT):
        raise UsageError(f"--timeout {given.timeout:g}: at least {LEAST_TIMEOUT:g} seconds")
    if given.json and not given.once:
        raise UsageError("--json goes with --once")
    endpoints = tuple(dict.fromkeys(endpoint_text(*parse_endpoint(text)) for text in given.nodes))
    return Options(endpoints, given.interval, given.timeout, given.once, given.json)


def _once(options: Options) -> int:
    terms = Terms(lambda event: None, known_dialects(), time.monotonic, options.timeout)
    fleet = trio.run(look_once, options.endpoints, terms, options.timeout)
    now = time.monotonic()
    if options.json:
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        print(json.dumps(as_values(fleet, now, stamp), indent=2))
    else:
        print(as_text(fleet, now))
    return 0 if fleet.all_answer(now) else UNANSWERED


def _live(options: Options) -> int:
    # Imported only here: --once needs no screen.
    from tui.app import FleetApp

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("the live table needs a terminal as standard input and standard error; --once needs none")
    if not _has_colours():
        os.environ["NO_COLOR"] = "1"
    app = FleetApp(options.endpoints, options.interval, options.timeout)
    app.run()
    if app.fault is not None:
        print(f"{PROGRAM}: the feed failed; this is a fault of this program:\n{app.fault}", file=sys.stderr)
        return FAULT
    return app.return_code or 0


def _has_colours() -> bool:
    """Whether the terminal can show more than black and white; true where nobody knows the terminal."""
    try:
        curses.setupterm()
    except curses.error:
        return True
    return curses.tigetnum("colors") >= FEW_COLOURS


def main(argv: list[str] | None = None) -> int:
    """Run the program; the exit code."""
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        return _once(options) if options.once else _live(options)
    except UsageError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return MISUSED
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
