"""Verdicts on sessions in miniature: what outweighs what, who is blamed, and what becomes of a testee that dies."""

import attrs
import pytest
import trio

from conformance.cases.catalogue import CASES
from conformance.command.exits import Exit, exit_code
from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.run import NO_SUM, ONE_CLIENT, UNWATCHED
from conformance.judge.steps import NotOffered, Send, Talk
from conformance.judge.verdict import Outcome, Verdict
from conformance.tests.cases.miniature.session import Graph, Session
from conformance.tests.cases.miniature.staged import Staged
from conformance.tests.cases.miniature.world import Refused
from conformance.tests.cases.wrong.life import OneClient
from conformance.tests.judge.staging import (
    CannotComeBack,
    DiesOfNonsense,
    Stage,
    case,
    faulty,
    report_of,
    report_with,
)

VIOLATIONS = [CASES[name] for name in ("FRAME-4/128", "FRAME-4/255")]
ORDINARY = CASES["HELLO-3/size"]


def lacking(codec: Codec) -> Talk[None]:
    yield Send(codec.request("HELLO"))
    raise NotOffered("no such thing")


async def test_a_testee_that_died_is_started_again_and_asked_on(autojump_clock: trio.testing.MockClock) -> None:
    report, starts = await report_of(Stage(session=DiesOfNonsense), [*VIOLATIONS, ORDINARY])
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.CRASHED, Verdict.CRASHED, Verdict.PASS]
    assert report.outcomes[0].came == "ended by SIGABRT"
    assert starts == 2
    assert exit_code(report) is Exit.VIOLATED


async def test_a_testee_that_stays_dead_cuts_the_report_short(autojump_clock: trio.testing.MockClock) -> None:
    report, _ = await report_of(Stage(session=DiesOfNonsense, testee=CannotComeBack), [VIOLATIONS[0], ORDINARY])
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.CRASHED]
    assert report.cut_short == "it is gone for good"
    assert exit_code(report) is Exit.VIOLATED
    assert exit_code(attrs.evolve(report, outcomes=())) is Exit.NOT_REACHED


class StaysStuck(Staged):
    """Can be brought back, and serves nobody then."""

    async def restart(self) -> None:
        await super().restart()
        self._world.stuck = True


class GetsStuck(Session):
    async def greeting(self) -> None:
        if self.world.stuck:
            await trio.sleep_forever()
        await super().greeting()

    async def not_known(self, byte: int, size: int) -> None:
        self.world.stuck = True
        raise Refused


async def test_a_testee_that_serves_nobody_even_then_cuts_the_report_short(
    autojump_clock: trio.testing.MockClock,
) -> None:
    report, starts = await report_of(Stage(session=GetsStuck, testee=StaysStuck), [VIOLATIONS[0], ORDINARY])
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.HUNG]
    assert "serves nobody any more" in report.cut_short
    assert starts == 1


async def test_a_fault_of_a_case_is_an_error_and_blames_nobody(autojump_clock: trio.testing.MockClock) -> None:
    report, _ = await report_of(Stage(), [case("HELLO-1/faulty")])
    (outcome,) = report.outcomes
    assert outcome.verdict is Verdict.ERROR
    assert "ZeroDivisionError" in outcome.came
    assert not outcome.violates
    assert exit_code(report) is Exit.SUITE_FAULT


async def test_what_is_not_offered_is_unsupported_and_no_violation(autojump_clock: trio.testing.MockClock) -> None:
    report, _ = await report_of(Stage(), [Case(id="HELLO-1/lacking", title="t", script=lacking)])
    assert [(outcome.verdict, outcome.came) for outcome in report.outcomes] == [(Verdict.UNSUPPORTED, "no such thing")]
    assert exit_code(report) is Exit.KEPT


@pytest.mark.parametrize(("level", "code"), [("MUST", Exit.VIOLATED), ("SHOULD", Exit.KEPT), ("MAY", Exit.KEPT)])
def test_only_a_must_decides_the_exit_code(level: str, code: Exit) -> None:
    asked = Case(id="HELLO-1/x", title="t", script=faulty, level_here=level)
    assert exit_code(report_with(Outcome(case=asked, verdict=Verdict.FAIL))) is code


class SharesResults(Session):
    """Everybody's vectors are doubled by a client that says something undefined."""

    async def not_known(self, byte: int, size: int) -> None:
        for held in self.world.buffers.values():
            held.memory[4096:] = bytes(len(held.memory) - 4096)
        raise Refused


async def test_a_bystander_whose_results_change_is_a_failure_of_the_case(
    autojump_clock: trio.testing.MockClock,
) -> None:
    report, _ = await report_of(Stage(session=SharesResults), [VIOLATIONS[0], ORDINARY])
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.FAIL, Verdict.PASS]
    assert report.outcomes[0].expected == "in a bystander's session: the sum of two vectors that this session computes"
    assert report.outcomes[0].came == "others from byte 7 on: 00 00 00 00 00 00 00 00"


class AddsNothing(Session):
    def compute(self, graph: Graph) -> None:
        raise Refused


async def test_a_testee_that_adds_nothing_has_a_bystander_with_bytes_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    report, _ = await report_of(Stage(session=AddsNothing), [ORDINARY])
    assert report.notes == (NO_SUM,)
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.PASS]


async def test_what_cannot_be_seen_is_noted(autojump_clock: trio.testing.MockClock) -> None:
    assert (await report_of(Stage(look=lambda: None), [ORDINARY]))[0].notes == (UNWATCHED,)
    report, _ = await report_of(Stage(session=OneClient, look=lambda: None), [ORDINARY])
    assert report.notes == (ONE_CLIENT, UNWATCHED)
