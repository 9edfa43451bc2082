"""Verdicts, and what is kept of a case that has been asked."""

from enum import StrEnum

import attrs

from conformance.judge.case import Question
from conformance.judge.peer import Recorded

__all__ = ["Outcome", "Report", "Verdict", "joined"]


class Verdict(StrEnum):
    """How a case ended."""

    PASS = "pass"
    FAIL = "fail"
    """it did otherwise than the clause says, or somebody else's session suffered"""
    CRASHED = "crashed"
    """the testee is gone"""
    HUNG = "hung"
    """nothing came where something was due, or no fresh session was served in time"""
    LEAKED = "leaked"
    """it did as the clause says, and keeps memory or descriptors afterwards: more each time that it is asked"""
    UNSUPPORTED = "unsupported"
    """the testee does not have what the case asks about"""
    ERROR = "error"
    """a fault of the suite, not of the testee"""

    @property
    def holds(self) -> bool:
        """Whether there is nothing to tell: the testee has kept the clause, or could not be asked."""
        return self in (Verdict.PASS, Verdict.UNSUPPORTED)

    @property
    def blames(self) -> bool:
        """Whether the testee has not kept the clause."""
        return self in (Verdict.FAIL, Verdict.CRASHED, Verdict.HUNG, Verdict.LEAKED)


@attrs.frozen(kw_only=True)
class Outcome:
    """A case and how it ended; `record` holds what went over each of its connections."""

    case: Question
    verdict: Verdict
    expected: str = ""
    came: str = ""
    record: dict[str, list[Recorded]] = attrs.field(factory=dict)
    seconds: float = 0.0
    as_server: bool = False
    """whether the judge was the server: then what it sent are no requests"""
    foreseen: tuple[Verdict, ...] = ()
    """the verdicts that somebody expects of this case and testee; empty when nobody said"""

    @property
    def violates(self) -> bool:
        """Whether a MUST has not been kept."""
        return self.case.level == "MUST" and self.verdict.blames

    @property
    def excused(self) -> bool:
        """Whether it was not kept, as somebody expects."""
        return self.verdict.blames and self.verdict in self.foreseen

    @property
    def surprises(self) -> bool:
        """Whether it passed, and was not expected to."""
        return self.verdict is Verdict.PASS and bool(self.foreseen) and Verdict.PASS not in self.foreseen

    @property
    def counts(self) -> bool:
        """Whether it makes the exit code 1."""
        return (self.violates and not self.excused) or self.surprises


@attrs.frozen(kw_only=True)
class Report:
    """One run: who was judged, by which version, what was noted about it, and every outcome in the order asked."""

    testee: str
    version: str
    notes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    cut_short: str = ""
    """why cases are missing, if they are"""
    seed: int | None = None
    """what the order of the cases and the fuzzing were drawn from; None: the order of the prose, and no fuzzing"""
    began: str = ""
    """when, as ISO 8601; empty when nobody said"""
    seconds: float = 0.0

    def count(self, verdict: Verdict, level: str | None = None) -> int:
        """How many cases ended so, of one level or of all."""
        return sum(o.verdict is verdict and level in (None, o.case.level) for o in self.outcomes)


def joined(parts: tuple[Report, ...], order: tuple[Question, ...]) -> Report:
    """One report of several testees of one kind that were asked a part of the cases each; outcomes in that order.

    A note or a reason to be cut short that several parts give stands once.
    """
    first = parts[0]
    found = {outcome.case.id: outcome for part in parts for outcome in part.outcomes}
    return attrs.evolve(
        first,
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        outcomes=tuple(found[case.id] for case in order if case.id in found),
        cut_short="; ".join(dict.fromkeys(part.cut_short for part in parts if part.cut_short)),
    )
