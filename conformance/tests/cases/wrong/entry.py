"""What is expected of a wrong server."""

import attrs

from conformance.judge.verdict import Verdict

__all__ = ["Wrong", "crashes", "fails", "hangs"]

OLDEST = "7.0.0"


@attrs.frozen
class Wrong:
    """The verdict that it gets, the cases that give it, and the version in which it is asked."""

    verdict: Verdict
    cases: frozenset[str]
    version: str = OLDEST


def fails(*cases: str, version: str = OLDEST) -> Wrong:
    """It does otherwise, or harms somebody else."""
    return Wrong(Verdict.FAIL, frozenset(cases), version)


def hangs(*cases: str, version: str = OLDEST) -> Wrong:
    """It does nothing where something is due."""
    return Wrong(Verdict.HUNG, frozenset(cases), version)


def crashes(*cases: str, version: str = OLDEST) -> Wrong:
    """It dies."""
    return Wrong(Verdict.CRASHED, frozenset(cases), version)
