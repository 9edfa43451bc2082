"""One self-contained page with a matrix of testees: family, clause and case by testee, and what failed behind it.

Rules
- It needs nothing from anywhere else, and shows everything without its script, which only filters.
- A verdict is a word and a sign, and then a colour. Whatever came from a testee is escaped.
- Every case has one cell for each testee, which says data-case, data-testee (its column) and data-verdict (`none` where
  it was not asked).
"""

from collections.abc import Iterator, Sequence
from html import escape
from importlib import resources

from conformance.judge.case import LEVELS
from conformance.judge.verdict import Verdict
from conformance.report.document import Document, Entry
from conformance.report.matrix import Group, Matrix, Row, evidence_lines, matrix

__all__ = ["SIGNS", "page"]

SIGNS = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✗",
    Verdict.CRASHED: "‼",
    Verdict.HUNG: "…",
    Verdict.LEAKED: "≈",
    Verdict.UNSUPPORTED: "–",
    Verdict.ERROR: "?",
}
NOT_ASKED = "none"
NO_CELL = '<span class="sign" title="not asked of this version">·</span>'
HEAD = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>ggml RPC: who keeps the protocol</title>
<style>
{style}</style>
</head>
<body>
"""


def page(documents: Sequence[Document]) -> str:
    """The whole page."""
    sides = matrix(documents)
    return "\n".join(
        (
            HEAD.format(style=_file("page.css")),
            *_header(sides),
            *_totals(sides),
            *_filters(sides),
            *_matrix(sides),
            f"<script>\n{_file('page.js')}</script>\n</body>\n</html>\n",
        )
    )


def _file(name: str) -> str:
    return (resources.files("conformance.report.html") / name).read_text("utf-8")


def _header(sides: Matrix) -> Iterator[str]:
    cases = sum(len(group.rows) for group in sides.groups)
    yield "<header>"
    yield "<h1>Who keeps the ggml RPC protocol</h1>"
    yield (
        f"<p>{len(sides.names)} testee{'s' if len(sides.names) > 1 else ''}, {cases} cases about "
        f"{len(sides.groups)} clauses, judged by <code>refimpl-conformance</code>.</p>"
    )
    yield "</header>"


def _totals(sides: Matrix) -> Iterator[str]:
    yield '<section class="totals"><h2>Totals</h2><div class="wide"><table>'
    levels = "".join(f'<th scope="col">{level} kept</th>' for level in LEVELS)
    verdicts = "".join(f'<th scope="col">{_signed(verdict)}</th>' for verdict in Verdict)
    yield f'<thead><tr><th scope="col">testee</th><th scope="col">version</th>{levels}{verdicts}</tr></thead><tbody>'
    for name, document in zip(sides.names, sides.documents, strict=True):
        kept = "".join(f"<td>{_share(document, level)}</td>" for level in LEVELS)
        counts = "".join(f'<td class="{verdict}">{document.count(verdict) or ""}</td>' for verdict in Verdict)
        yield f'<tr><th scope="row">{escape(name)}</th><td>{escape(document.version)}</td>{kept}{counts}</tr>'
    yield "</tbody></table></div>"
    for name, document in zip(sides.names, sides.documents, strict=True):
        yield from _notes(name, document)
    yield "</section>"


def _share(document: Document, level: str) -> str:
    asked = sum(entry.level == level and entry.verdict is not Verdict.UNSUPPORTED for entry in document.entries)
    return f"{document.count(Verdict.PASS, level)} of {asked}" if asked else ""


def _notes(name: str, document: Document) -> Iterator[str]:
    notes = list(document.notes)
    notes += [f"cut short: {document.cut_short}"] if document.cut_short else []
    notes += [f"asked in the order of --seed {document.seed}"] if document.seed is not None else []
    notes += [f"began {document.began}, {document.seconds:.0f} s"] if document.began else []
    if notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        yield f"<details><summary>{escape(name)}: notes</summary><ul>{items}</ul></details>"


def _filters(sides: Matrix) -> Iterator[str]:
    yield '<form id="filters" hidden>'
    yield '<label>Find <input type="search" name="text" placeholder="clause, case or word"></label>'
    yield _select("family", "Family", [("", "all"), *((family, family) for family, _ in sides.families())])
    yield _select("level", "Level", [("", "all"), *((level, level) for level in LEVELS)])
    shown = [("", "everything"), ("missed", "what is not kept"), ("differ", "where testees differ")]
    yield _select("show", "Show", [*shown, *((str(verdict), f"{SIGNS[verdict]} {verdict}") for verdict in Verdict)])
    yield _select("testee", "by", [("", "any testee"), *((str(at), name) for at, name in enumerate(sides.names))])
    yield '<output name="count"></output>'
    yield "</form>"


def _select(name: str, label: str, choices: Sequence[tuple[str, str]]) -> str:
    options = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in choices)
    return f'<label>{escape(label)} <select name="{name}">{options}</select></label>'


def _matrix(sides: Matrix) -> Iterator[str]:
    yield '<table class="matrix">'
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in sides.names)
    yield f'<thead><tr><th scope="col">case</th>{columns}</tr></thead>'
    for family, groups in sides.families():
        yield from _family(family, groups)
        for group in groups:
            yield from _group(group, sides.names)
    yield "</table>"


def _family(family: str, groups: Sequence[Group]) -> Iterator[str]:
    columns = zip(*(row.verdicts for group in groups for row in group.rows), strict=True)
    kept = "".join(f"<td>{_kept(column)}</td>" for column in columns)
    yield f'<tbody class="family" data-family="{escape(family)}">'
    yield f'<tr><th scope="rowgroup">{escape(family)}</th>{kept}</tr></tbody>'


def _kept(verdicts: Sequence[Verdict | None]) -> str:
    asked = [verdict for verdict in verdicts if verdict not in (None, Verdict.UNSUPPORTED)]
    return f"{asked.count(Verdict.PASS)} of {len(asked)}" if asked else ""


def _group(group: Group, names: Sequence[str]) -> Iterator[str]:
    family, clause, text = escape(group.family), escape(group.clause), escape(group.text)
    yield f'<tbody class="clause" data-family="{family}">'
    yield f'<tr class="sentence"><td colspan="{1 + len(names)}"><b>{clause}</b> <i>{group.level}</i> {text}</td></tr>'
    for row in group.rows:
        yield from _row(row, group.level, names)
    yield "</tbody>"


def _row(row: Row, usual: str, names: Sequence[str]) -> Iterator[str]:
    """usual: the level of the clause, which is not said again."""
    slug = row.id.partition("/")[2]
    said = " ".join(verdict or NOT_ASKED for verdict in row.verdicts)
    level = f" <i>{row.level}</i>" if row.level != usual else ""
    yield f'<tr class="case" data-level="{row.level}" data-verdicts="{said}" data-id="{escape(row.id)}">'
    yield f'<th scope="row"><code>{escape(slug)}</code> <span>{escape(row.title)}</span>{level}</th>'
    yield from (_cell(row.id, at, cell) for at, cell in enumerate(row.cells))
    yield "</tr>"
    if any(cell is not None and not cell.verdict.holds for cell in row.cells):
        yield f'<tr class="more"><td colspan="{1 + len(names)}">'
        yield from _details(row, names)
        yield "</td></tr>"


def _cell(case: str, at: int, cell: Entry | None) -> str:
    verdict = cell.verdict if cell is not None else NOT_ASKED
    told = NO_CELL if cell is None else _signed(cell.verdict)
    hint = f' title="{escape(cell.came)}"' if cell is not None and cell.verdict is Verdict.UNSUPPORTED else ""
    place = f'data-case="{escape(case)}" data-testee="{at}" data-verdict="{verdict}"'
    return f'<td class="{verdict}" {place}{hint}>{told}</td>'


def _signed(verdict: Verdict) -> str:
    return f'<span class="sign" aria-hidden="true">{SIGNS[verdict]}</span> {verdict}'


def _details(row: Row, names: Sequence[str]) -> Iterator[str]:
    missed = [(name, cell) for name, cell in zip(names, row.cells, strict=True) if cell and not cell.verdict.holds]
    yield f"<details><summary>{escape(', '.join(f'{name} {cell.verdict}' for name, cell in missed))}</summary>"
    for name, cell in missed:
        yield f'<section><h4>{escape(name)} <span class="{cell.verdict}">{_signed(cell.verdict)}</span></h4><dl>'
        for term, text in (("expected", cell.expected), ("came", cell.came), ("upstream", cell.upstream)):
            if text:
                yield f"<dt>{term}</dt><dd>{escape(text)}</dd>"
        yield "</dl>"
        if evidence := "\n".join(evidence_lines(cell.connections)):
            yield f"<pre>{escape(evidence)}</pre>"
        yield "</section>"
    yield "</details>"
