"""One connection of a script that is being made: requests go in, a step comes out with what the model expects of it.

Rules
- A step ends with a DEVICE_COUNT unless its last request is answered for certain: only so it shows whether the server
  has served what it does not answer, and whether it goes on where it must not (FRAME-11).
- Where the last request is not whole, nothing can follow: the next step has to end the connection.
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs

from conformance.fuzz.make.scene import Scene
from conformance.fuzz.model.catalogue import HANDLERS
from conformance.fuzz.model.ruling import Ruling
from conformance.fuzz.model.session import Session, World
from conformance.fuzz.request import Packing, Request
from conformance.fuzz.script import Message, Place, Say
from conformance.fuzz.stage import Seen

__all__ = ["Actor", "Part", "Turn"]

NOTHING = Message(b"")


@attrs.frozen
class Part:
    """A message, and what was mutated in it."""

    message: Message
    words: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Turn:
    """A step that is ready, and the model's rulings in the same order as what the step expects."""

    step: Say
    rulings: tuple[Ruling, ...]
    mutated: tuple[bool, ...]
    """of each ruling, whether it is about a request that was mutated, or about what follows from one"""


class Actor:
    """A connection with its model."""

    def __init__(self, world: World, packing: Packing, on: str) -> None:
        self.on = on
        self.session = Session(world, on, dict(HANDLERS))
        self._packing = packing
        self._probe = packing.probe

    @property
    def over(self) -> bool:
        """Whether the server has closed it, or has to."""
        return self.session.over

    @property
    def inside(self) -> bool:
        """Whether what has been sent ends inside a request."""
        return bool(self.session.pending)

    def scene(self, others: Sequence["Actor"] = ()) -> Scene:
        """What makers see."""
        names = [held.name for other in others if other is not self for held in other.session.live()]
        return Scene(self.session, tuple(names))

    def turn(self, requests: Iterable[Request], places: Mapping[str, Place], ends: Sequence[int] = ()) -> Turn:
        """Say the requests in one step; places: buffers of all connections; ends: where pieces of it end.

        Each request is taken when those before it have had their effect on the model.
        """
        return self.speak(map(self._spoken, requests), places, ends)

    def speak(self, parts: Iterable[Part], places: Mapping[str, Place], ends: Sequence[int] = ()) -> Turn:
        """As `turn`, with messages that are bytes already."""
        message, rulings, mutated, words = NOTHING, list[Ruling](), list[bool](), list[str]()
        for part in parts:
            words += part.words
            message += part.message
            rulings += self.session.feed(part.message.filled(places))
            mutated += [bool(part.words)] * (len(rulings) - len(mutated))
        if not self.inside and not (rulings and _is_answered(rulings[-1])):
            message += self._probe
            rulings += self.session.feed(self._probe.data)
        mutated += [False] * (len(rulings) - len(mutated))
        pieces = tuple(sorted({end for end in ends if 0 < end < len(message.data)}))
        step = Say(self.on, message, tuple(ruling.expected for ruling in rulings), tuple(words), pieces)
        return Turn(step=step, rulings=tuple(rulings), mutated=tuple(mutated))

    def _spoken(self, request: Request) -> Part:
        words = tuple(f"{request.command}: {word}" for word in request.words)
        return Part(self._packing.message(request), words)

    def after(self, turn: Turn, seen: Seen) -> None:
        """What came is known."""
        for ruling, reply in zip(turn.rulings, seen.replies, strict=False):
            if reply is not None and ruling.settle is not None:
                ruling.settle(reply)
        self.session.over = self.session.over or seen.closed


def _is_answered(ruling: Ruling) -> bool:
    return ruling.expected.due is not None and not ruling.expected.must_close
