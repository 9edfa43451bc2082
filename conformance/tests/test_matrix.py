"""Which sets of verdicts count as agreement."""

from conformance.interop.columns import COLUMNS
from conformance.interop.matrix import Cell, acceptable, draw
from conformance.interop.near_tie import Candidate, Parting

REFERENCE, FIRST, SECOND = COLUMNS[:3]
TIE = Parting(6, Candidate(b" talented", -1.900), Candidate(b" brilliant", -1.904))
LATER_TIE = Parting(9, Candidate(b" a", -1.0), Candidate(b" the", -1.001))
GAP = Parting(6, Candidate(b" a", -1.0), Candidate(b" the", -1.5))


def cell(column: int, *, same: bool = True, text: str | None = "text", parting: Parting | None = None) -> Cell:
    return Cell(COLUMNS[column], "prompt", 1.0, text, same, parting)


def test_equal_texts_agree() -> None:
    assert acceptable([cell(0), cell(1)])


def test_one_near_tie_of_a_prompt_is_accepted_in_several_columns() -> None:
    assert acceptable([cell(0), cell(1, same=False, parting=TIE), cell(2, same=False, parting=TIE)])


def test_two_near_ties_of_a_prompt_are_not() -> None:
    assert not acceptable([cell(0), cell(1, same=False, parting=TIE), cell(2, same=False, parting=LATER_TIE)])


def test_a_wider_gap_is_not() -> None:
    assert not acceptable([cell(0), cell(1, same=False, parting=GAP)])


def test_a_text_cut_short_is_not() -> None:
    assert not acceptable([cell(0), cell(1, same=False)])


def test_a_program_that_failed_is_not() -> None:
    assert not acceptable([cell(0), cell(1, same=False, text=None)])


def test_the_table_has_a_row_per_column_and_its_verdicts() -> None:
    head, *rows = draw([cell(0), cell(1, same=False, parting=GAP)]).splitlines()
    assert head.split() == ["prompt"]
    assert [row.split()[-3] for row in rows] == ["same", "DIFFERENT"]
