"""Failures that are expected of a testee: the file of --expect-fail.

One case a line, by its id; behind `=` the verdicts that are expected, any of which may come; `#` begins a comment:

    FRAME-7/set-tensor-declares-2-63              # fails, crashes, hangs or leaks
    REGION-2/get-tensor-sum-wraps = crashed
    GRAPH-20/get-rows-above = crashed pass        # comes and goes

An expected failure does not make the exit code 1. One that passes does, unless `pass` is among what is expected: the
file is to be mended then. So does a failure of another kind than the expected one.
"""

from collections.abc import Container, Mapping
from pathlib import Path

import attrs

from conformance.judge.verdict import Outcome, Verdict

__all__ = ["BadExpectations", "Expectations", "expectations", "foreseen", "read_expectations"]

Expectations = Mapping[str, tuple[Verdict, ...]]
"""case id > the verdicts that are expected"""

ANY_FAILURE = tuple(verdict for verdict in Verdict if verdict.blames)


class BadExpectations(Exception):
    """The file cannot be used; the text says where and why."""


def read_expectations(path: Path, known: Container[str]) -> Expectations:
    """Read a file; `known` are the ids of all cases. Raises BadExpectations."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadExpectations(f"{path}: {error}") from error
    try:
        return expectations(text, known)
    except BadExpectations as bad:
        raise BadExpectations(f"{path}, {bad}") from bad


def expectations(text: str, known: Container[str]) -> Expectations:
    """Read the lines; raises BadExpectations."""
    found: dict[str, tuple[Verdict, ...]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        case, equals, verdicts = (part.strip() for part in said.partition("="))
        if case not in known:
            raise BadExpectations(f"line {number}: no case is called {case}")
        if case in found:
            raise BadExpectations(f"line {number}: {case} stands there twice")
        found[case] = _verdicts(number, verdicts) if equals else ANY_FAILURE
    return found


def _verdicts(number: int, text: str) -> tuple[Verdict, ...]:
    allowed = (*ANY_FAILURE, Verdict.PASS)
    words = text.split()
    if not words or any(word not in allowed for word in words):
        raise BadExpectations(f"line {number}: behind = stand some of {', '.join(allowed)}, not {text!r}")
    return tuple(Verdict(word) for word in words)


def foreseen(outcome: Outcome, expected: Expectations) -> Outcome:
    """The outcome with what was expected of it."""
    return attrs.evolve(outcome, foreseen=expected.get(outcome.case.id, ()))
