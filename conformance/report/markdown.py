"""The report for the repository: totals by level, kept by family, and a line for each failure, as Markdown."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from conformance.judge.case import LEVELS
from conformance.judge.verdict import Verdict
from conformance.report.document import Document, Entry
from conformance.report.matrix import Matrix, matrix, one_line

__all__ = ["markdown"]

HEADING = """\
# Who keeps the protocol

Made by `nox -s results`; not to be edited. Every testee is asked the cases of its version, in the order of
`spec/text/`. Beside `pass` and `fail`, a case can end as `crashed` (the process is gone), `hung` (nothing came in
time), `leaked` (memory or descriptors stay, more each time it is asked), `unsupported` (the testee does not have what
the case asks about) or `error` (a fault of the suite).
"""


def markdown(documents: Sequence[Document]) -> str:
    """The whole file."""
    sides = matrix(documents)
    parts = [HEADING, *_totals(sides), *_families(sides)]
    for name, document in zip(sides.names, sides.documents, strict=True):
        parts += ["", f"## {name}", "", *_testee(document)]
    return "\n".join(parts).rstrip() + "\n"


def _totals(sides: Matrix) -> Iterator[str]:
    yield "## Totals"
    yield ""
    yield from _table(["testee", "level", "cases", *Verdict], _total_rows(sides), numbers_from=2)


def _total_rows(sides: Matrix) -> Iterator[list[str]]:
    for name, document in zip(sides.names, sides.documents, strict=True):
        for level in LEVELS:
            counts = [document.count(verdict, level) for verdict in Verdict]
            if sum(counts):
                yield [name, level, str(sum(counts)), *(str(count or "") for count in counts)]


def _families(sides: Matrix) -> Iterator[str]:
    yield ""
    yield "## Kept, by family"
    yield ""
    yield "Kept of those that could be asked; what was not kept, by verdict."
    yield ""
    rows = (
        [
            family,
            *(_kept(entries) for entries in zip(*(row.cells for group in groups for row in group.rows), strict=True)),
        ]
        for family, groups in sides.families()
    )
    yield from _table(["family", *sides.names], rows)


def _kept(cells: Iterable[Entry | None]) -> str:
    verdicts = [cell.verdict for cell in cells if cell is not None and cell.verdict is not Verdict.UNSUPPORTED]
    if not verdicts:
        return ""
    counts: Counter[Verdict] = Counter(verdicts)
    missed = [f"{counts[verdict]} {verdict}" for verdict in Verdict if not verdict.holds and counts[verdict]]
    kept = f"{counts[Verdict.PASS]} of {len(verdicts)}"
    return f"{kept} ({', '.join(missed)})" if missed else kept


def _testee(document: Document) -> Iterator[str]:
    order = f", in the order of `--seed {document.seed}`" if document.seed is not None else ""
    yield f"Judged by {document.version}{order}. {_ordinary(document)}"
    yield ""
    for note in document.notes:
        yield f"- {_plain(note)}"
    if document.cut_short:
        yield f"- cut short: {_plain(one_line(document.cut_short))}"
    yield from (f"- {line}" for line in _unsupported(document))
    missed = [entry for entry in document.entries if not entry.verdict.holds]
    yield ""
    if not missed:
        yield "Everything that could be asked was kept."
        return
    rows = (
        [f"`{entry.id}`", entry.level, str(entry.verdict), _plain(one_line(entry.came)), _plain(entry.upstream)]
        for entry in missed
    )
    yield from _table(["case", "level", "verdict", "what came", "upstream report"], rows)


def _unsupported(document: Document) -> Iterator[str]:
    """How many cases could not be asked: by reason, and those whose reason is their own by family."""
    unasked = [entry for entry in document.entries if entry.verdict is Verdict.UNSUPPORTED]
    reasons = Counter(one_line(entry.came) for entry in unasked)
    yield from (f"{count} unsupported: {_plain(why)}" for why, count in reasons.most_common() if count > 1)
    alone = [entry for entry in unasked if reasons[one_line(entry.came)] == 1]
    for family, count in Counter(entry.family for entry in alone).items():
        example = next(entry for entry in alone if entry.family == family)
        yield f"{count} of {family} unsupported, such as `{example.id}`: {_plain(one_line(example.came))}"


def _ordinary(document: Document) -> str:
    ordinary = [entry for entry in document.entries if entry.ordinary]
    wrong = sum(entry.verdict.blames for entry in ordinary)
    return f"Ordinary traffic: {len(ordinary)} cases, {wrong or 'none'} of them not kept."


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int | None = None) -> Iterator[str]:
    """A table; columns from `numbers_from` on are set to the right."""
    right = len(heads) if numbers_from is None else numbers_from
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' if at < right else '---:' for at in range(len(heads)))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _plain(text: str) -> str:
    """Text that Markdown takes as it stands."""
    return "".join(f"\\{char}" if char in "\\|`*_<[" else char for char in text)
