"""What the model says of one request, and how it comes to say so.

Rules
- `Violation` is raised where a clause says that the connection closes, and leaves nothing open.
- A doubt is noted where a clause lets a server choose, or where the specification says less than would be needed: the
  server may close the connection, or serve the request as it stands.
- `Lost` is raised where a legal answer would leave the model behind: nothing more is asked of that connection.
"""

from collections.abc import Callable

import attrs

from conformance.fuzz.script import Due, Expected

__all__ = ["Answer", "Doubts", "Lost", "Ruling", "Violation", "must"]


class Violation(Exception):
    """The connection has to be closed; `clause` says so."""

    def __init__(self, clause: str) -> None:
        super().__init__(clause)
        self.clause = clause


class Lost(Exception):
    """Whatever comes is right, and the connection is of no more use."""


def must(holds: bool, clause: str) -> None:
    """Raise Violation unless it holds."""
    if not holds:
        raise Violation(clause)


class Doubts:
    """Clauses by which a server may close the connection, in the order they were met."""

    def __init__(self) -> None:
        self.clauses: list[str] = []

    def unless(self, holds: bool, clause: str) -> None:
        """Note a doubt unless it holds."""
        if not holds:
            self.clauses.append(clause)

    def __bool__(self) -> bool:
        return bool(self.clauses)


@attrs.frozen
class Answer:
    """A served request: the reply that is due, and what the model does when it has come."""

    due: Due | None = None
    settle: Callable[[bytes], None] | None = None


@attrs.frozen(kw_only=True)
class Ruling:
    """What has to come of a request. executed: nodes that run when it is served."""

    expected: Expected
    settle: Callable[[bytes], None] | None = None
    executed: int = 0

    @property
    def kind(self) -> str:
        """serve, may or close."""
        if self.expected.must_close:
            return "close"
        return "may" if self.expected.may_close else "serve"
