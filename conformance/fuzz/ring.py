"""The arena of a campaign: plays steps in the event loop for the thread that Hypothesis runs in, and keeps findings."""

import time

import attrs
import trio

from conformance.fuzz.model.session import World
from conformance.fuzz.replay import play_script
from conformance.fuzz.request import Packing
from conformance.fuzz.script import Say, Script, Step
from conformance.fuzz.stage import Finding, Seen, Stage
from conformance.judge.peer import Recorded
from conformance.judge.testee import NotReached
from conformance.judge.verdict import Verdict

__all__ = ["Bounds", "Kept", "Ring"]

PATIENCE = 4

Signature = tuple[str, str, str]


@attrs.frozen(kw_only=True)
class Bounds:
    """What a campaign may spend besides its time; on each finding that is shrunk, whatever is spent first.

    Without the seconds, which differ from one machine and hour to the next, a seed finds the same to the byte.
    """

    rounds: int = 1 << 30
    round_examples: int = 50
    findings: int = 20
    examples: int = 600
    """that are played to shrink a finding"""
    seconds: float = 60.0
    """for that, and again for leaving requests out"""


@attrs.frozen(kw_only=True)
class Kept:
    """A finding with the smallest script that led to it."""

    finding: Finding
    steps: tuple[Step, ...]
    record: dict[str, list[Recorded]]

    @property
    def size(self) -> tuple[int, int]:
        """Steps, and bytes that are sent."""
        return len(self.steps), sum(len(step.message.data) for step in self.steps if isinstance(step, Say))


@attrs.define(eq=False)
class Ring:
    """An arena (machine/sessions.py), whose methods are called in that thread.

    known: findings that have been told, by signature; kept: all that were met, each with its smallest script; target:
    the one that this round shrinks; done: nothing more is played in this example; lost: why the testee is gone.
    """

    stage: Stage
    world: World
    packing: Packing
    connections: int
    deadline: float
    bounds: Bounds
    known: set[Signature] = attrs.field(factory=set)
    kept: dict[Signature, Kept] = attrs.field(factory=dict)
    target: Signature | None = None
    done: bool = False
    lost: NotReached | None = None
    examples: int = 0
    shrinking: int = 0
    said: int = 0
    volume: int = 0
    """bytes sent"""
    closed: int = 0
    _steps: list[Step] = attrs.field(factory=list)
    _until: float = 0.0

    @property
    def over(self) -> bool:
        """Whether the testee is lost."""
        return self.lost is not None

    def round(self) -> None:
        """A round begins: nothing is shrunk yet."""
        self.target, self.shrinking, self._until = None, 0, self.deadline

    def begin(self) -> None:
        """A new example."""
        self.shrinking += self.target is not None
        spent = time.monotonic() > self._until or self.shrinking > self.bounds.examples
        self.done = self.lost is not None or spent
        self._steps = []
        if not self.done:
            self.examples += 1
            trio.from_thread.run(self.stage.clear)

    def play(self, step: Step) -> Seen | None:
        """Play a step; raises the finding that this round is about."""
        if self.done:
            return None
        self._steps.append(step)
        try:
            seen = trio.from_thread.run(self.stage.play, step)
        except Finding as finding:
            self._met(finding)
            return None
        if isinstance(step, Say):
            self.said += len(step.expected)
            self.volume += len(step.message.data)
        self.closed += seen.closed
        return seen

    def _met(self, finding: Finding) -> None:
        self.done = True
        found = Kept(finding=finding, steps=tuple(self._steps), record=self.stage.record)
        mark = finding.signature
        try:
            trio.from_thread.run(self.stage.heal)
            if mark not in self.kept and not trio.from_thread.run(self._believed, found):
                return
        except NotReached as gone:
            self.lost = gone
        if mark not in self.kept or found.size < self.kept[mark].size:
            self.kept[mark] = found
        if mark in self.known or (self.target is not None and mark != self.target):
            return
        if self.target is None:
            self.target, self._until = mark, time.monotonic() + self.bounds.seconds
        raise finding

    async def _believed(self, found: Kept) -> bool:
        """A silence has to be met again by whoever waits longer: the machine may have had other things to do."""
        if found.finding.verdict is not Verdict.HUNG:
            return True
        patient = Stage(self.stage.testee, self.stage.codec, PATIENCE * self.stage.timeout)
        await patient.begin()
        try:
            if await play_script(patient, Script(version=self.world.dialect.name, steps=found.steps)) is None:
                return False
            await patient.heal()
        finally:
            await patient.end()
        return True
