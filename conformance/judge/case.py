"""A case: one question about one clause, as a value.

Rules
- The id is clause/slug: the clause is one of spec/text, the slug is lower-case words with dashes. Level and versions
  are the clause's own unless the case narrows them (a SHOULD inside a MUST clause, a command that is younger).
- The script is a generator function of the codec: it yields steps (steps.py), and raises Mismatch. It does not wait,
  draw random numbers or look at a clock, so a case is the same at every run.
- `ordinary` marks traffic of a well-behaved client: every working implementation has to pass, upstream's included. One
  that does not is a fault of the case or of its clause, until the clause says what was observed.
"""

import re
from collections.abc import Callable, Mapping

import attrs

from conformance.judge.codec import Codec
from conformance.judge.steps import Talk
from spec.prose import Clause, clauses
from spec.schema import Version, holds

__all__ = ["LEVELS", "Case", "Question", "Script", "Section"]

Script = Callable[[Codec], Talk[None]]
LEVELS = ("MUST", "SHOULD", "MAY")
_ID = re.compile(r"^[A-Z0-9]+(-[A-Z0-9_]+)+/[a-z0-9]+(-[a-z0-9]+)*$")


def _is_id(_: object, __: object, value: str) -> None:
    if not _ID.match(value):
        raise ValueError(f"a case id is clause/some-words, not {value!r}")
    if value.partition("/")[0] not in clauses():
        raise ValueError(f"case {value}: spec/text has no such clause")


@attrs.frozen(kw_only=True)
class Question:
    """What is asked about a clause, however it is asked. since, until: versions, within those of the clause."""

    id: str = attrs.field(validator=_is_id)
    title: str
    ordinary: bool = False
    level_here: str | None = attrs.field(default=None, validator=attrs.validators.in_((None, *LEVELS)))
    since: str | None = None
    until: str | None = None
    upstream: str = ""
    """upstream's report of what this does to its server, if there is one"""

    @property
    def clause(self) -> Clause:
        """The clause that the case asks about."""
        return clauses()[self.id.partition("/")[0]]

    @property
    def family(self) -> str:
        """Family of the clause."""
        return self.clause.family

    @property
    def level(self) -> str:
        """MUST, SHOULD or MAY."""
        return self.level_here or self.clause.level

    def holds(self, version: Version) -> bool:
        """Whether the case is to be asked of a testee of that version."""
        return self.clause.holds(version) and holds(self.since, self.until, version)


@attrs.frozen(kw_only=True)
class Case(Question):
    """A question to a server. clients: how many connections have to be served at once."""

    script: Script
    clients: int = 1
    needs_cache: bool = False
    """whether it is about a testee that keeps a tensor cache in a folder that the judge has given it"""


class Section:
    """The cases of one file, in order."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}

    @property
    def cases(self) -> Mapping[str, Case]:
        """Cases by id."""
        return self._cases

    def add(self, case: Case) -> None:
        """Add a case; an id stands once."""
        if case.id in self._cases:
            raise ValueError(f"two cases are called {case.id}")
        self._cases[case.id] = case

    def case(
        self,
        case_id: str,
        *,
        ordinary: bool = False,
        clients: int = 1,
        needs_cache: bool = False,
        level: str | None = None,
        upstream: str = "",
    ) -> Callable[[Script], Script]:
        """Add the decorated script; the first line of its docstring is the title."""

        def declare(script: Script) -> Script:
            title = (script.__doc__ or "").strip().partition("\n")[0].removesuffix(".")
            self.add(
                Case(
                    id=case_id,
                    title=title,
                    script=script,
                    ordinary=ordinary,
                    clients=clients,
                    needs_cache=needs_cache,
                    level_here=level,
                    upstream=upstream,
                )
            )
            return script

        return declare
