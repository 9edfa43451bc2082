"""When a command is legal: a pure table per dialect, from which tests and diagrams are made.

    GREETING --HELLO--> OPEN --every command but HELLO--> OPEN
    any --end of stream or violation--> CLOSED

Rules:
- The table is that of spec/data/commands.toml (`phase` and `next`); what is not in it is a violation (PHASE-1 to
  PHASE-3).
- The step is taken when the command passes, not when its reply does: a client need not wait for replies (FRAME-10), and
  the reply to HELLO is the first in any case, because replies keep the order of requests.
"""

from collections.abc import Mapping
from enum import Enum

from refimpl.errors import PhaseError
from spec.dialect import Dialect
from spec.names import Command

__all__ = ["Phase", "check", "transitions"]


class Phase(Enum):
    """Where a connection stands; the values are the names in spec/data."""

    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


CLAUSES: Mapping[Phase, str] = {Phase.GREETING: "PHASE-1", Phase.OPEN: "PHASE-2", Phase.CLOSED: "PHASE-3"}


def transitions(dialect: Dialect) -> dict[tuple[Phase, Command], Phase]:
    """(phase, command) > phase after the command, for every legal pair."""
    return {(Phase(phase), Command[command]): Phase(after) for (phase, command), after in dialect.transitions().items()}


def check(table: Mapping[tuple[Phase, Command], Phase], phase: Phase, command: Command) -> Phase:
    """The phase that `command` leads to from `phase`; raises PhaseError where it is not legal."""
    try:
        return table[phase, command]
    except KeyError:
        raise PhaseError(CLAUSES[phase], f"{command.name} is not legal in phase {phase.value}") from None
