"""Run the client once for each deed, and let the cases ask about what was seen.

Rules
- The ordinary run comes first, and has to end with exit code 0 and twice with the same text: without it there is
  nothing to compare with.
- A text that is another one is asked for once more before it counts: a client in a hurry may lose its last words.
- Whether a client sends a command is known from the ordinary run; a deed at one that it does not send is not tried.
- The memory that a client may take is that of its ordinary run and ROOM_BYTES.
- A right server that has died meanwhile, perhaps because the client left without a word, is started again.
"""

import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import trio

from conformance.client.case import ClientCase, Evidence, Finding, Seen
from conformance.client.hostile.deeds import Deed, Nothing
from conformance.client.hostile.relay import HostileServer
from conformance.client.process import Patience, start_client, watch_client
from conformance.client.questions import compares, last_words
from conformance.judge.codec import Codec
from conformance.judge.probe import fresh_session
from conformance.judge.steps import Mismatch
from conformance.judge.testee import NotReached, Testee
from conformance.judge.verdict import Outcome, Report, Verdict

__all__ = ["ClientJudge"]

ROOM_BYTES = 256 << 20
TRIES = 3
SERVED_SECONDS = 5.0
HELLO = "HELLO"


@attrs.define(eq=False)
class ClientJudge:
    """name and command: the client, `{endpoint}` left open; server: the right one behind; limit: see Patience."""

    name: str
    command: str
    server: Testee
    codec: Codec
    limit: float
    _runs: dict[Deed, Evidence] = attrs.field(factory=dict)

    async def look(self) -> Evidence:
        """The ordinary run; raises NotReached when it is none, or another one each time."""
        last = await self._ordinary()
        for _ in range(TRIES):
            run = self._runs[Nothing()] = await self._ordinary()
            if run.ending.out == last.ending.out:
                return run
            last = run
        raise NotReached(f"{self.name} does not give the same text each time")

    async def _ordinary(self) -> Evidence:
        run = await self._run(Nothing(), Patience(self.limit))
        if run.ending.code != 0:
            raise NotReached(f"{self.name} does not end its ordinary run: {run.ending}\n{last_words(run.ending)}")
        if not run.sent(HELLO):
            raise NotReached(f"{self.name} ended without a word to {run.endpoint}; is {{endpoint}} where it belongs?")
        return run

    async def run(self, cases: Sequence[ClientCase], tell: Callable[[Outcome], None]) -> Report:
        """Ask all cases after `look`; `tell` hears of each at once. A right server that stays dead cuts it short."""
        outcomes: list[Outcome] = []
        cut_short = ""
        for case in cases:
            try:
                outcomes.append(await self.ask(case))
            except NotReached as gone:
                cut_short = str(gone)
                break
            tell(outcomes[-1])
        return Report(
            testee=self.name,
            version=self.codec.dialect.name,
            notes=(f"the right server behind the hostile one: {self.server.name}",),
            outcomes=tuple(outcomes),
            cut_short=cut_short,
        )

    async def ask(self, case: ClientCase) -> Outcome:
        """Ask one case, running the client for its deed unless that has been done."""
        if case.needs and not self._runs[Nothing()].sent(case.needs):
            return Outcome(case=case, verdict=Verdict.UNSUPPORTED, came=f"it does not send {case.needs}")
        try:
            finding = await self._found(case)
        except NotReached:
            raise
        except Exception:
            return Outcome(case=case, verdict=Verdict.ERROR, came=traceback.format_exc(), as_server=True)
        run = self._runs[case.deed]
        return Outcome(
            case=case,
            verdict=finding.verdict,
            expected=finding.expected,
            came=finding.came,
            record={f"connection {at}": list(talk.pieces) for at, talk in enumerate(run.conversations, 1)},
            seconds=run.ending.seconds,
            as_server=True,
        )

    async def _found(self, case: ClientCase) -> Finding:
        if case.deed not in self._runs:
            await self._try(case.deed)
        finding = self._asked(case)
        if finding.verdict is Verdict.FAIL and compares(case.asks) and self._runs[case.deed].ending.code == 0:
            await self._try(case.deed)
            return self._asked(case)
        return finding

    async def _try(self, deed: Deed) -> None:
        memory = self._runs[Nothing()].ending.peak + ROOM_BYTES
        self._runs[deed] = await self._run(deed, Patience(self.limit, memory))

    def _asked(self, case: ClientCase) -> Finding:
        run = self._runs[case.deed]
        if not run.begun and not isinstance(case.deed, Nothing):
            return Finding(Verdict.UNSUPPORTED, came="it never came to where that is done")
        return case.asks(Seen(codec=self.codec, run=run, ordinary=self._runs[Nothing()]))

    async def _run(self, deed: Deed, patience: Patience) -> Evidence:
        await self._ready()
        hostile = HostileServer(self.server.dial, self.codec, deed, keeps=isinstance(deed, Nothing))
        with tempfile.TemporaryDirectory(prefix="refimpl-client-") as name:
            folder = Path(name)
            async with await hostile.listen() as listener:
                process = await start_client(self.command.replace("{endpoint}", hostile.endpoint), folder)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(hostile.serve, listener)
                    ending = await watch_client(process, folder, hostile.begun, patience)
                    nursery.cancel_scope.cancel()
        talks = tuple(hostile.conversations)
        return Evidence(endpoint=hostile.endpoint, ending=ending, begun=hostile.begun.is_set(), conversations=talks)

    async def _ready(self) -> None:
        """Have the right server serve: a client that left before its reply came may have ended it."""
        try:
            await fresh_session(self.server.dial, self.codec, SERVED_SECONDS)
        except (Mismatch, OSError):
            await self.server.restart()
