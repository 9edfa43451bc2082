"""What went over a case's connections, as much as anybody wants to read of it: the last pieces of the last few."""

from collections.abc import Iterator

from conformance.judge.codec import Codec
from conformance.judge.verdict import Outcome
from conformance.judge.words import Spoken, listened, spoken, told

__all__ = ["last_words", "said"]

PIECES = 12
CONNECTIONS = 3


def said(codec: Codec, outcome: Outcome, connection: str) -> tuple[Spoken, ...]:
    """Every piece of a connection, with what it says."""
    pieces = outcome.record[connection]
    return tuple(listened(pieces) if outcome.as_server else spoken(codec, pieces))


def last_words(connections: dict[str, tuple[Spoken, ...]]) -> Iterator[str]:
    """Lines: a heading for each connection, indented lines for its pieces."""
    names = list(connections)[-CONNECTIONS:]
    if (more := len(connections) - len(names)) > 0:
        yield f"({more} earlier connections left out)"
    for name in names:
        pieces = connections[name]
        left_out = len(pieces) - PIECES
        yield f"on {name}:" + (f" ({left_out} earlier pieces left out)" if left_out > 0 else "")
        for piece in pieces[-PIECES:]:
            yield from (f"  {line}" for line in told(piece))
