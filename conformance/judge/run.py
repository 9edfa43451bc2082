"""Ask the cases one by one, look after the testee between them, and say how each ended.

Rules
- A case is judged by what it saw. Then the liveness probe: the process is the same, a fresh session is served, the
  bystander has its bytes. What the probe finds outweighs a case that passed, and a crash outweighs everything.
- A testee that has died is started again if that can be; if not, the report is cut short and says so.
- Whatever goes wrong in a case's own code is the verdict error: a fault of the suite, never blamed on the testee.
"""

import traceback
from collections.abc import Callable, Sequence

import attrs
import trio

from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.peer import Dial, Peer
from conformance.judge.probe import Bystander, fresh_session, serves_two
from conformance.judge.steps import Answer, Mismatch, NotOffered
from conformance.judge.testee import NotReached, Testee
from conformance.judge.verdict import Outcome, Report, Verdict

__all__ = ["ONE_CLIENT", "Judge", "conduct"]

ONE_CLIENT = "one client: it answers nobody else while a client is connected, so there is no bystander (LIFE-2)"


async def conduct(case: Case, codec: Codec, dial: Dial, timeout: float) -> Outcome:
    """Carry out a case's steps, close its connections, and judge by what it saw alone."""
    peers: dict[str, Peer] = {}
    begin = trio.current_time()
    outcome = Outcome(case=case, verdict=Verdict.PASS)
    try:
        await _carry_out(case, codec, peers, dial, timeout)
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


async def _carry_out(case: Case, codec: Codec, peers: dict[str, Peer], dial: Dial, timeout: float) -> None:
    script = case.script(codec)
    answer: Answer = None
    try:
        while True:
            step = script.send(answer)
            if step.on not in peers:
                peers[step.on] = Peer(await dial(), timeout)
            answer = await peers[step.on].perform(step)
    except StopIteration:
        return
    finally:
        script.close()


@attrs.define
class Judge:
    """A testee and how long to wait for it; `timeout` is seconds for every single step."""

    testee: Testee
    codec: Codec
    timeout: float
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
            return
        self._bystander = Bystander(self.testee.dial, self.codec, self.timeout)
        await self._bystander.arrive()

    async def run(self, cases: Sequence[Case], tell: Callable[[Outcome], None]) -> Report:
        """Ask all cases; `tell` hears of each at once. When a dead testee stays dead the report is cut short."""
        outcomes: list[Outcome] = []
        cut_short = ""
        for case in cases:
            outcomes.append(await self.ask(case))
            tell(outcomes[-1])
            try:
                await self._recover()
            except NotReached as gone:
                cut_short = str(gone)
                break
        if self._bystander is not None:
            await self._bystander.leave()
        return Report(
            testee=self.testee.name,
            version=self.codec.dialect.name,
            notes=tuple(self.notes),
            outcomes=tuple(outcomes),
            cut_short=cut_short,
        )

    async def ask(self, case: Case) -> Outcome:
        """Ask one case and probe."""
        if case.clients > 1 and self._one_client:
            return Outcome(case=case, verdict=Verdict.UNSUPPORTED, came="one client: two connections cannot be open")
        outcome = await conduct(case, self.codec, self.testee.dial, self.timeout)
        return await self._probed(outcome)

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

    async def _recover(self) -> None:
        """After an illness: go on with a testee that serves again by itself, else start it anew."""
        if not self._ill:
            return
        if self.testee.dead() or not await self._serves():
            await self.testee.restart()
        try:
            if self._bystander is not None:
                await self._bystander.arrive()
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
