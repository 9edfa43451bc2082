"""What test-backend-ops prints: its list of cases, and a verdict for each that it has run.

A case is known by its op and its parameters as one text, such as ``ADD(type=f32,ne=[1,1,8,1],...)``. What the program
says about a deviation stands before the case on the same line, colours around the verdict.
"""

import csv
import enum
import re
from collections.abc import Iterable, Sequence

import attrs

__all__ = ["Case", "Outcome", "Verdict", "Without", "chunks", "listed", "pattern_without", "verdicts"]

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
RESULT = re.compile(r"^(?P<said>.*?)  (?P<op>[A-Z0-9_]+)\((?P<params>.*)\): (?P<verdict>OK|FAIL|not supported)")


class Verdict(enum.Enum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "FAILED"
    REFUSED = "REFUSED"
    """the node did not answer, and the program ended there"""
    NOT_SUPPORTED = "not supported"
    """by stock's own CPU device, which there would be nothing to compare with"""


SPOKEN = {"OK": Verdict.PASSED, "FAIL": Verdict.FAILED, "not supported": Verdict.NOT_SUPPORTED}


@attrs.frozen
class Case:
    """One case; `params` is what -p is matched with."""

    op: str
    params: str

    def __str__(self) -> str:
        return f"{self.op}({self.params})"


@attrs.frozen
class Outcome:
    """A case that was run, and what was said about it."""

    case: Case
    verdict: Verdict
    said: str = ""


@attrs.frozen
class Without:
    """Cases that are not run: those whose parameters match `pattern`, and why."""

    pattern: str
    reason: str

    def covers(self, case: Case) -> bool:
        """Whether the case is one of them."""
        return re.search(self.pattern, case.params) is not None


def listed(text: str) -> list[Case]:
    """Cases in the CSV that ``support`` prints, each once, in the order in which they would run."""
    rows = csv.DictReader(text.splitlines())
    return list(dict.fromkeys(Case(row["op_name"], row["op_params"]) for row in rows))


def verdicts(text: str) -> list[Outcome]:
    """Outcomes in what ``test`` prints, in order."""
    found = (RESULT.match(COLOUR.sub("", line)) for line in text.splitlines())
    return [
        Outcome(Case(hit["op"], hit["params"]), SPOKEN[hit["verdict"]], hit["said"].strip()) for hit in found if hit
    ]


def pattern_without(left_out: Sequence[Without]) -> str:
    """A regular expression for -p that matches the parameters of all other cases."""
    return f"^(?!.*(?:{'|'.join(each.pattern for each in left_out)}))" if left_out else ""


def chunks(cases: Iterable[Case], room: int) -> list[list[Case]]:
    """The cases in order, in pieces whose names, joined by commas, have at most `room` characters (or are one)."""
    pieces: list[list[Case]] = []
    filled = room
    for case in cases:
        filled += len(str(case)) + 1
        if filled > room:
            pieces.append([])
            filled = len(str(case))
        pieces[-1].append(case)
    return pieces
