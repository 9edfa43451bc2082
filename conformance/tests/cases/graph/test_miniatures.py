"""The judge of graphs is judged: a right server fails no case, and a wrong one fails its own cases and no others."""

import pytest
import trio
import trio.testing

from conformance.cases.catalogue import CASES, SECTIONS
from conformance.cases.graph import indices
from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.run import Judge
from conformance.judge.verdict import Report, Verdict
from conformance.tests.cases.graph import wrong_checks, wrong_runs
from conformance.tests.cases.graph.server import GraphSession
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.staged import Staged
from spec.load import load

TIMEOUT = 5.0
WRONG = {**wrong_checks.WRONG, **wrong_runs.WRONG}
GRAPHS = [case for case in CASES.values() if case.family == "GRAPH"]
MALFORMED = "conformance.cases.graph.malformed"
OF_ALL_OPS = {name for section in SECTIONS if section.__name__.startswith(MALFORMED) for name in section.CASES}
COSTLY = {case.id for case in GRAPHS if case.clause.id in ("GRAPH-21", "GRAPH-26", "GRAPH-27", "GRAPH-29")}
"""long messages, many, and long computations"""
NO_KERNEL = {name for name in indices.CASES if not name.startswith(("GRAPH-20/get-rows-", "GRAPH-20/last"))}
"""indices of ops that a miniature does not have"""
TAKES_NO_GRAPH = {"GRAPH-1"}
"""clauses without which a server takes no graph, and no session is served"""


async def judged(session: type[Session], version: str, cases: list[Case]) -> Report:
    """Ask a miniature those of the cases that its version has."""
    codec = Codec(load().dialect(version))
    held = [case for case in cases if case.holds(codec.dialect.version)]
    async with trio.open_nursery() as nursery:
        judge = Judge(Staged(session, codec, nursery), codec, TIMEOUT)
        await judge.look()
        report = await judge.run(held, lambda outcome: None)
        nursery.cancel_scope.cancel()
    return report


def missed(report: Report) -> dict[str, Verdict]:
    """What is neither passed nor, for want of a kernel, unsupported."""
    silent = (Verdict.PASS, Verdict.UNSUPPORTED)
    return {outcome.case.id: outcome.verdict for outcome in report.outcomes if outcome.verdict not in silent}


def thinned(own: frozenset[str]) -> list[Case]:
    """The cases that a wrong server is asked: its own, and all others that are about graphs and not about ops."""
    left_out = OF_ALL_OPS | COSTLY | NO_KERNEL
    return [case for case in GRAPHS if case.id in own or case.id not in left_out]


@pytest.mark.parametrize("version", load().versions)
async def test_the_right_one_fails_no_case(version: str, autojump_clock: trio.testing.MockClock) -> None:
    cases = GRAPHS if version == load().newest else thinned(frozenset(COSTLY))
    report = await judged(GraphSession, version, cases)
    assert missed(report) == {}
    assert report.count(Verdict.PASS) > 150


@pytest.mark.parametrize("session", WRONG, ids=lambda session: session.__name__)
async def test_a_wrong_one_fails_its_own_cases_alone(
    session: type[GraphSession], autojump_clock: trio.testing.MockClock
) -> None:
    wrong = WRONG[session]
    report = await judged(session, wrong.version, thinned(wrong.cases))
    assert missed(report) == dict.fromkeys(wrong.cases, wrong.verdict)


def test_every_clause_has_a_wrong_server_that_breaks_it() -> None:
    broken = {CASES[name].clause.id for wrong in WRONG.values() for name in wrong.cases}
    asked = {case.clause.id for case in GRAPHS if case.clause.level in ("MUST", "SHOULD")}
    assert asked - broken == TAKES_NO_GRAPH
