"""The report for people: a line for each case that did not pass, with clause, expectation and bytes, and a table."""

import textwrap
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.judge.codec import Codec
from conformance.judge.verdict import Outcome, Report, Verdict
from conformance.judge.words import told

__all__ = ["ConsoleReport", "details"]

STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.CRASHED: "bold red",
    Verdict.HUNG: "magenta",
    Verdict.UNSUPPORTED: "cyan",
    Verdict.ERROR: "bold yellow",
}
WIDTH = 112
PIECES = 12
CONNECTIONS = 3


def details(codec: Codec, outcome: Outcome) -> Iterator[str]:
    """What was asked, what the clause says, what was expected, what came, and the last bytes of every connection."""
    case = outcome.case
    yield f"asked     {case.title}"
    yield from _wrapped(f"{case.clause.id:<9} ", f"({case.level}) {case.clause.text}")
    if outcome.expected:
        yield from _wrapped("expected  ", outcome.expected)
    for number, line in enumerate(outcome.came.splitlines()):
        yield from _wrapped("came      " if number == 0 else " " * 10, line)
    if case.upstream:
        yield f"upstream  {case.upstream}"
    names = list(outcome.record)[-CONNECTIONS:]
    if (more := len(outcome.record) - len(names)) > 0:
        yield f"({more} earlier connections left out)"
    for name in names:
        pieces = outcome.record[name]
        left_out = len(pieces) - PIECES
        yield f"on {name}:" + (f" ({left_out} earlier pieces left out)" if left_out > 0 else "")
        for piece in pieces[-PIECES:]:
            yield from (f"  {line}" for line in told(codec, piece))


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [head]


class ConsoleReport:
    """Tells each outcome as it comes; `verbose` shows those that passed too."""

    def __init__(self, console: Console, codec: Codec, verbose: bool) -> None:
        self._console = console
        self._codec = codec
        self._verbose = verbose

    def tell(self, outcome: Outcome) -> None:
        """One line, and the details of what did not pass."""
        if outcome.verdict is Verdict.PASS and not self._verbose:
            return
        line = Text(f"{outcome.verdict:<12}", STYLES[outcome.verdict])
        line.append(f"{outcome.case.level:<7}{outcome.case.id}", "bold")
        line.append(
            f"  {outcome.came or outcome.case.title}" if outcome.verdict.holds else f"  {outcome.case.title}", ""
        )
        self._print(line)
        if not outcome.verdict.holds:
            for text in details(self._codec, outcome):
                self._print(Text(f"    {text}", "dim" if text.startswith((" ", "on ")) else ""))

    def close(self, report: Report) -> None:
        """Counts by family and verdict, what was noted, and the one line that sums it up."""
        table = Table("family", "level", *(str(verdict) for verdict in Verdict), box=None, header_style="bold")
        groups = dict.fromkeys((outcome.case.family, outcome.case.level) for outcome in report.outcomes)
        for family, level in groups:
            verdicts = [o.verdict for o in report.outcomes if (o.case.family, o.case.level) == (family, level)]
            table.add_row(family, level, *(_count(verdicts.count(verdict), verdict) for verdict in Verdict))
        self._console.print(table)
        ordinary = [o for o in report.outcomes if o.case.ordinary]
        wrong = sum(o.verdict.blames for o in ordinary)
        self._print(Text(f"ordinary traffic: {len(ordinary)} cases, {wrong or 'none'} of them not kept"))
        for note in report.notes:
            self._print(Text(f"note: {note}"))
        if report.cut_short:
            self._print(Text(f"cut short: {report.cut_short}", "bold red"))
        counts = ", ".join(f"{n} {verdict}" for verdict in Verdict if (n := report.count(verdict)))
        missed = sum(outcome.violates for outcome in report.outcomes)
        self._print(
            Text(f"{report.testee}, judged by {report.version}: {len(report.outcomes)} cases: {counts}", "bold")
        )
        self._print(Text("every MUST was kept" if not missed else f"{missed} MUST not kept", "bold"))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)


def _count(count: int, verdict: Verdict) -> Text:
    return Text(str(count), STYLES[verdict]) if count else Text("-", "dim")
