"""Does every clause have a case? `python -m conformance.coverage` says which have none, with exit code 1 if any.

Rules
- A clause at MUST or SHOULD has a case about servers or clients in every described version in which it holds, or an
  entry with a reason in untestable.toml.
- An entry is an error when its clause does not exist, or has a case all the same.
"""

import sys
import tomllib
from collections.abc import Collection, Iterator, Sequence
from importlib import resources

import attrs
import cattrs

from conformance.cases import catalogue as of_servers
from conformance.client import catalogue as of_clients
from conformance.judge.case import Question
from spec.load import load
from spec.prose import Clause, clauses
from spec.schema import parse_version

__all__ = ["Untestable", "gaps", "main", "untestable"]

ASKED_ABOUT = ("MUST", "SHOULD")


@attrs.frozen(kw_only=True)
class Untestable:
    """A clause without a case, and why."""

    id: str
    reason: str = attrs.field(validator=attrs.validators.min_len(1))


def untestable() -> tuple[Untestable, ...]:
    """The entries of untestable.toml."""
    text = (resources.files("conformance") / "untestable.toml").read_text("utf-8")
    converter = cattrs.Converter(forbid_extra_keys=True)
    return converter.structure(tomllib.loads(text)["clause"], tuple[Untestable, ...])


def gaps(known: Sequence[Clause], questions: Collection[Question], entries: Sequence[Untestable]) -> Iterator[str]:
    """One line for everything that is missing or too much."""
    excused = [entry.id for entry in entries]
    asked = {question.clause.id for question in questions}
    for name in excused:
        if name not in {clause.id for clause in known}:
            yield f"untestable.toml: there is no clause {name}"
        elif name in asked:
            yield f"untestable.toml: {name} has a case all the same"
        if excused.count(name) > 1:
            yield f"untestable.toml: {name} stands there more than once"
    for clause in known:
        if clause.level in ASKED_ABOUT and clause.id not in excused:
            yield from _missing(clause, [question for question in questions if question.clause.id == clause.id])


def _missing(clause: Clause, questions: Collection[Question]) -> Iterator[str]:
    without = []
    for name in load().versions:
        version = parse_version(name)
        if clause.holds(version) and not any(question.holds(version) for question in questions):
            without.append(name)
    if without:
        where = "" if not questions else f" in {', '.join(without)}"
        yield f"{clause.id} ({clause.level}) has no case{where}, and no reason in untestable.toml"


def main() -> None:
    """Print what is missing; exit code 1 when anything is."""
    known = tuple(clauses().values())
    questions = (*of_servers.CASES.values(), *of_clients.CASES.values())
    found = tuple(gaps(known, questions, untestable()))
    for line in found:
        print(line)
    levels = sum(clause.level in ASKED_ABOUT for clause in known)
    print(f"{levels} clauses at MUST or SHOULD, {len(untestable())} of them with a reason; {len(questions)} cases")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
