"""What was said on one connection of the client under test, as the hostile server between the two ends heard it.

Rules
- Events stand in the order in which they passed: a request when its fixed part is whole, a reply when the right server
  gave it. What the client was told instead is in `pieces`.
- Only fixed parts and graphs are kept whole; of payloads the size is kept, and the bytes where somebody asked for them.
- `pieces` is the evidence that reports show: the last of what went either way, in words where it is a request. The
  judge is the server here: what it says counts as sent.
"""

from collections import deque
from collections.abc import Container

import attrs

from conformance.judge.codec import HEAD_BYTES, Codec
from conformance.judge.peer import Recorded
from conformance.judge.words import in_words

__all__ = ["Answered", "Asked", "Conversation"]

KEPT_PIECES = 16
RECORD_BYTES = 512


@attrs.frozen
class Asked:
    """A request. body: the fixed part, or all of it where no bytes follow; payload: those bytes, if they are kept."""

    command: str
    declared: int
    body: bytes
    payload: bytearray | None = None

    @property
    def payload_size(self) -> int:
        """Bytes that follow the body."""
        return self.declared - len(self.body)


@attrs.frozen
class Answered:
    """The right server's reply to the oldest request that awaited one."""

    command: str
    body: bytes


@attrs.define
class Conversation:
    """One connection, from its first byte on."""

    codec: Codec
    events: list[Asked | Answered] = attrs.field(factory=list)
    pieces: deque[Recorded] = attrs.field(factory=lambda: deque(maxlen=KEPT_PIECES))
    done_at: int | None = None
    """how many events there were when the deed was first done on it"""
    odd: str = ""
    """why the requests could not be read on, if that is so"""
    cut_off: bytes = b""
    """what had come of a request when the client left"""
    left: bool = False
    """the client has closed"""
    after_end: int = 0
    """bytes that the client sent behind the end of the stream that it was sent"""

    @property
    def requests(self) -> list[Asked]:
        """The requests alone."""
        return [event for event in self.events if isinstance(event, Asked)]

    def asked_after_the_deed(self, answered: Container[str]) -> bool:
        """Whether a request with a reply, one of `answered`, came after the deed."""
        after = self.events[self.done_at :] if self.done_at is not None else ()
        return any(isinstance(event, Asked) and event.command in answered for event in after)

    def heard(self, head: bytes, asked: Asked) -> None:
        """Keep a request."""
        self.events.append(asked)
        data = head + asked.body
        words = "; ".join(in_words(self.codec, data))
        self.pieces.append(Recorded(False, HEAD_BYTES + asked.declared, data[:RECORD_BYTES], words))

    def told(self, data: bytes, note: str = "") -> None:
        """Keep what was sent to the client."""
        self.pieces.append(Recorded(True, len(data), data[:RECORD_BYTES], note))
