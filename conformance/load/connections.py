"""Thousands of connections that come and go in every way, and what is left of them afterwards.

Rules
- What the testee holds before anybody but the bystander has come is the level of descriptors and threads; that of
  memory is what it holds when connections of every kind have made it warm. In the end it has some time to come back to
  both: memory but for an allowance, descriptors and threads exactly.
- Connections come in batches, WORKERS at once, in an order that is drawn from the seed. Between two batches a look is
  taken at what the testee holds, and a fresh client has to be served. A bystander's session goes on all the time.
- Lingering connections (kinds.py) are let go one by one when there are more than WINDOW of them; at the end those that
  are left stay open at this end until the testee has ended them by itself.
- A testee that serves one client gets no bystander and no lingering connections, which would only make others wait.
"""

import random
from collections import Counter, deque
from collections.abc import Sequence

import attrs
import trio

from conformance.judge.steps import Mismatch
from conformance.load.client import Bystander, is_served
from conformance.load.kinds import KILLED, KINDS, VANISHED, Kind, can_vanish
from conformance.load.report import Findings
from conformance.load.testees import ONE_CLIENT, Loaded
from conformance.load.usage import MIB, Growth, Usage, calm, settled
from conformance.load.victims import Executioner, executioner

__all__ = ["Plan", "connections"]

WORKERS = 8
WINDOW = 24
"""lingering connections at once"""
VANISHED_SECONDS = 40.0
"""how long a vanished client may go unnoticed: keepalive asks after half a minute"""
KILLED_SHARE = 100
PAUSE = 0.05
"""seconds between two runs of the bystander's graph"""
BATCHES = 10
WARM = 400
UNSEEN = "its process cannot be seen"


@attrs.frozen(kw_only=True)
class Plan:
    """count: connections besides the warming up; allowance: bytes that resident memory may grow by."""

    count: int = 10_000
    seed: int = 0
    allowance: int = 8 * MIB
    skip: Sequence[str] = ()
    """kinds to leave out"""
    drain: float = 75.0
    """seconds until whatever has gone has to be noticed: keepalive takes half a minute, a silent HELLO its limit"""


@attrs.define
class _Run:
    loaded: Loaded
    plan: Plan
    findings: Findings
    executioner: Executioner
    random: random.Random
    done: Counter[str] = attrs.field(factory=Counter)
    lingering: deque[trio.SocketStream] = attrs.field(factory=deque)
    vanished: deque[float] = attrs.field(factory=deque)
    memory: list[int] = attrs.field(factory=list)
    """bytes after each batch"""

    def kinds(self) -> list[Kind]:
        """Those that can be, weighted by their shares when one is drawn."""
        skip = {*self.plan.skip, *(() if can_vanish() else (VANISHED,))}
        return [
            kind for kind in KINDS.values() if kind.name not in skip and (self.loaded.serves_two or not kind.lingers)
        ]

    async def batch(self, count: int) -> None:
        """So many connections, WORKERS at once."""
        kinds = self.kinds()
        killed = () if KILLED in self.plan.skip else (KILLED,)
        names = [*(kind.name for kind in kinds), *killed]
        shares = [*(kind.share for kind in kinds), *(KILLED_SHARE for _ in killed)]
        drawn = deque(self.random.choices(names, shares, k=count))
        async with trio.open_nursery() as nursery:
            for _ in range(WORKERS):
                nursery.start_soon(self._work, drawn)

    async def _work(self, drawn: deque[str]) -> None:
        while drawn:
            name = drawn.popleft()
            try:
                if name == KILLED:
                    await self._kill()
                else:
                    await self._act(KINDS[name])
            except (Mismatch, OSError, trio.BrokenResourceError) as wrong:
                self.findings.fault(f"{name}: {wrong}")
            self.done[name] += 1

    async def _kill(self) -> None:
        if wrong := await self.executioner.kill_one():
            self.findings.fault(f"{KILLED}: {wrong}")

    async def _act(self, kind: Kind) -> None:
        if kind.name == VANISHED:
            await self._await_room_for_vanished()
        stream = await kind.act(self.loaded)
        if stream is not None:
            self.lingering.append(stream)
            while len(self.lingering) > WINDOW:
                await self.lingering.popleft().aclose()

    async def _await_room_for_vanished(self) -> None:
        """So that those of whom the testee cannot know yet that they have gone are no more than WINDOW."""
        now = trio.current_time()
        self.vanished.append(now)
        if len(self.vanished) > WINDOW:
            await trio.sleep_until(max(now, self.vanished.popleft() + VANISHED_SECONDS))


async def connections(loaded: Loaded, plan: Plan, findings: Findings) -> None:
    """Run the load; figures and faults go to `findings`."""
    if not loaded.serves_two:
        findings.note(f"{ONE_CLIENT}: no bystander, no lingering connections")
    if not can_vanish():
        findings.note("clients that vanish without FIN and RST need CAP_NET_ADMIN: left out")
    async with executioner(loaded) as killer:
        run = _Run(loaded, plan, findings, killer, random.Random(plan.seed))
        if not loaded.serves_two:
            await _measured(run)
            return
        bystander = Bystander(loaded.dial, loaded.codec, loaded.timeout)
        await bystander.arrive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_beside, bystander, findings)
            await _measured(run)
            nursery.cancel_scope.cancel()
        findings.figure(runs_of_a_bystander=bystander.checks)
        await bystander.leave()


async def _beside(bystander: Bystander, findings: Findings) -> None:
    try:
        await bystander.watch(PAUSE)
    except Mismatch as wrong:
        findings.fault(f"a bystander's session: {wrong}")


async def _measured(run: _Run) -> None:
    plan, look = run.plan, run.loaded.look
    cold = await calm(look, plan.drain)
    await run.batch(min(WARM, max(1, plan.count)))
    await _let_go(run)
    warm = await calm(look, plan.drain)
    before = None if cold is None or warm is None else attrs.evolve(cold, memory=warm.memory)
    run.findings.tell(f"cold: {cold or UNSEEN}; warm: {warm or UNSEEN}")
    run.done.clear()
    begin = trio.current_time()
    for number in range(BATCHES):
        await run.batch(plan.count * (number + 1) // BATCHES - plan.count * number // BATCHES)
        if not await _lives(run):
            break
    seconds = trio.current_time() - begin
    after = None if before is None else await settled(look, before, plan.allowance, plan.drain)
    _judge(run, before, after)
    run.findings.figure(connections=sum(run.done.values()), seconds=seconds, **_by_kind(run.done))
    await _let_go(run)


async def _lives(run: _Run) -> bool:
    """Look between two batches; whether there is anybody to go on with."""
    if wrong := await is_served(run.loaded.dial, run.loaded.codec, run.loaded.timeout):
        run.findings.fault(f"a fresh client: {wrong}")
    if ending := run.loaded.testee.dead():
        run.findings.fault(ending)
        return False
    now = run.loaded.look()
    if now is not None:
        run.memory.append(now.memory)
    run.findings.tell(f"{sum(run.done.values())} connections: {now or UNSEEN}")
    return True


async def _let_go(run: _Run) -> None:
    while run.lingering:
        await run.lingering.popleft().aclose()


def _judge(run: _Run, before: Usage | None, after: Usage | None) -> None:
    if before is None or after is None:
        run.findings.note("memory, descriptors and threads could not be seen")
        return
    for fault in Growth(before, after, run.plan.allowance).faults():
        run.findings.fault(fault)
    run.findings.figure(
        before=str(before),
        after=str(after),
        memory_grown_MiB=(after.memory - before.memory) / MIB,
        allowance_MiB=run.plan.allowance / MIB,
        MiB_by_tenths=", ".join(f"{memory / MIB:.1f}" for memory in run.memory),
    )


def _by_kind(done: Counter[str]) -> dict[str, int]:
    return {f"of_kind_{name}": count for name, count in sorted(done.items())}
