"""The judge is judged: a right server passes every case, and a wrong one fails its own cases and no others."""

import pytest
import trio

from conformance.cases.catalogue import CASES
from conformance.judge.codec import Codec
from conformance.judge.run import ONE_CLIENT, Judge
from conformance.judge.verdict import Report, Verdict
from conformance.tests import wrong
from conformance.tests.miniature import Session, Staged
from spec.load import load

TIMEOUT = 5.0
COSTLY = frozenset({"LIFE-3/memory-comes-back", "FRAME-2/byte-by-byte", "FRAME-10/replies-left-lying"})
"""a third of the time of a run; asked of the right server, and of those that they are about"""


async def judged(session: type[Session], version: str = "7.0.0", skip: frozenset[str] = frozenset()) -> Report:
    """Ask a miniature the cases of its version."""
    codec = Codec(load().dialect(version))
    cases = [case for case in CASES.values() if case.holds(codec.dialect.version) and case.id not in skip]
    async with trio.open_nursery() as nursery:
        judge = Judge(Staged(session, codec, nursery), codec, TIMEOUT)
        await judge.look()
        report = await judge.run(cases, lambda outcome: None)
        nursery.cancel_scope.cancel()
    return report


def missed(report: Report) -> dict[str, Verdict]:
    return {outcome.case.id: outcome.verdict for outcome in report.outcomes if outcome.verdict is not Verdict.PASS}


@pytest.mark.parametrize("version", load().versions)
async def test_the_right_one_passes_every_case(version: str, autojump_clock: trio.testing.MockClock) -> None:
    report = await judged(Session, version)
    assert missed(report) == {}
    assert report.notes == ()
    assert len(report.outcomes) > 300


@pytest.mark.parametrize("session", wrong.WRONG, ids=lambda session: session.__name__)
async def test_a_wrong_one_fails_its_own_cases_alone(
    session: type[Session], autojump_clock: trio.testing.MockClock
) -> None:
    verdict, cases = wrong.WRONG[session]
    assert missed(await judged(session, skip=COSTLY - cases)) == dict.fromkeys(cases, verdict)


async def test_one_client_at_a_time_is_noted_and_no_failure_of_a_must(autojump_clock: trio.testing.MockClock) -> None:
    report = await judged(wrong.OneClient)
    assert report.notes == (ONE_CLIENT,)
    asked_of_two = {case.id for case in CASES.values() if case.clients > 1}
    left = missed(report)
    assert {case for case, verdict in left.items() if verdict is Verdict.UNSUPPORTED} == asked_of_two & left.keys()
    others = {case: verdict for case, verdict in left.items() if verdict is not Verdict.UNSUPPORTED}
    assert set(others) == {"LIFE-2/beside-an-idle-one", "LIFE-2/beside-a-silent-one"}
    assert not any(outcome.violates for outcome in report.outcomes)
