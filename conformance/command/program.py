"""refimpl-conformance: judge a server.

    refimpl-conformance HOST:PORT
    refimpl-conformance --spawn "ggml-rpc-server -p {port}"
    refimpl-conformance --testee refimpl-7.0.0 --jobs 2 --json refimpl.json
    refimpl-conformance report refimpl.json stock.json --html results.html

Exit codes: 0 every MUST was kept; 1 some were not, or what was expected to fail has passed; 2 wrong usage, or the
testee cannot be reached (any more); 3 a fault of the suite itself.
"""

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import attrs
import trio
from rich.console import Console

from conformance.cases.catalogue import CASES
from conformance.command import merging
from conformance.command.exits import Exit, Unusable, exit_code
from conformance.command.expectations import foreseen
from conformance.command.judging import asked, cases_of, fuzzed, replayed
from conformance.command.launching import judges
from conformance.command.options import Options, Outputs, options
from conformance.interop.current import NotRun
from conformance.interop.processes import ProcessFailed
from conformance.judge.codec import Codec
from conformance.judge.run import Judge
from conformance.judge.testee import NotReached
from conformance.judge.verdict import Outcome, Report
from conformance.report.console import ConsoleReport
from conformance.report.document import document, write_json
from conformance.report.html.page import page
from conformance.report.junit import write_junit

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script; ends with one of the documented exit codes."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["report"]:
        sys.exit(merging.main(words[1:]))
    if words[:1] == ["client"]:
        from conformance.client import command as client

        client.main(words[1:])
        return
    wanted = options(words)
    console = Console()
    code = Exit.NOT_REACHED
    try:
        code = trio.run(_main, wanted, console)
    except* KeyboardInterrupt:
        _complain(console, "interrupted")
    sys.exit(code)


async def _main(wanted: Options, console: Console) -> Exit:
    try:
        if wanted.listing:
            _list(wanted, console)
            return Exit.KEPT
        async with judges(wanted) as found:
            return await _judged(found, wanted, console)
    except (NotReached, NotRun, ProcessFailed) as failure:
        _complain(console, f"not reached: {failure}")
        return Exit.NOT_REACHED
    except Unusable as reason:
        _complain(console, f"cannot be done: {reason}")
        return Exit.NOT_REACHED
    except Exception:
        console.print_exception()
        return Exit.SUITE_FAULT


def _complain(console: Console, text: str) -> None:
    console.print(text, style="bold red", markup=False, highlight=False, soft_wrap=True)


def _list(wanted: Options, console: Console) -> None:
    cases = cases_of(wanted, wanted.proto)
    for case in cases:
        mark = "ordinary" if case.ordinary else ""
        console.print(
            f"{case.level:<7}{case.id:<52}{mark:<10}{case.title}", soft_wrap=True, markup=False, highlight=False
        )
    console.print(f"{len(cases)} of {len(CASES)} cases", highlight=False)


async def _judged(found: tuple[Judge, ...], wanted: Options, console: Console) -> Exit:
    codec = found[0].codec
    shown = ConsoleReport(console, codec, wanted.verbose)
    began, begin = datetime.now(UTC), trio.current_time()
    report = await _report(found, wanted, lambda outcome: shown.tell(foreseen(outcome, wanted.expected)))
    report = attrs.evolve(
        report,
        outcomes=tuple(foreseen(outcome, wanted.expected) for outcome in report.outcomes),
        seed=wanted.seed,
        began=began.isoformat(timespec="seconds"),
        seconds=trio.current_time() - begin,
    )
    shown.close(report)
    _write(report, codec, wanted.outputs)
    return exit_code(report)


async def _report(found: tuple[Judge, ...], wanted: Options, tell: Callable[[Outcome], None]) -> Report:
    if wanted.replay is not None:
        return await replayed(found[0], wanted.replay, tell)
    report = await asked(found, cases_of(wanted, found[0].codec.dialect.name), tell)
    if wanted.fuzz_seconds and not report.cut_short:
        report = await fuzzed(found[0], wanted, report, tell)
    return report


def _write(report: Report, codec: Codec, outputs: Outputs) -> None:
    if outputs.junit is not None:
        write_junit(report, codec, outputs.junit)
    if outputs.json is not None:
        write_json(document(report, codec), outputs.json)
    if outputs.html is not None:
        outputs.html.write_text(page([document(report, codec)]), "utf-8")
