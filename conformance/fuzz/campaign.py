"""A campaign: Hypothesis fuzzes a testee for a time, and what it finds is shrunk and written as a script.

    outcomes = await campaign(judge, seconds=60.0, seed=1, tell=print, folder=Path("fuzz-findings"))

Rules
- Hypothesis is not asynchronous, and a testee is: it runs in a thread of its own and hands every step to the event
  loop, and waits (`trio.from_thread`). So whatever can be dialled can be fuzzed, servers in memory too, a testee is
  started again by those who know how, and one clock measures all waiting. A hop costs less than an answer.
- Rounds of examples have their seeds from the campaign's and their number, and nothing is kept between them but what
  has been found already; so a campaign of one seed finds the same, as far as its time goes.
- The first finding of a round is what the round shrinks, within bounds. Examples that meet another one, or one that is
  known, have passed. The smallest script that was seen to lead to it is kept, and not what Hypothesis says in the end:
  a testee may behave otherwise when it is asked again.
- A testee that says nothing in time is asked again with more patience, before that is believed.
- Hypothesis is needed here and nowhere else: NotInstalled says what to install.
"""

import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from conformance.fuzz.model.session import World
from conformance.fuzz.reduce import Reduced, reduced
from conformance.fuzz.request import Packing
from conformance.fuzz.ring import Bounds, Kept, Ring
from conformance.fuzz.stage import NOTHING_ELSE, Finding, Stage
from conformance.fuzz.writing import write_finding
from conformance.judge.case import Question
from conformance.judge.run import Judge
from conformance.judge.testee import NotReached
from conformance.judge.verdict import Outcome, Verdict
from conformance.judge.watch.level import Watch

if TYPE_CHECKING:
    from conformance.fuzz.machine.sessions import Arena

__all__ = ["FOLDER", "Bounds", "NotInstalled", "campaign", "question"]

FOLDER = Path("fuzz-findings")
CONNECTIONS = 3
SEED_STEP = 1_000_003
BOUNDS = Bounds()

Tell = Callable[[Outcome], None]


class NotInstalled(Exception):
    """Hypothesis is not there."""


async def campaign(
    judge: Judge, seconds: float, seed: int, tell: Tell, folder: Path = FOLDER, bounds: Bounds = BOUNDS
) -> tuple[Outcome, ...]:
    """Fuzz for so many seconds (shrinking what is found in the end may take longer), within bounds.

    judge: has looked at its testee; of it, testee, codec, timeout and watch are used. tell: hears of outcomes at once.
    An outcome is a finding, with the file of its script in `came` (written to `folder`, which is made), under an id of
    the clause that was not kept, such as REGION-2/fuzz-1; or, if there is none, one PASS with the figures. The testee
    is alive afterwards, unless it has died of a finding and stays dead. Raises NotInstalled without Hypothesis,
    NotReached when the testee is gone and nothing was found.
    """
    fuzz = _hypothesis()
    stage = Stage(judge.testee, judge.codec, judge.timeout)
    await stage.begin()
    try:
        world = World(judge.codec.dialect, await stage.constant("DEVICE_COUNT"))
        packing = Packing(judge.codec.dialect, world.structs)
        connections = 1 if stage.one_client else CONNECTIONS
        ring = Ring(stage, world, packing, connections, time.monotonic() + seconds, bounds)
        reporter = _Reporter(judge, ring, seed, tell, folder)
        begin = trio.current_time()
        await trio.to_thread.run_sync(_rounds, fuzz, ring, reporter, seed)
    finally:
        await stage.end()
    if ring.lost is not None and not reporter.outcomes:
        raise ring.lost
    if not reporter.outcomes and judge.watch is not None:
        await _weigh(judge.watch, fuzz, ring, reporter)
    return reporter.closing(trio.current_time() - begin)


async def _weigh(watch: Watch, fuzz: "Fuzz", ring: Ring, reporter: "_Reporter") -> None:
    """Whether the testee keeps what it was given: if it does, more rounds have to add to that (watch/level.py)."""

    async def again() -> bool:
        await ring.stage.begin()
        ring.deadline = math.inf
        ring.round()
        await trio.to_thread.run_sync(fuzz, ring, next(numbers), ring.bounds.round_examples)
        await ring.stage.end()
        return ring.lost is None and not ring.kept

    numbers = itertools.count(reporter.seed * SEED_STEP)
    if (leak := await watch.leak(ring.volume, again)) is not None:
        reporter.leaked(str(leak))


Fuzz = Callable[["Arena", int, int], None]


def _hypothesis() -> Fuzz:
    """Plays a round in an arena, by a seed, of so many examples; whatever it finds, the arena knows."""
    try:
        from conformance.fuzz.machine.rounds import play_round
    except ModuleNotFoundError as lack:
        if (lack.name or "").partition(".")[0] != "hypothesis":
            raise
        raise NotInstalled("fuzzing needs Hypothesis: pip install 'ggml-rpc-refimpl[fuzz]'") from lack
    return play_round


def _rounds(fuzz: Fuzz, ring: Ring, reporter: "_Reporter", seed: int) -> None:
    """In the thread: rounds until time is over, the testee is lost, or enough has been found.

    What was met while another finding was shrunk, and not again, is made shorter in the end: in as long as one finding.
    """
    for number in range(ring.bounds.rounds):
        if time.monotonic() > ring.deadline or ring.over or len(ring.known) >= ring.bounds.findings:
            break
        ring.round()
        fuzz(ring, seed * SEED_STEP + number, ring.bounds.round_examples)
        if ring.target is not None:
            ring.known.add(ring.target)
            reporter.found(ring.kept[ring.target], ring.bounds.seconds)
    left = [kept for mark, kept in ring.kept.items() if mark not in ring.known]
    for kept in left[: ring.bounds.findings - len(ring.known)]:
        reporter.found(kept, ring.bounds.seconds / len(left))


def question(finding: Finding, number: int, seed: int) -> Question:
    """The question that a finding answers: its clause where that is a MUST, else that nothing else suffers."""
    asked = Question(id=f"{finding.clause}/fuzz-{number}", title=f"fuzzing with seed {seed}: {finding.command}")
    if asked.level == "MUST":
        return asked
    return Question(id=f"{NOTHING_ELSE}/fuzz-{number}", title=asked.title)


@attrs.define(eq=False)
class _Reporter:
    """Writes scripts and tells outcomes."""

    judge: Judge
    ring: Ring
    seed: int
    tell: Tell
    folder: Path
    outcomes: list[Outcome] = attrs.field(factory=list)

    def found(self, kept: Kept, seconds: float) -> None:
        """In the thread: a finding that is as small as Hypothesis makes it; requests are left out, for so long."""
        number = len(self.outcomes) + 1
        found = self._reduced(Reduced(steps=kept.steps, finding=kept.finding), seconds)
        steps, finding = found.steps, found.finding
        command = finding.command.replace(" ", "-") or "session"
        path = self.folder / f"{finding.clause}-{command}-{finding.verdict}-{self.seed}.jsonl"
        write_finding(self.judge.codec, steps, finding, path, {"seed": str(self.seed)})
        outcome = Outcome(
            case=question(finding, number, self.seed),
            verdict=finding.verdict,
            expected=finding.expected,
            came=f"{finding.came}\nreplay: {path}",
            record=kept.record,
        )
        self.outcomes.append(outcome)
        trio.from_thread.run_sync(self.tell, outcome)

    def _reduced(self, before: Reduced, seconds: float) -> Reduced:
        """With fewer requests, as long as there is a testee to play to."""
        if self.ring.over:
            return before
        try:
            return trio.from_thread.run(reduced, self.ring.stage, self.ring.world, before, seconds)
        except NotReached as gone:
            self.ring.lost = gone
            return before

    def leaked(self, came: str) -> None:
        """No single script does that."""
        case = Question(id=f"LIFE-3/fuzz-{len(self.outcomes) + 1}", title=f"fuzzing with seed {self.seed}")
        expected = "that everything is given back when connections end"
        self.outcomes.append(Outcome(case=case, verdict=Verdict.LEAKED, expected=expected, came=came))
        self.tell(self.outcomes[-1])

    def closing(self, seconds: float) -> tuple[Outcome, ...]:
        """All outcomes, or the one that nothing was found."""
        if not self.outcomes:
            case = Question(id=f"{NOTHING_ELSE}/fuzz", title=f"fuzzing with seed {self.seed}")
            came = f"{self.ring.said} requests in {self.ring.examples} examples, {self.ring.closed} connections closed"
            self.outcomes.append(Outcome(case=case, verdict=Verdict.PASS, came=came, seconds=seconds))
            self.tell(self.outcomes[-1])
        return tuple(self.outcomes)
