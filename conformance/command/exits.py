"""What the process says in the end."""

from enum import IntEnum

from conformance.judge.verdict import Report, Verdict

__all__ = ["MEANINGS", "Exit", "Unusable", "exit_code"]


class Exit(IntEnum):
    """The documented exit codes."""

    KEPT = 0
    VIOLATED = 1
    NOT_REACHED = 2
    SUITE_FAULT = 3


class Unusable(Exception):
    """What was asked for cannot be done, whoever the testee is; the text says why. Ends as wrong usage."""


MEANINGS = """\
exit codes: 0 every MUST was kept; 1 some were not, or what was expected to fail has passed; 2 wrong usage, or the
testee cannot be reached (any more); 3 a fault of the suite
"""


def exit_code(report: Report) -> Exit:
    """A fault of the suite outweighs violations, and those outweigh that the testee was lost on the way."""
    if report.count(Verdict.ERROR):
        return Exit.SUITE_FAULT
    if any(outcome.counts for outcome in report.outcomes):
        return Exit.VIOLATED
    return Exit.NOT_REACHED if report.cut_short else Exit.KEPT
