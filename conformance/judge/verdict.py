"""Verdicts, and what is kept of a case that has been asked."""

from enum import StrEnum

import attrs

from conformance.judge.case import Case
from conformance.judge.peer import Recorded

__all__ = ["Outcome", "Report", "Verdict"]


class Verdict(StrEnum):
    """How a case ended."""

    PASS = "pass"
    FAIL = "fail"
    """it did otherwise than the clause says, or somebody else's session suffered"""
    CRASHED = "crashed"
    """the testee is gone"""
    HUNG = "hung"
    """nothing came where something was due, or no fresh session was served in time"""
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
        return self in (Verdict.FAIL, Verdict.CRASHED, Verdict.HUNG)


@attrs.frozen(kw_only=True)
class Outcome:
    """A case and how it ended; `record` holds what went over each of its connections."""

    case: Case
    verdict: Verdict
    expected: str = ""
    came: str = ""
    record: dict[str, list[Recorded]] = attrs.field(factory=dict)
    seconds: float = 0.0

    @property
    def violates(self) -> bool:
        """Whether a MUST has not been kept."""
        return self.case.level == "MUST" and self.verdict.blames


@attrs.frozen(kw_only=True)
class Report:
    """One run: who was judged, by which version, what was noted about it, and every outcome in order."""

    testee: str
    version: str
    notes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    cut_short: str = ""
    """why cases are missing at the end, if they are"""

    def count(self, verdict: Verdict, level: str | None = None) -> int:
        """How many cases ended so, of one level or of all."""
        return sum(o.verdict is verdict and level in (None, o.case.level) for o in self.outcomes)
