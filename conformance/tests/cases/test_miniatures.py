"""The judge is judged: a right server passes every case, and a wrong one fails its own cases and no others.

Rules
- What graphs have to satisfy, and what their ops compute, is more than a server in miniature knows.
- Of what is asked of every command alike, a wrong server is asked about three commands and about its own; about a cache
  only when it is wrong with one; and of the cases of other clauses than its own every third. All is asked of the right
  one.
"""

from pathlib import Path

import pytest
import trio

from conformance.cases.catalogue import CASES, SECTIONS
from conformance.cases.samples import COMMANDS, slug
from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.run import ONE_CLIENT, Judge
from conformance.judge.verdict import Report, Verdict
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.staged import Staged
from conformance.tests.cases.wrong.life import OneClient
from conformance.tests.cases.wrong.table import WRONG
from spec.load import load
from spec.prose import clauses

TIMEOUT = 5.0
ONE_IN = 3
BEYOND = ("conformance.cases.graph", "conformance.cases.ops")
STANDING_FOR_ALL = {None, "hello", "get-tensor", "set-tensor"}
COSTLY = frozenset(
    {
        "LIFE-3/memory-comes-back",
        "LIFE-5/closed-while-a-graph-runs",
        "LIFE-5/reset-while-a-graph-runs",
        "LIFE-6/each-its-own-result",
        "LIFE-9/beside-fills",
        "FRAME-10/replies-left-lying",
    }
)


def asked() -> list[Case]:
    """The cases of which a miniature knows enough."""
    sections = [section for section in SECTIONS if not section.__name__.startswith(BEYOND)]
    return [case for section in sections for case in section.CASES.values()]


def command_of(case: Case) -> str | None:
    """The command that is asked about, where the same is asked about others."""
    words = case.id.partition("/")[2]
    slugs = sorted(map(slug, COMMANDS), key=len, reverse=True)
    return next((name for name in slugs if f"{words}-".startswith(f"{name}-")), None)


def thinned(own: frozenset[str], turn: int = 0, of: int = 1) -> list[Case]:
    """The cases that a wrong server is asked: of those of strange clauses one in `of`, by turns."""
    with_cache = any(CASES[name].needs_cache for name in own)
    clauses_of_its_own = {CASES[name].clause.id for name in own}
    kept = [
        case
        for case in asked()
        if case.id in own
        or (command_of(case) in STANDING_FOR_ALL and case.id not in COSTLY and (with_cache or not case.needs_cache))
    ]
    return [case for at, case in enumerate(kept) if case.clause.id in clauses_of_its_own or at % of == turn % of]


async def judged(session: type[Session], cache: Path, version: str, cases: list[Case]) -> Report:
    """Ask a miniature those of the cases that its version has."""
    codec = Codec(load().dialect(version))
    held = [case for case in cases if case.holds(codec.dialect.version)]
    async with trio.open_nursery() as nursery:
        judge = Judge(Staged(session, codec, nursery, cache), codec, TIMEOUT)
        await judge.look()
        report = await judge.run(held, lambda outcome: None)
        nursery.cancel_scope.cancel()
    return report


def missed(report: Report) -> dict[str, Verdict]:
    return {outcome.case.id: outcome.verdict for outcome in report.outcomes if outcome.verdict is not Verdict.PASS}


@pytest.mark.parametrize("version", load().versions)
async def test_the_right_one_passes_every_case(
    version: str, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    report = await judged(Session, tmp_path, version, asked())
    assert missed(report) == {}
    assert report.notes == ()
    assert len(report.outcomes) > 800


@pytest.mark.parametrize("session", WRONG, ids=lambda session: session.__name__)
async def test_a_wrong_one_fails_its_own_cases_alone(
    session: type[Session], tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    wrong = WRONG[session]
    cases = thinned(wrong.cases, list(WRONG).index(session), ONE_IN)
    report = await judged(session, tmp_path, wrong.version, cases)
    assert missed(report) == dict.fromkeys(wrong.cases, wrong.verdict)


def test_every_clause_has_a_wrong_server_that_breaks_it() -> None:
    broken = {CASES[name].clause.id for wrong in WRONG.values() for name in wrong.cases}
    levels = ("MUST", "SHOULD")
    assert {case.clause.id for case in asked() if clauses()[case.clause.id].level in levels} - broken == set()


async def test_one_client_at_a_time_is_noted_and_no_failure_of_a_must(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    report = await judged(OneClient, tmp_path, "7.0.0", thinned(frozenset()))
    assert report.notes == (ONE_CLIENT,)
    asked_of_two = {case.id for case in asked() if case.clients > 1}
    left = missed(report)
    assert {case for case, verdict in left.items() if verdict is Verdict.UNSUPPORTED} == asked_of_two & left.keys()
    others = {case: verdict for case, verdict in left.items() if verdict is not Verdict.UNSUPPORTED}
    assert {CASES[name].clause.id for name in others} == {"LIFE-2"}
    assert not any(outcome.violates for outcome in report.outcomes)
