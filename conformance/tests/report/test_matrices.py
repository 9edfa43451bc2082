"""Several results side by side, as a page and as Markdown: every case once for each testee, and nothing taken amiss."""

from collections import Counter
from html.parser import HTMLParser

import attrs
import pytest

from conformance.cases.catalogue import CASES
from conformance.judge.case import Case
from conformance.judge.verdict import Outcome, Verdict
from conformance.report.document import Document, document
from conformance.report.html.page import SIGNS, page
from conformance.report.markdown import markdown
from conformance.report.matrix import LINE, matrix, one_line
from conformance.tests.judge.staging import CODEC, faulty
from conformance.tests.report.reports import of_all_kinds, report_by

VOID = frozenset({"meta", "input", "br", "link", "img"})


def documents() -> list[Document]:
    """Three testees: one of all verdicts, one that passes, one of another version that was asked one case more."""
    kinds = of_all_kinds()
    passed = [attrs.evolve(outcome, verdict=Verdict.PASS, came="") for outcome in reversed(kinds)]
    more = Outcome(case=CASES["FRAME-5/set-tensor-2d-one-short"], verdict=Verdict.PASS)
    found = Outcome(case=Case(id="FRAME-4/fuzz-1", title="found", script=faulty), verdict=Verdict.HUNG, came="nothing")
    return [
        document(report_by("stock", *kinds), CODEC),
        document(report_by("ours", *passed), CODEC),
        document(report_by("ours-8.0.0", more, found, *passed, version="8.0.0"), CODEC),
    ]


class Reader(HTMLParser):
    """Reads a page strictly: every element that is opened is closed in turn."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.cells: Counter[tuple[str | None, str | None, str | None]] = Counter()
        self.elements: Counter[str] = Counter()
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = dict(attributes)
        self.elements[tag] += 1
        self.links += [value for name, value in attributes if name in ("src", "href") and value]
        if "data-case" in said:
            self.cells[said["data-case"], said["data-testee"], said["data-verdict"]] += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def read() -> Reader:
    reader = Reader()
    reader.feed(page(documents()))
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_holds_every_case_once_for_each_testee(read: Reader) -> None:
    sides = documents()
    ids = {entry.id for one in sides for entry in one.entries}
    expected = {
        (case, str(at), next((str(entry.verdict) for entry in one.entries if entry.id == case), "none"))
        for case in ids
        for at, one in enumerate(sides)
    }
    assert read.cells == Counter(expected)


def test_the_page_needs_nothing_from_elsewhere(read: Reader) -> None:
    assert read.links == []
    assert read.elements["script"] == 1
    assert read.elements["style"] == 1
    assert "url(" not in page(documents())
    assert "@import" not in page(documents())


def test_what_a_testee_said_is_text(read: Reader) -> None:
    assert any("</details><script>alert('&')</script>" in text for text in read.text)


def test_a_verdict_is_a_word_and_a_sign(read: Reader) -> None:
    assert len(set(SIGNS.values())) == len(Verdict)
    assert all(sign in read.text for sign in SIGNS.values())
    assert all(any(f" {verdict}" in text for text in read.text) for verdict in Verdict)


def test_failures_are_folded_away_with_their_bytes(read: Reader) -> None:
    notes = 3
    failures = 5
    assert read.elements["details"] == notes + failures
    assert any("undefined command 128, declares 0 bytes" in text for text in read.text)


def test_rows_stand_in_the_order_of_the_catalogue_and_strangers_behind() -> None:
    sides = matrix(documents())
    order = [row.id for group in sides.groups for row in group.rows if row.id in CASES]
    clauses = list(dict.fromkeys(case.clause.id for case in CASES.values() if case.id in order))
    assert [group.clause for group in sides.groups] == clauses
    frame = next(group for group in sides.groups if group.clause == "FRAME-4")
    assert [row.id for row in frame.rows] == ["FRAME-4/128", "FRAME-4/255", "FRAME-4/fuzz-1"]
    assert frame.rows[-1].verdicts == (None, None, Verdict.HUNG)


def test_testees_of_one_name_are_told_apart() -> None:
    one, other, _ = documents()
    assert matrix([one, other]).names == ("stock (7.0.0)", "ours (7.0.0)")
    assert matrix([one, one]).names == ("stock (7.0.0) #1", "stock (7.0.0) #2")


def test_markdown_has_totals_families_and_failures() -> None:
    lines = markdown(documents()).splitlines()
    assert "| stock (7.0.0) | MUST | 5 | 1 | 1 | 1 | 1 | 1 |  |  |" in lines
    assert "| family | stock (7.0.0) | ours (7.0.0) | ours-8.0.0 |" in lines
    assert "| HELLO | 1 of 3 (1 hung, 1 leaked) | 3 of 3 | 3 of 3 |" in lines
    assert "Everything that could be asked was kept." in lines
    assert "| `FRAME-4/fuzz-1` | MUST | hung | nothing |  |" in lines


def test_markdown_takes_nothing_of_a_testee_for_its_own() -> None:
    (line,) = [line for line in markdown(documents()).splitlines() if line.startswith("| `FRAME-4/128`")]
    assert r"\</details>\<script>" in line
    assert r"\| \`a\` \*b\*" in line
    assert "; second line" in line


def test_one_line_is_the_beginning_and_the_end() -> None:
    assert one_line("") == ""
    assert one_line("ended by SIGABRT") == "ended by SIGABRT"
    assert one_line("ended by SIGABRT\n    Accepted\n    assert failed") == "ended by SIGABRT; assert failed"
    long = f"{'a' * LINE}b\n{'c' * LINE}d"
    assert one_line(long) == f"{'a' * LINE} ...; ... {'c' * (LINE - 1)}d"


def test_markdown_says_why_cases_could_not_be_asked() -> None:
    *_, unasked = of_all_kinds()
    others = [attrs.evolve(unasked, case=CASES[name], came="one client") for name in ("HELLO-3/size", "FRAME-4/128")]
    lines = markdown([document(report_by("stock", unasked, *others), CODEC)]).splitlines()
    assert "- 2 unsupported: one client" in lines
    assert any(line.startswith("- 1 of HANDLE unsupported, such as `HANDLE-3/not-used-again`: ") for line in lines)
