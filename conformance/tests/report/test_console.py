"""The report for people says clause, expectation and bytes of what failed, and no more of what did not."""

import io

import attrs
from rich.console import Console

from conformance.judge.verdict import Outcome, Verdict
from conformance.report.console import ConsoleReport
from conformance.tests.judge.staging import CODEC
from conformance.tests.report.reports import of_all_kinds, report_by


def shown(*outcomes: Outcome, verbose: bool = False) -> str:
    text = io.StringIO()
    console = ConsoleReport(Console(file=text, width=200), CODEC, verbose)
    for outcome in outcomes:
        console.tell(outcome)
    console.close(report_by("somebody", *outcomes))
    return text.getvalue()


def test_a_failure_shows_clause_expectation_and_bytes() -> None:
    said = shown(*of_all_kinds())
    assert "fail        MUST   FRAME-4/128" in said
    assert "A command byte that the dialect does not define closes the connection" in said
    assert "expected  the connection closed, and no reply" in said
    assert "> 9 bytes: 80 00 00" in said
    assert "undefined command 128, declares 0 bytes" in said
    assert "reply to HELLO, declares 28 bytes: major 7" in said
    assert "6 cases: 1 pass, 1 fail, 1 crashed, 1 hung, 1 leaked, 1 unsupported" in said
    assert "4 MUST not kept" in said
    assert "in the order of --seed 3" in said


def test_what_passed_is_told_only_when_asked_for() -> None:
    passed = of_all_kinds()[0]
    assert "HELLO-3/size" not in shown(passed)
    assert "pass        MUST   HELLO-3/size" in shown(passed, verbose=True)


def test_an_expected_failure_is_a_line_without_details() -> None:
    failed = attrs.evolve(of_all_kinds()[1], foreseen=(Verdict.FAIL,))
    said = shown(failed)
    assert "(as expected)" in said
    assert "> 9 bytes" not in said
    assert "1 MUST not kept, 1 of them as expected" in said
    assert "> 9 bytes" in shown(failed, verbose=True)


def test_what_passes_and_was_expected_to_fail_is_told() -> None:
    said = shown(attrs.evolve(of_all_kinds()[0], foreseen=(Verdict.FAIL, Verdict.HUNG)))
    assert "HELLO-3/size  expected: fail, hung" in said
    assert "expected to fail, and passed: HELLO-3/size" in said


def test_a_failure_of_another_kind_than_expected_is_told_in_full() -> None:
    said = shown(attrs.evolve(of_all_kinds()[1], foreseen=(Verdict.CRASHED,)))
    assert "(expected: crashed)" in said
    assert "> 9 bytes" in said
