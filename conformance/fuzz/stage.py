"""Plays steps to a testee and sees whether what comes is what was expected; then whether everybody else is still well.

Rules
- A connection is opened by the first step that names it. What was expected of a Say is gone through request by request;
  the first that may not be is a `Finding`.
- `well` is asked after every connection that has ended: the process lives, a fresh session is served, and the
  bystander, where there can be one, has its bytes. A crash outweighs what led to it. A stage that is not `careful`
  waits to be asked: where many connections are open at once, somebody else looks after the testee.
- FIN and RST are the same thing. Replies to requests before a violation may be lost with the connection (FRAME-11).
- Nothing here knows the model, or Hypothesis: a script that was read from a file is played like any other.
"""

from collections.abc import Callable, Mapping

import attrs

from conformance.fuzz.script import Close, Due, Expected, Finish, Place, Say, Step
from conformance.judge.codec import SIZE_BYTES, Codec, number
from conformance.judge.peer import Peer, Recorded
from conformance.judge.probe import Bystander, fresh_session, serves_two
from conformance.judge.steps import End, Leave, Mismatch, Reply, Reset, Send, Silence
from conformance.judge.steps import Finish as FinishStep
from conformance.judge.testee import NotReached, Testee
from conformance.judge.verdict import Verdict

__all__ = ["NOTHING_ELSE", "Finding", "Seen", "Stage"]

NOTHING_ELSE = "FRAME-11"
"""whatever is sent, neither the process nor anybody else suffers"""
CLOSED = "the connection closed, and no reply"
DEATH_SECONDS = 0.3
TOP = 1 << 64


class Finding(Exception):
    """The testee did what it must not; clause: that it did not keep; fatal: that it did not keep if it has died."""

    def __init__(
        self, verdict: Verdict, clause: str, expected: str, came: str, command: str = "", fatal: str = ""
    ) -> None:
        super().__init__(f"{verdict}: {clause}: expected {expected}; came {came}")
        self.verdict = verdict
        self.clause = clause
        self.expected = expected
        self.came = came
        self.command = command
        self.fatal = fatal or clause

    @property
    def signature(self) -> tuple[str, str, str]:
        """What two findings have in common when they are the same."""
        return str(self.verdict), self.clause, self.command


@attrs.frozen
class Seen:
    """What came of a Say: the replies, in order, of the requests that were served; whether the connection closed."""

    replies: tuple[bytes | None, ...]
    closed: bool


@attrs.define(eq=False)
class _Line:
    """A connection: what the server has said on it about buffers and about itself."""

    peer: Peer
    places: dict[str, Place] = attrs.field(factory=dict)


class Stage:
    """A testee on which scripts are played, one after the other."""

    def __init__(self, testee: Testee, codec: Codec, timeout: float, careful: bool = True) -> None:
        self.testee = testee
        self.codec = codec
        self.one_client = False
        self.timeout = timeout
        self._careful = careful
        self._lines: dict[str, _Line] = {}
        self._record: dict[str, list[Recorded]] = {}
        self._constants: dict[str, bytes] = {}
        self._bystander: Bystander | None = None

    async def begin(self) -> None:
        """See whether it serves two; Mismatch or OSError when it serves nobody."""
        await fresh_session(self.testee.dial, self.codec, self.timeout)
        self.one_client = not await serves_two(self.testee.dial, self.codec, self.timeout)
        await fresh_session(self.testee.dial, self.codec, self.timeout)
        if not self.one_client:
            self._bystander = Bystander(self.testee.dial, self.codec, self.timeout)
            await self._bystander.arrive()

    async def end(self) -> None:
        """Leave."""
        await self.clear()
        if self._bystander is not None:
            await self._bystander.leave()

    async def constant(self, command: str) -> int:
        """The answer to a question without a body, on a connection of its own."""
        peer = Peer(await self.testee.dial(), self.timeout)
        try:
            await peer.perform(Send(self.codec.request("HELLO") + self.codec.request(command)))
            answers = await peer.receive(), await peer.receive()
        finally:
            await peer.close()
        if not isinstance(answers[1], Reply):
            raise Mismatch(f"a reply to {command}", str(answers[1]), silent=isinstance(answers[1], Silence))
        return number(answers[1].body)

    @property
    def record(self) -> dict[str, list[Recorded]]:
        """What went over each connection since the last `clear`."""
        return {**self._record, **{on: line.peer.record for on, line in self._lines.items()}}

    def places(self, on: str) -> Mapping[str, Place]:
        """Buffers of a connection, and of all others that are open: names are not used twice."""
        return {name: place for line in self._lines.values() for name, place in line.places.items()}

    async def play(self, step: Step) -> Seen:
        """Carry out a step; raises Finding."""
        try:
            match step:
                case Say():
                    return await self._say(step)
                case Finish(on):
                    await self._finish(on)
                case Close(on, reset):
                    await self._close(on, reset)
        except OSError as refused:
            raise await self._worst(Finding(Verdict.FAIL, "LIFE-4", "a connection", str(refused))) from refused
        except Finding as finding:
            raise await self._worst(finding) from None
        return Seen((), closed=True)

    async def well(self, clause: str = NOTHING_ELSE, command: str = "") -> None:
        """Raise Finding unless the testee lives and serves, and the bystander is whole."""
        try:
            await fresh_session(self.testee.dial, self.codec, self.timeout)
            if self._bystander is not None:
                await self._bystander.check()
        except (Mismatch, OSError) as wrong:
            silent = isinstance(wrong, Mismatch) and wrong.silent
            verdict = Verdict.HUNG if silent else Verdict.FAIL
            expected = "a fresh session, and a bystander's, served as ever"
            raise await self._worst(Finding(verdict, clause, expected, str(wrong), command)) from None
        if ending := self.testee.dead():
            raise Finding(Verdict.CRASHED, clause, "a testee that lives on", ending, command)

    async def clear(self) -> None:
        """Close every connection, and forget what was said on it."""
        for line in self._lines.values():
            await line.peer.close()
        self._lines.clear()
        self._record.clear()

    async def heal(self) -> None:
        """After a finding: start a testee that is dead or does not serve anew; NotReached when it stays so."""
        await self.clear()
        if self.testee.dead() or not await self._serves():
            await self.testee.restart()
        try:
            if self._bystander is not None:
                await self._bystander.arrive()
        except (Mismatch, OSError) as wrong:
            raise NotReached(f"{self.testee.name} serves nobody any more: {wrong}") from wrong

    async def _serves(self) -> bool:
        try:
            await fresh_session(self.testee.dial, self.codec, self.timeout)
        except (Mismatch, OSError):
            return False
        return True

    async def _worst(self, finding: Finding) -> Finding:
        """The finding, or that the process has died."""
        if finding.verdict is Verdict.CRASHED or not (ending := await self.testee.death(DEATH_SECONDS)):
            return finding
        expected = f"{finding.expected}, and a testee that lives on"
        return Finding(Verdict.CRASHED, finding.fatal, expected, ending, finding.command)

    async def _line(self, on: str) -> _Line:
        if on not in self._lines:
            self._lines[on] = _Line(Peer(await self.testee.dial(), self.timeout))
        return self._lines[on]

    async def _say(self, step: Say) -> Seen:
        line = await self._line(step.on)
        data = step.message.filled(self.places(step.on))
        for begin, end in zip((0, *step.ends), (*step.ends, len(data)), strict=True):
            await line.peer.perform(Send(data[begin:end]))
        replies: list[bytes | None] = []
        may_be_closed = ""
        for expected in step.expected:
            if expected.must_close:
                await self._ended(line, expected)
                return await self._gone(step.on, expected, replies)
            may_be_closed = may_be_closed or (expected.may_close and expected.clause) or ""
            if expected.due is not None and expected.due.kind == "anything":
                return await self._gone(step.on, expected, replies)
            if expected.due is None:
                replies.append(None)
                continue
            answer = await line.peer.receive()
            doomed = any(each.must_close for each in step.expected)
            if isinstance(answer, End) and not answer.rest and (may_be_closed or doomed):
                return await self._gone(step.on, expected, replies)
            replies.append(self._checked(line, expected, answer))
        return Seen(tuple(replies), closed=False)

    async def _ended(self, line: _Line, expected: Expected) -> None:
        answer = await line.peer.receive()
        if not isinstance(answer, End) or answer.rest:
            verdict = Verdict.HUNG if isinstance(answer, Silence) else Verdict.FAIL
            raise Finding(verdict, expected.clause, CLOSED, str(answer), expected.command)

    async def _gone(self, on: str, expected: Expected, replies: list[bytes | None]) -> Seen:
        """The connection is of no more use; is everybody else well?"""
        await self._drop(on)
        if self._careful and not (self.one_client and self._lines):
            await self.well(expected.clause or NOTHING_ELSE, expected.command)
        return Seen(tuple(replies), closed=True)

    async def _drop(self, on: str) -> None:
        line = self._lines.pop(on)
        await line.peer.close()
        self._record[on] = line.peer.record

    async def _finish(self, on: str) -> None:
        line = await self._line(on)
        await line.peer.perform(FinishStep())
        await self._ended(line, Expected(must_close=True, clause="FRAME-12"))
        await self._gone(on, Expected(clause="FRAME-12"), [])

    async def _close(self, on: str, reset: bool) -> None:
        line = await self._line(on)
        await line.peer.perform(Reset() if reset else Leave())
        await self._gone(on, Expected(clause="LIFE-3"), [])

    def _checked(self, line: _Line, expected: Expected, answer: Reply | End | Silence) -> bytes:
        due = expected.due or Due("anything", 0)
        if not isinstance(answer, Reply) or answer.declared != due.size:
            verdict = Verdict.HUNG if isinstance(answer, Silence) else Verdict.FAIL
            wanted = f"a reply to {expected.command} of {due.size} bytes"
            own = self.codec.dialect.command(expected.command).clauses[0]
            clause = "FRAME-6" if isinstance(answer, Reply) else own
            raise Finding(verdict, clause, wanted, str(answer), expected.command, fatal=NOTHING_ELSE)
        if wrong := _CHECKS[due.kind](self._constants, line.places, due, answer.body):
            clause, wanted, came = wrong
            raise Finding(Verdict.FAIL, clause, wanted, came, expected.command)
        return answer.body


Wrong = tuple[str, str, str] | None
"""clause, what was expected, what came"""
Constants = dict[str, bytes]
Places = dict[str, Place]


def _same_bytes(constants: Constants, places: Places, due: Due, body: bytes) -> Wrong:
    for at, (came, wanted) in enumerate(zip(body, due.data, strict=True)):
        if came != wanted and (not due.care or due.care[at]):
            return "GET-2", f"byte {at} of {due.size} to be {wanted:#04x}", f"{came:#04x}: {body[: at + 16].hex(' ')}"
    return None


def _buffer(constants: Constants, places: Places, due: Due, body: bytes) -> Wrong:
    handle, size = number(body[:SIZE_BYTES]), number(body[SIZE_BYTES:])
    if handle == 0:
        return None if size == 0 else ("ALLOC-2", "size 0 with handle 0", str(size))
    if size < due.least:
        return "ALLOC-3", f"at least {due.least} bytes", str(size)
    places[due.name] = Place(handle, size)
    return None


def _base(constants: Constants, places: Places, due: Due, body: bytes) -> Wrong:
    base, place = number(body), places.get(due.name, Place(0, 0))
    if place.base not in (0, base):
        return "ALLOC-8", f"{place.base:#x}, as ever", f"{base:#x}"
    if (base == 0) != (place.size == 0) or base + place.size > TOP:
        return "HANDLE-5", f"the base of a buffer of {place.size} bytes", f"{base:#x}"
    places[due.name] = attrs.evolve(place, base=base)
    return None


def _constant(constants: Constants, places: Places, due: Due, body: bytes) -> Wrong:
    earlier = constants.setdefault(due.name, body)
    if body != earlier:
        return "DEVICE-1", f"{earlier.hex(' ')}, as ever", body.hex(" ")
    return None


def _memory(constants: Constants, places: Places, due: Due, body: bytes) -> Wrong:
    free, total = number(body[:SIZE_BYTES]), number(body[SIZE_BYTES:])
    return None if free <= total else ("DEVICE-3", f"not more free than there is: {total}", str(free))


def _at_least(constants: Constants, places: Places, due: Due, body: bytes) -> Wrong:
    size = number(body)
    return None if size >= due.least else ("ALLOC-12", f"at least {due.least} bytes", str(size))


def _one_of(constants: Constants, places: Places, due: Due, body: bytes) -> Wrong:
    return None if body[0] in due.data else ("COPY-4", f"one of {due.data.hex(' ')}", body.hex())


_CHECKS: Mapping[str, Callable[[Constants, Places, Due, bytes], Wrong]] = {
    "bytes": _same_bytes,
    "buffer": _buffer,
    "base": _base,
    "constant": _constant,
    "memory": _memory,
    "at least": _at_least,
    "one of": _one_of,
}
