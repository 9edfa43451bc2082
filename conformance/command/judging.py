"""The run: who asks which cases in which order, and one report of it all.

Rules
- Cases are dealt out to the judges in turn, so who asks what does not depend on how fast anybody is. They are told and
  reported in one order whoever asks them: that of the prose, or the one drawn from the seed.
- A judge whose testee is lost leaves its cases out; the others go on.
- Fuzzing, and a replay, are for the first judge alone.
"""

import random
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import trio

from conformance.cases.catalogue import chosen
from conformance.command.exits import Unusable
from conformance.command.options import Options
from conformance.fuzz.campaign import NotInstalled, campaign
from conformance.fuzz.replay import replay
from conformance.fuzz.script import BadScript
from conformance.judge.case import Case
from conformance.judge.run import Judge
from conformance.judge.verdict import Outcome, Report, Verdict, joined
from spec.schema import parse_version

__all__ = ["asked", "cases_of", "fuzzed", "replayed"]

Tell = Callable[[Outcome], None]
SEED_BITS = 32


def cases_of(wanted: Options, version: str | None) -> tuple[Case, ...]:
    """The chosen cases of that version, or of any, in the order in which they are asked."""
    cases = chosen(wanted.only, wanted.skip, wanted.levels)
    held = [case for case in cases if version is None or case.holds(parse_version(version))]
    if wanted.seed is not None:
        random.Random(wanted.seed).shuffle(held)
    return tuple(held)


class _InOrder:
    """Tells outcomes in the order of the cases, each as soon as all before it are told or known to be missing."""

    def __init__(self, cases: Sequence[Case], tell: Tell) -> None:
        self._waiting = list(reversed(cases))
        self._tell = tell
        self._known: dict[str, Outcome | None] = {}

    def know(self, case: Case, outcome: Outcome | None) -> None:
        """The outcome of a case; None: there will be none."""
        self._known.setdefault(case.id, outcome)
        while self._waiting and self._waiting[-1].id in self._known:
            told = self._known[self._waiting.pop().id]
            if told is not None:
                self._tell(told)


async def asked(judges: Sequence[Judge], cases: tuple[Case, ...], tell: Tell) -> Report:
    """Deal the cases out to the judges, and join what they report."""
    order = _InOrder(cases, tell)
    parts: dict[int, Report] = {}

    async def ask(turn: int, judge: Judge) -> None:
        share = cases[turn :: len(judges)]
        by_id = {case.id: case for case in share}
        parts[turn] = await judge.run(share, lambda outcome: order.know(by_id[outcome.case.id], outcome))
        for case in share:
            order.know(case, None)

    async with trio.open_nursery() as nursery:
        for turn, judge in enumerate(judges):
            nursery.start_soon(ask, turn, judge)
    return joined(tuple(parts[turn] for turn in sorted(parts)), cases)


async def fuzzed(judge: Judge, wanted: Options, report: Report, tell: Tell) -> Report:
    """Fuzz for the time asked for, and add what was found to the report; raises NotReached, Unusable."""
    seed = secrets.randbits(SEED_BITS) if wanted.seed is None else wanted.seed
    try:
        found = await campaign(judge, wanted.fuzz_seconds, seed, tell, wanted.findings)
    except NotInstalled as lack:
        raise Unusable(str(lack)) from lack
    figures = "".join(f": {outcome.came}" for outcome in found if outcome.verdict is Verdict.PASS)
    note = f"fuzzed for {wanted.fuzz_seconds:g} s with --seed {seed}{figures}"
    return attrs.evolve(report, outcomes=(*report.outcomes, *found), notes=(*report.notes, note))


async def replayed(judge: Judge, path: Path, tell: Tell) -> Report:
    """Ask what a file of the fuzzer says; raises NotReached, and Unusable when the file is."""
    try:
        outcome = await replay(judge, path)
    except BadScript as bad:
        raise Unusable(str(bad)) from bad
    tell(outcome)
    return Report(
        testee=judge.testee.name,
        version=judge.codec.dialect.name,
        notes=(f"replayed {path}",),
        outcomes=(outcome,),
    )
