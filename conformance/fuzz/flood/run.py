"""Runs a flood: workers play sessions side by side, an overseer looks after the testee, and what goes wrong is found.

Rules
- Sessions are numbered, and a worker takes the next number. After every CHECK_MESSAGES messages the overseer asks for a
  fresh session, the bystander's and the neighbour's bytes, and notes what the testee's processes hold.
- What it holds after WARM_UP of the messages is the level. In the end, with all connections closed, not one descriptor
  more may be held, and not more than GROWTH_BYTES of memory.
- When something is wrong all workers stop. The sessions that were open then, or have ended since the last check, are
  played one by one (single.py) until one of them does it again: that is the finding, and it is written as a script. If
  none does, the finding stands, without one.
"""

from collections.abc import Callable

import attrs
import trio

from conformance.fuzz.acting import Actor
from conformance.fuzz.flood.session import Neighbourhood, session, still_there
from conformance.fuzz.flood.single import Found, Plan, alone, neighbourhood
from conformance.fuzz.flood.tally import Tally
from conformance.fuzz.stage import Finding, Stage
from conformance.judge.codec import Codec
from conformance.judge.testee import Testee
from conformance.judge.verdict import Verdict
from conformance.judge.watch.processes import MIB, Usage

__all__ = ["Flood"]

CHECK_MESSAGES = 2000
WARM_UP = 0.1
GROWTH_BYTES = 64 << 20
SETTLE_SECONDS = 5.0
POLL_SECONDS = 0.05
TELL_SECONDS = 5.0

Look = Callable[[], Usage | None]


@attrs.define(eq=False)
class Flood:
    """One run. look: what the testee's processes hold, where that can be seen; tell: hears how it goes."""

    testee: Testee
    codec: Codec
    plan: Plan
    look: Look
    tell: Callable[[str], None]
    tally: Tally = attrs.field(factory=Tally)
    usages: list[Usage] = attrs.field(factory=list)
    level: Usage | None = None
    seconds: float = 0.0
    _next: int = 0
    _recent: list[int] = attrs.field(factory=list)
    _finding: Finding | None = None

    async def run(self) -> Found | None:
        """Play until the plan is fulfilled or something is wrong; Mismatch or OSError when nobody is served at all."""
        stage = Stage(self.testee, self.codec, self.plan.timeout, careful=False)
        await stage.begin()
        near, actor = await neighbourhood(stage, stage.play)
        self._next = self.plan.first
        begin = trio.current_time()
        try:
            await self._flooded(stage, near, actor, begin)
        finally:
            self.seconds = trio.current_time() - begin
            await stage.end()
        if self._finding is not None:
            return await self._again(self._finding)
        return await self._leak()

    async def _flooded(self, stage: Stage, near: Neighbourhood, actor: Actor | None, begin: float) -> None:
        workers = 1 if stage.one_client else self.plan.connections
        self._look()
        with trio.move_on_after(self.plan.seconds):
            async with trio.open_nursery() as nursery:
                for _ in range(workers):
                    nursery.start_soon(self._work, stage, near, nursery.cancel_scope)
                await self._oversee(stage, actor, begin, nursery.cancel_scope)
                nursery.cancel_scope.cancel()

    async def _work(self, stage: Stage, near: Neighbourhood, scope: trio.CancelScope) -> None:
        while self.tally.messages < self.plan.messages and self._finding is None:
            index, self._next = self._next, self._next + 1
            self._recent.append(index)
            self.tally.sessions += 1
            try:
                await session(near, self.plan.seed, index, stage.play, self.tally.add)
            except Finding as finding:
                self._met(finding)
                scope.cancel()

    async def _oversee(self, stage: Stage, actor: Actor | None, begin: float, scope: trio.CancelScope) -> None:
        checked, told = 0, begin
        while self.tally.messages < self.plan.messages:
            await trio.sleep(POLL_SECONDS)
            if self.tally.messages - checked >= CHECK_MESSAGES and not stage.one_client:
                checked, recent = self.tally.messages, len(self._recent)
                await self._check(stage, actor)
                self._recent = self._recent[max(recent - 2 * self.plan.connections, 0) :]
            if self._finding is not None:
                return
            if self.level is None and self.tally.messages >= WARM_UP * self.plan.messages:
                self.level = self.look()
            if trio.current_time() - told >= TELL_SECONDS:
                told = trio.current_time()
                self.tell(self._progress(told - begin))

    async def _check(self, stage: Stage, actor: Actor | None) -> None:
        try:
            await stage.well()
            if actor is not None:
                await stage.play(still_there(actor))
        except Finding as finding:
            self._met(finding)
        self._look()

    def _met(self, finding: Finding) -> None:
        """The first one counts."""
        if self._finding is None:
            self._finding = finding

    def _look(self) -> None:
        if (now := self.look()) is not None:
            self.usages.append(now)

    def _progress(self, seconds: float) -> str:
        rate = self.tally.messages / max(seconds, 1e-9)
        held = f"; {self.held(self.usages[-1])}" if self.usages else ""
        return f"{seconds:6.0f} s, {rate:.0f} a second: {self.tally.summary()}{held}"

    @staticmethod
    def held(usage: Usage) -> str:
        """Usage in words."""
        return f"holds {usage.memory / MIB:.1f} MiB, {usage.descriptors} descriptors"

    async def _leak(self) -> Found | None:
        """All connections are closed: what is held above the level, when it had time to come down?"""
        if self.level is None:
            return None
        with trio.move_on_after(SETTLE_SECONDS):
            while self._above():
                await trio.sleep(POLL_SECONDS)
        self._look()
        if not (above := self._above()):
            return None
        return Found(finding=Finding(Verdict.LEAKED, "LIFE-3", f"what was held before: {self.held(self.level)}", above))

    def _above(self) -> str:
        now = self.look()
        if now is None or self.level is None:
            return ""
        leaked = now.descriptors > self.level.descriptors or now.memory > self.level.memory + GROWTH_BYTES
        return self.held(now) if leaked else ""

    async def _again(self, finding: Finding) -> Found:
        """Which session was it? The latest are the likeliest."""
        self.tell(f"something is wrong: {finding}")
        for index in sorted(set(self._recent), reverse=True):
            if (found := await alone(self.testee, self.codec, self.plan, index)) is not None:
                return found
        return Found(finding=finding)
