"""INTEROP.md is made from the columns as they are, and is the same for the same findings."""

import pytest

from conformance.interop.matrix.cells import Cell
from conformance.interop.matrix.columns import COLUMNS, PROMPTS, REFERENCE, Column
from conformance.interop.matrix.document import DOCUMENT, IS_REFERENCE, ITS_OWN, disagreements, read, render, verdicts
from conformance.interop.matrix.near_tie import Candidate, Parting

TIE = Parting(6, Candidate(b" a", -1.0), Candidate(b" the", -1.001))
OTHER = COLUMNS[-1]


def cell(column: Column, prompt: int = 0, *, same: bool = True, text: str | None = "text", reason: str = "") -> Cell:
    return Cell(column, PROMPTS[prompt], 12.3, text, same, None if same or text is None else TIE, reason)


def whole() -> list[Cell]:
    return [cell(column, prompt) for column in COLUMNS for prompt in range(len(PROMPTS))]


def test_the_committed_text_is_made_from_these_columns() -> None:
    committed = DOCUMENT.read_text("utf-8")
    assert committed == render(read(committed))


def test_the_committed_text_knows_of_every_way_and_of_no_disagreement() -> None:
    found = read(DOCUMENT.read_text("utf-8"))
    assert set(found) == {(column, prompt) for column in COLUMNS for prompt in range(len(PROMPTS))}
    words = {verdict.split(" at ")[0].split(":")[0] for verdict in found.values()}
    assert words <= {IS_REFERENCE, ITS_OWN, "same", "as stock 8.0.0", "near-tie", "hosts alike", "not run"}


def test_what_is_read_is_what_was_rendered() -> None:
    found = verdicts([*whole(), cell(OTHER, 1, same=False), cell(OTHER, 2, text=None, reason="no | root")])
    assert found[OTHER, 1] == "near-tie at token 6"
    assert found[OTHER, 2] == "not run: no / root"
    assert read(render(found)) == found


def test_times_do_not_show() -> None:
    assert "12.3" not in render(verdicts(whole()))


@pytest.mark.parametrize(
    ("words", "others"),
    [
        ("-ngl 15", "-ngl 16"),
        ("by 48 tokens", "by 47 tokens"),
        ("## 8.0.0", "## 9.0.0"),
        ("| refimpl | stock server |", "| somebody | stock server |"),
    ],
)
def test_a_text_from_other_columns_is_found(words: str, others: str) -> None:
    text = render(verdicts(whole()))
    assert words in text
    changed = text.replace(words, others)
    assert changed != render(read(changed))


def test_a_verdict_that_a_run_contradicts_is_named() -> None:
    recorded = verdicts(whole())
    (line,) = disagreements(recorded, verdicts([cell(REFERENCE), cell(OTHER, same=False)]))
    assert OTHER.name in line
    assert "'same'" in line
    assert "--write" in line


def test_what_was_not_run_contradicts_nothing_and_what_was_is_no_absence() -> None:
    recorded = verdicts([cell(OTHER, text=None, same=False, reason="no root")])
    assert disagreements(verdicts(whole()), recorded) == []
    assert len(disagreements(recorded, verdicts([cell(OTHER)]))) == 1
