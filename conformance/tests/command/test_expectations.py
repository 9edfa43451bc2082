"""Expected failures do not decide the exit code, and those that pass do."""

import attrs
import pytest

from conformance.cases.catalogue import CASES
from conformance.command.exits import Exit, exit_code
from conformance.command.expectations import ANY_FAILURE, BadExpectations, expectations, foreseen
from conformance.judge.verdict import Outcome, Verdict
from conformance.tests.judge.staging import report_with

CASE = "FRAME-4/128"


def code(verdict: Verdict, text: str) -> Exit:
    outcome = foreseen(Outcome(case=CASES[CASE], verdict=verdict), expectations(text, CASES))
    return exit_code(report_with(outcome))


def test_lines_name_cases_and_the_verdicts_that_may_come() -> None:
    text = f"# known\n\n{CASE}  # all of them\nHELLO-2/empty = crashed\nHELLO-2/twice= hung pass # comes and goes\n"
    assert expectations(text, CASES) == {
        CASE: ANY_FAILURE,
        "HELLO-2/empty": (Verdict.CRASHED,),
        "HELLO-2/twice": (Verdict.HUNG, Verdict.PASS),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FRAME-4", "line 1: no case is called FRAME-4"),
        ("\nFRAME-4/128 =", "line 2: behind = stand some of fail, crashed, hung, leaked, pass"),
        ("FRAME-4/128 = error", "behind = stand"),
        ("FRAME-4/128\nFRAME-4/128", "line 2: FRAME-4/128 stands there twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadExpectations, match=said):
        expectations(text, CASES)


@pytest.mark.parametrize(
    ("verdict", "text", "ends"),
    [
        (Verdict.FAIL, "", Exit.VIOLATED),
        (Verdict.FAIL, CASE, Exit.KEPT),
        (Verdict.LEAKED, CASE, Exit.KEPT),
        (Verdict.PASS, CASE, Exit.VIOLATED),
        (Verdict.PASS, f"{CASE} = fail pass", Exit.KEPT),
        (Verdict.FAIL, f"{CASE} = crashed", Exit.VIOLATED),
        (Verdict.CRASHED, f"{CASE} = crashed", Exit.KEPT),
        (Verdict.UNSUPPORTED, CASE, Exit.KEPT),
        (Verdict.ERROR, CASE, Exit.SUITE_FAULT),
        (Verdict.FAIL, "HELLO-2/empty", Exit.VIOLATED),
    ],
)
def test_the_exit_code_is_that_of_what_nobody_expected(verdict: Verdict, text: str, ends: Exit) -> None:
    assert code(verdict, text) is ends


def test_a_should_that_passes_against_expectation_decides_too() -> None:
    should = Outcome(case=CASES["HANDLE-3/not-used-again"], verdict=Verdict.PASS, foreseen=(Verdict.FAIL,))
    assert exit_code(report_with(should)) is Exit.VIOLATED
    assert exit_code(report_with(attrs.evolve(should, verdict=Verdict.FAIL))) is Exit.KEPT
