"""Every clause at MUST or SHOULD has a case or a reason, and the check that holds the two together finds what lacks."""

import attrs
import pytest

from conformance import coverage
from conformance.coverage import Untestable, gaps, untestable
from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.steps import Talk
from spec.load import load
from spec.prose import Clause, clauses

PHASE_1, HELLO_8 = clauses()["PHASE-1"], clauses()["HELLO-8"]
REASON = "it cannot be seen"


def nothing(codec: Codec) -> Talk[None]:
    yield from ()


def case_of(clause: Clause, since: str | None = None) -> Case:
    return Case(id=f"{clause.id}/x", title="t", script=nothing, since=since)


@pytest.mark.parametrize("entry", untestable(), ids=lambda entry: entry.id)
def test_a_reason_is_one_of_a_clause_that_binds(entry: Untestable) -> None:
    assert clauses()[entry.id].level in coverage.ASKED_ABOUT
    assert len(entry.reason.split()) > 5


def test_a_clause_with_a_case_or_a_reason_lacks_nothing() -> None:
    assert list(gaps([PHASE_1], [case_of(PHASE_1)], [])) == []
    assert list(gaps([PHASE_1], [], [Untestable(id="PHASE-1", reason=REASON)])) == []


def test_a_clause_without_either_is_named() -> None:
    assert list(gaps([PHASE_1], [], [])) == ["PHASE-1 (MUST) has no case, and no reason in untestable.toml"]


def test_a_clause_is_asked_about_in_every_version_in_which_it_holds() -> None:
    oldest, newest = load().versions[0], load().versions[-1]
    (line,) = gaps([PHASE_1], [case_of(PHASE_1, since=newest)], [])
    assert line.startswith(f"PHASE-1 (MUST) has no case in {oldest}")
    young = attrs.evolve(PHASE_1, since=newest)
    assert list(gaps([young], [case_of(PHASE_1, since=newest)], [])) == []


def test_what_may_be_done_needs_no_case() -> None:
    assert list(gaps([HELLO_8], [], [])) == []


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        (["NOBODY-1"], "there is no clause NOBODY-1"),
        (["PHASE-1"], "PHASE-1 has a case all the same"),
        (["HELLO-8", "HELLO-8"], "HELLO-8 stands there more than once"),
    ],
)
def test_an_entry_too_much_is_named(entries: list[str], complaint: str) -> None:
    listed = [Untestable(id=name, reason=REASON) for name in entries]
    assert f"untestable.toml: {complaint}" in set(gaps([PHASE_1, HELLO_8], [case_of(PHASE_1)], listed))


def test_a_reason_says_something() -> None:
    with pytest.raises(ValueError, match="reason"):
        Untestable(id="PHASE-1", reason="")


def test_nothing_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        coverage.main()
    said = capsys.readouterr().out.splitlines()
    assert said[:-1] == []
    assert ended.value.code == 0
