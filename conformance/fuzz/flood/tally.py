"""What a flood has sent and what came of it, by command."""

from collections import Counter
from collections.abc import Iterator

import attrs

from conformance.fuzz.acting import Turn
from conformance.fuzz.stage import Seen

__all__ = ["Tally"]

SERVED, OFFERED, CLOSED = "served", "served, although it might be refused", "closed, as it may be"
HAD_TO = "closed, as it has to be"
LOST = "lost with the connection"
OUTCOMES = (SERVED, OFFERED, CLOSED, HAD_TO, LOST)


@attrs.define
class Tally:
    """Counts; a message is a request of a session that was drawn, valid or mutated."""

    sessions: int = 0
    messages: int = 0
    mutated: int = 0
    executed: int = 0
    """graphs with nodes that ran"""
    nodes: int = 0
    by: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    """command, outcome > messages"""
    changed: Counter[str] = attrs.field(factory=Counter)
    """outcome > messages that were mutated"""
    clauses: Counter[str] = attrs.field(factory=Counter)
    """by which clauses connections had to be closed"""

    def add(self, turn: Turn, seen: Seen) -> None:
        """Count a turn."""
        closing = next((at for at, ruling in enumerate(turn.rulings) if ruling.kind == "close"), None)
        ended = len(seen.replies) if seen.closed else len(turn.rulings)
        for at, ruling in enumerate(turn.rulings):
            self.messages += 1
            served = at < ended
            outcome = _outcome(ruling.kind, served, at == closing)
            self.by[ruling.expected.command, outcome] += 1
            if turn.mutated[at]:
                self.mutated += 1
                self.changed[outcome] += 1
            if at == closing:
                self.clauses[ruling.expected.clause] += 1
            if served and ruling.executed:
                self.executed += 1
                self.nodes += ruling.executed

    def share(self, *outcomes: str) -> float:
        """How many of the mutated messages ended so, of 1."""
        return sum(self.changed[outcome] for outcome in outcomes) / max(self.mutated, 1)

    def lines(self) -> Iterator[str]:
        """A table by command."""
        commands = sorted({command for command, _ in self.by})
        yield f"{'':<18}" + "".join(f"{title:>12}" for title in ("served", "(offered)", "may close", "has to", "lost"))
        for command in commands:
            counts = [self.by[command, outcome] for outcome in OUTCOMES]
            yield f"{command:<18}" + "".join(f"{count:>12}" for count in counts)

    def summary(self) -> str:
        """One line."""
        return (
            f"{self.messages} messages in {self.sessions} sessions, {self.mutated} of them mutated "
            f"({self.share(SERVED, OFFERED):.0%} served, {self.share(HAD_TO):.0%} closed as they have to be, by "
            f"{len(self.clauses)} clauses, {self.share(CLOSED):.0%} as they may be); "
            f"{self.executed} graphs ran with {self.nodes} nodes"
        )


def _outcome(kind: str, served: bool, closing: bool) -> str:
    if closing:
        return HAD_TO
    if served:
        return SERVED if kind == "serve" else OFFERED
    return CLOSED if kind == "may" else LOST
