"""Ask the cases one by one, look after the testee between them, and say how each ended.

Rules
- A case is judged by what it saw. Then the liveness probe: the process is the same, a fresh session is served, the
  bystander has its bytes and its results, and the testee holds no more than before (watch/). What the probe finds
  outweighs a case that passed, and a crash outweighs everything; a leak is told beside what else was wrong.
- A testee that has died is started again if that can be; if not, the report is cut short and says so.
- Whatever goes wrong in a case's own code is the verdict error: a fault of the suite, never blamed on the testee.
"""

import traceback
from collections.abc import Callable, Sequence

import attrs
import trio

from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.grounds import Grounds
from conformance.judge.peer import Dial, Peer
from conformance.judge.probe import Bystander, fresh_session, serves_two
from conformance.judge.steps import Answer, Connect, Mismatch, NotOffered, OfTestee, OnConnection, Talk
from conformance.judge.testee import NotReached, Testee
from conformance.judge.verdict import Outcome, Report, Verdict
from conformance.judge.watch.level import Leak, Watch

__all__ = ["ONE_CLIENT", "Judge", "conduct"]

NO_GROUNDS = Grounds()
ONE_CLIENT = "one client: it answers nobody else while a client is connected, so there is no bystander (LIFE-2)"
NO_SUM = "no sum: it does not add two vectors, so the bystander has no results, only its bytes"
UNWATCHED = "memory and descriptors are not watched: the testee is no process that can be looked at from here"
NO_CACHE = "no tensor cache: only a command with {cache} in it, where it takes the folder, has one that can be judged"


async def conduct(case: Case, codec: Codec, dial: Dial, timeout: float, grounds: Grounds = NO_GROUNDS) -> Outcome:
    """Carry out a case's steps, close its connections, and judge by what it saw alone."""
    peers: dict[str, Peer] = {}
    begin = trio.current_time()
    outcome = Outcome(case=case, verdict=Verdict.PASS)
    try:
        await _carry_out(case.script(codec), peers, _Reach(dial, timeout, grounds))
    except Mismatch as wrong:
        verdict = Verdict.HUNG if wrong.silent else Verdict.FAIL
        outcome = Outcome(case=case, verdict=verdict, expected=wrong.expected, came=wrong.came)
    except NotOffered as lack:
        outcome = Outcome(case=case, verdict=Verdict.UNSUPPORTED, came=str(lack))
    except OSError as refused:
        outcome = Outcome(case=case, verdict=Verdict.FAIL, expected="a connection", came=str(refused))
    except Exception:
        outcome = Outcome(case=case, verdict=Verdict.ERROR, came=traceback.format_exc())
    finally:
        for peer in peers.values():
            await peer.close()
    record = {name: list(peer.record) for name, peer in peers.items()}
    return attrs.evolve(outcome, record=record, seconds=trio.current_time() - begin)


@attrs.frozen
class _Reach:
    """How a case gets at its testee."""

    dial: Dial
    timeout: float
    grounds: Grounds

    async def stream(self, step: OnConnection) -> trio.abc.HalfCloseableStream:
        """The connection that the step opens."""
        if isinstance(step, Connect) and step.origin:
            return await self.grounds.dial_from(step.origin)
        return await self.dial()


async def _carry_out(script: Talk[None], peers: dict[str, Peer], reach: _Reach) -> None:
    answer: Answer = None
    try:
        while True:
            step = script.send(answer)
            if isinstance(step, OfTestee):
                answer = reach.grounds.perform(step)
                continue
            if step.on not in peers:
                peers[step.on] = Peer(await reach.stream(step), reach.timeout)
            answer = await peers[step.on].perform(step)
    except StopIteration:
        return
    finally:
        script.close()


@attrs.define
class Judge:
    """A testee and how long to wait for it; `timeout` is seconds for every single step. No watch: no leak is seen.

    `look` once, then `run` any number of times, or `ask` and `recover` by turns; `leave` in the end.
    """

    testee: Testee
    codec: Codec
    timeout: float
    watch: Watch | None = None
    notes: list[str] = attrs.field(factory=list)
    _bystander: Bystander | None = None
    _one_client: bool = False
    _ill: bool = False

    async def look(self) -> None:
        """See whether the testee can be judged at all: Mismatch or OSError says why not."""
        await fresh_session(self.testee.dial, self.codec, self.timeout)
        self._one_client = not await serves_two(self.testee.dial, self.codec, self.timeout)
        await fresh_session(self.testee.dial, self.codec, self.timeout)
        if self._one_client:
            self.notes.append(ONE_CLIENT)
        else:
            self._bystander = Bystander(self.testee.dial, self.codec, self.timeout)
            await self._bystander.arrive()
            self.notes += [] if self._bystander.computes else [NO_SUM]
        if self.watch is not None and not await self.watch.begin(self._ordinary_traffic):
            self.notes.append(UNWATCHED)

    async def run(self, cases: Sequence[Case], tell: Callable[[Outcome], None]) -> Report:
        """Ask all cases; `tell` hears of each at once. When a dead testee stays dead the report is cut short."""
        outcomes: list[Outcome] = []
        cut_short = ""
        for case in cases:
            outcomes.append(await self.ask(case))
            tell(outcomes[-1])
            try:
                await self.recover()
            except NotReached as gone:
                cut_short = str(gone)
                break
        watched = () if self.watch is None else self.watch.summary()
        return Report(
            testee=self.testee.name,
            version=self.codec.dialect.name,
            notes=(*self.notes, *watched),
            outcomes=tuple(outcomes),
            cut_short=cut_short,
        )

    async def ask(self, case: Case) -> Outcome:
        """Ask one case and probe."""
        if case.clients > 1 and self._one_client:
            return Outcome(case=case, verdict=Verdict.UNSUPPORTED, came="one client: two connections cannot be open")
        if case.needs_cache and self.testee.grounds.cache is None:
            return Outcome(case=case, verdict=Verdict.UNSUPPORTED, came=NO_CACHE)
        outcome = await self._once(case)
        if self._ill or self.watch is None:
            return outcome
        return await self._weighed(case, outcome, self.watch)

    async def leave(self) -> None:
        """Let the bystander go."""
        if self._bystander is not None:
            await self._bystander.leave()

    async def _once(self, case: Case) -> Outcome:
        outcome = await conduct(case, self.codec, self.testee.dial, self.timeout, self.testee.grounds)
        return await self._probed(outcome)

    async def _weighed(self, case: Case, outcome: Outcome, watch: Watch) -> Outcome:
        """The outcome with what the testee keeps of the case, or the illness that came of asking it again."""
        later = outcome

        async def again() -> bool:
            nonlocal later
            later = await self._once(case)
            return not self._ill

        volume = sum(piece.size for pieces in outcome.record.values() for piece in pieces)
        leak = await watch.leak(volume, again)
        if self._ill:
            return attrs.evolve(later, came=f"when it was asked again: {later.came}")
        return outcome if leak is None else _leaked(outcome, leak)

    async def _ordinary_traffic(self) -> None:
        await fresh_session(self.testee.dial, self.codec, self.timeout)
        if self._bystander is not None:
            await self._bystander.check()

    async def _probed(self, outcome: Outcome) -> Outcome:
        try:
            await fresh_session(self.testee.dial, self.codec, self.timeout)
        except (Mismatch, OSError) as wrong:
            return await self._ailing(outcome, wrong)
        if ending := self.testee.dead():
            return await self._ailing(outcome, OSError(ending))
        if self._bystander is None:
            return outcome
        try:
            await self._bystander.check()
        except Mismatch as wrong:
            self._ill = True
            return _worse(outcome, Verdict.FAIL, f"in a bystander's session: {wrong.expected}", wrong.came)
        return outcome

    async def _ailing(self, outcome: Outcome, wrong: Mismatch | OSError) -> Outcome:
        """The fresh session was not served: because the testee is dead, or although it lives."""
        self._ill = True
        ending = await self.testee.death(self.timeout)
        if ending is not None:
            return _worse(outcome, Verdict.CRASHED, outcome.expected or "a testee that lives on", ending)
        silent = isinstance(wrong, Mismatch) and wrong.silent
        verdict = Verdict.HUNG if silent else Verdict.FAIL
        return _worse(outcome, verdict, "a fresh session that is served afterwards", str(wrong))

    async def recover(self) -> None:
        """After an illness: go on with a testee that serves again by itself, else start it anew.

        Raises NotReached when it stays dead or serves nobody.
        """
        if not self._ill:
            return
        is_gone = self.testee.dead() is not None or not await self._serves()
        if is_gone:
            await self.testee.restart()
        try:
            if is_gone:
                await fresh_session(self.testee.dial, self.codec, self.timeout)
            if self._bystander is not None:
                await self._bystander.arrive()
            if is_gone and self.watch is not None:
                await self.watch.begin(self._ordinary_traffic)
        except (Mismatch, OSError) as wrong:
            raise NotReached(f"{self.testee.name} serves nobody any more: {wrong}") from wrong
        self._ill = False

    async def _serves(self) -> bool:
        try:
            await fresh_session(self.testee.dial, self.codec, self.timeout)
        except (Mismatch, OSError):
            return False
        return True


def _worse(outcome: Outcome, verdict: Verdict, expected: str, came: str) -> Outcome:
    """The outcome with what the probe found; an error of the suite stays one."""
    if outcome.verdict is Verdict.ERROR:
        return outcome
    return attrs.evolve(outcome, verdict=verdict, expected=expected, came=came)


def _leaked(outcome: Outcome, leak: Leak) -> Outcome:
    """The outcome with the leak as its verdict, unless it has a worse one: then told beside it."""
    if outcome.verdict.blames:
        return attrs.evolve(outcome, came=f"{outcome.came}\nand it leaked: {leak}")
    return _worse(outcome, Verdict.LEAKED, "no more memory or descriptors held afterwards than before", str(leak))
