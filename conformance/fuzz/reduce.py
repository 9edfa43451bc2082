"""Makes the script of a finding shorter: requests are left out, and the model says anew what is expected of the rest.

Rules
- A script is taken apart into single requests, as the server reads them. What is left has to lead to the same finding,
  by the expectations that the model has of what is left: so no wrong answer becomes the right one on the way.
- It goes from the end to the beginning, in halves, quarters and so on, and one by one until nothing more can be left
  out, within a number of seconds. The testee is well before every attempt.
- Where the parts alone do not lead there, because it takes the pieces in which bytes were sent, the script stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from time import monotonic

import attrs

from conformance.fuzz.acting import Actor, Part
from conformance.fuzz.model.session import World
from conformance.fuzz.request import Packing
from conformance.fuzz.script import Close, Fill, Finish, Message, Place, Say, Step
from conformance.fuzz.stage import Finding, Seen, Stage
from conformance.judge.codec import COMMAND_BYTES, HEAD_BYTES, number
from spec.dialect import Dialect

__all__ = ["Reduced", "reduced"]


@attrs.frozen
class _Bit:
    """One request on a connection, or what else is done with it."""

    on: str
    what: Part | Finish | Close
    binds: str = ""
    """the buffer that its answer gives a name to"""


@attrs.frozen(kw_only=True)
class Reduced:
    """Steps that lead to a finding, and are not more than before."""

    steps: tuple[Step, ...]
    finding: Finding


@attrs.frozen(eq=False)
class _Attempts:
    """Plays what is left."""

    stage: Stage
    world: World
    finding: Finding

    async def met(self, bits: Sequence[_Bit]) -> Reduced | None:
        """What these lead to, if it is the same finding."""
        steps: list[Step] = []
        await self.stage.clear()
        try:
            await self._play(bits, steps)
            await self.stage.well()
        except Finding as found:
            await self.stage.heal()
            same = found.signature == self.finding.signature
            return Reduced(steps=tuple(steps), finding=found) if same else None
        finally:
            await self.stage.clear()
        return None

    async def _play(self, bits: Sequence[_Bit], steps: list[Step]) -> None:
        packing = Packing(self.world.dialect, self.world.structs)
        actors: dict[str, Actor] = {}
        names: dict[str, str] = {}
        for bit in bits:
            actor = actors.setdefault(bit.on, Actor(self.world, packing, bit.on))
            if actor.over:
                continue
            if isinstance(bit.what, Part):
                bound = await self._say(actor, _named(bit.what, names), _places(actors), steps)
                names |= {bit.binds: bound} if bit.binds else {}
            else:
                actor.session.over = True
                await self._do(bit.what, steps)
        for on, actor in actors.items():
            if not actor.over:
                await self._do(Close(on), steps)

    async def _say(self, actor: Actor, part: Part, places: dict[str, Place], steps: list[Step]) -> str:
        """The name of the buffer that it has asked for, if it has."""
        turn = actor.speak([part], places)
        actor.after(turn, await self._do(turn.step, steps))
        bound = (each.due.name for each in turn.step.expected if each.due is not None and each.due.kind == "buffer")
        return next(bound, "")

    async def _do(self, step: Step, steps: list[Step]) -> Seen:
        steps.append(step)
        return await self.stage.play(step)


async def reduced(stage: Stage, world: World, before: Reduced, seconds: float) -> Reduced:
    """The shortest script that was found; the testee is well afterwards."""
    end = monotonic() + seconds
    attempts = _Attempts(stage, world, before.finding)
    probe = Packing(world.dialect, world.structs).probe.data
    bits = [
        bit
        for bit in _taken_apart(world.dialect, before.steps)
        if not (isinstance(bit.what, Part) and bit.what.message.data == probe)
    ]
    best = await attempts.met(bits)
    if best is None:
        return before
    size = max(len(bits) // 2, 1)
    while size and monotonic() < end:
        at, shorter = len(bits), False
        while at > 0 and monotonic() < end:
            left = [*bits[: max(at - size, 0)], *bits[at:]]
            found = await attempts.met(left)
            if found is not None:
                bits, best, shorter = left, found, True
            at -= size
        size = size // 2 if size > 1 else int(shorter)
    return best


def _named(part: Part, names: Mapping[str, str]) -> Part:
    """With the names that buffers have now: an allocation less, and all behind it are called otherwise."""
    fills = tuple(attrs.evolve(fill, buffer=names.get(fill.buffer, fill.buffer)) for fill in part.message.fills)
    return Part(Message(part.message.data, fills), part.words)


def _places(actors: Mapping[str, Actor]) -> dict[str, Place]:
    return {name: place for actor in actors.values() for name, place in actor.session.places.items()}


def _taken_apart(dialect: Dialect, steps: Sequence[Step]) -> Iterator[_Bit]:
    for step in steps:
        if isinstance(step, Say):
            for at, part in enumerate(_requests(dialect, step)):
                due = step.expected[at].due if at < len(step.expected) else None
                yield _Bit(step.on, part, due.name if due is not None and due.kind == "buffer" else "")
        else:
            yield _Bit(step.on, step)


def _requests(dialect: Dialect, say: Say) -> Iterator[Part]:
    """The requests of a message by the sizes that they declare, each with the words about its command."""
    data, begin = say.message.data, 0
    while begin < len(data):
        head = data[begin + COMMAND_BYTES : begin + HEAD_BYTES]
        end = min(begin + HEAD_BYTES + number(head), len(data))
        fills = (fill for fill in say.message.fills if begin <= fill.at and fill.at + fill.width <= end)
        words = _about(dialect, data[begin], say.words)
        yield Part(Message(data[begin:end], tuple(_moved(fill, begin) for fill in fills)), words)
        begin = end


def _about(dialect: Dialect, byte: int, words: tuple[str, ...]) -> tuple[str, ...]:
    command = dialect.commands.get(byte)
    told = tuple(word for word in words if command is not None and word.startswith(f"{command.name}:"))
    return told or tuple(word for word in words if word.endswith(f"command byte {byte}"))


def _moved(fill: Fill, begin: int) -> Fill:
    return attrs.evolve(fill, at=fill.at - begin)
