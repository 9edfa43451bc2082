"""The report for people: a line for each case that did not pass, with clause, expectation and bytes, and a table."""

import textwrap
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.judge.codec import Codec
from conformance.judge.verdict import Outcome, Report, Verdict
from conformance.report.evidence import last_words, said

__all__ = ["ConsoleReport", "details"]

STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.CRASHED: "bold red",
    Verdict.HUNG: "magenta",
    Verdict.LEAKED: "bold blue",
    Verdict.UNSUPPORTED: "cyan",
    Verdict.ERROR: "bold yellow",
}
WIDTH = 112


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
    yield from last_words({name: said(codec, outcome, name) for name in outcome.record})


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head)) or [head]


class ConsoleReport:
    """Tells each outcome as it comes; `verbose` shows those that passed too."""

    def __init__(self, console: Console, codec: Codec, verbose: bool) -> None:
        self._console = console
        self._codec = codec
        self._verbose = verbose

    def tell(self, outcome: Outcome) -> None:
        """One line, and the details of what did not pass; those of an expected failure only when verbose."""
        if outcome.verdict is Verdict.PASS and not (self._verbose or outcome.surprises):
            return
        line = Text(f"{outcome.verdict:<12}", STYLES[outcome.verdict])
        line.append(f"{outcome.case.level:<7}{outcome.case.id}", "bold")
        line.append(f"  {_comment(outcome)}", "")
        self._print(line)
        if outcome.verdict.holds or (outcome.excused and not self._verbose):
            return
        for text in details(self._codec, outcome):
            self._print(Text(f"    {text}", "dim" if text.startswith((" ", "on ")) else ""))

    def close(self, report: Report) -> None:
        """Counts by family and verdict, what was noted, and the one line that sums it up."""
        self._table(report)
        ordinary = [o for o in report.outcomes if o.case.ordinary]
        wrong = sum(o.verdict.blames for o in ordinary)
        self._print(Text(f"ordinary traffic: {len(ordinary)} cases, {wrong or 'none'} of them not kept"))
        if report.seed is not None:
            self._print(Text(f"note: in the order of --seed {report.seed}"))
        for note in report.notes:
            self._print(Text(f"note: {note}"))
        if report.cut_short:
            self._print(Text(f"cut short: {report.cut_short}", "bold red"))
        counts = ", ".join(f"{n} {verdict}" for verdict in Verdict if (n := report.count(verdict)))
        self._print(
            Text(f"{report.testee}, judged by {report.version}: {len(report.outcomes)} cases: {counts}", "bold")
        )
        self._sum_up(report)

    def _table(self, report: Report) -> None:
        table = Table("family", "level", *(str(verdict) for verdict in Verdict), box=None, header_style="bold")
        groups = dict.fromkeys((outcome.case.family, outcome.case.level) for outcome in report.outcomes)
        for family, level in groups:
            verdicts = [o.verdict for o in report.outcomes if (o.case.family, o.case.level) == (family, level)]
            table.add_row(family, level, *(_count(verdicts.count(verdict), verdict) for verdict in Verdict))
        self._console.print(table)

    def _sum_up(self, report: Report) -> None:
        missed = [outcome for outcome in report.outcomes if outcome.violates]
        excused = sum(outcome.excused for outcome in missed)
        surprises = [outcome.case.id for outcome in report.outcomes if outcome.surprises]
        if surprises:
            self._print(Text(f"expected to fail, and passed: {', '.join(surprises)}", "bold red"))
        expected = f", {excused} of them as expected" if excused else ""
        self._print(Text(f"{len(missed)} MUST not kept{expected}" if missed else "every MUST was kept", "bold"))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)


def _comment(outcome: Outcome) -> str:
    """What stands behind the id: what came, where the verdict is no failure that is told at length; else the title."""
    if outcome.surprises:
        return f"expected: {', '.join(outcome.foreseen)}"
    if outcome.verdict.blames and outcome.foreseen and not outcome.excused:
        return f"{outcome.case.title} (expected: {', '.join(outcome.foreseen)})"
    if outcome.excused:
        return f"{outcome.case.title} (as expected)"
    return (outcome.came or outcome.case.title) if outcome.verdict.holds else outcome.case.title


def _count(count: int, verdict: Verdict) -> Text:
    return Text(str(count), STYLES[verdict]) if count else Text("-", "dim")
