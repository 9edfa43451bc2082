"""One session of a flood: everything in it follows from seed and index.

Rules
- It opens, asks for its bases, and then says batches of requests, valid or mutated, until the connection is closed, it
  has to be, or MOVES are made. At the end it reads all its buffers, if it still can.
- Other connections take no part in what it says, but for the neighbour's buffers, whose names are always the same.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

import attrs

from conformance.fuzz.acting import Actor, Turn
from conformance.fuzz.make.moves import furnishing, fuzzed, opening, valid
from conformance.fuzz.make.requests import whole
from conformance.fuzz.make.scene import Scene
from conformance.fuzz.make.source import Chance, Source, between, often, seldom
from conformance.fuzz.model.session import World
from conformance.fuzz.request import Packing, Request
from conformance.fuzz.script import Close, Finish, Place, Say, Step
from conformance.fuzz.stage import Seen

__all__ = ["Neighbourhood", "Play", "Told", "neighbour", "session", "still_there"]

MOVES = 48
BATCH = 8
FUZZED = 2
"""moves in which something is changed, for each in which nothing is"""
KEPT = 4096

Play = Callable[[Step], Awaitable[Seen]]
Told = Callable[[Turn, Seen], None]


@attrs.frozen(eq=False)
class Neighbourhood:
    """What all sessions share: the model's world, and the neighbour's buffers."""

    world: World
    packing: Packing
    strangers: Mapping[str, Place] = attrs.field(factory=dict)


async def session(near: Neighbourhood, seed: int, index: int, play: Play, tell: Told) -> None:
    """Play session `index`; raises what `play` raises."""
    source = Chance(f"{seed}/{index}")
    actor = Actor(near.world, near.packing, f"s{index}")
    scene = Scene(actor.session, tuple(near.strangers))
    await _turn(near, actor, opening(source), play, tell)
    moves = 0
    while not actor.over and not actor.inside and moves < MOVES:
        size = between(source, 1, BATCH)
        moves += size
        await _turn(near, actor, _batch(source, scene, size), play, tell)
    if not actor.over and not actor.inside:
        await _turn(near, actor, _all_bytes(scene), play, tell)
    if not actor.session.over:
        await play(Finish(actor.on) if actor.inside and often(source) else Close(actor.on, often(source)))


def _batch(source: Source, scene: Scene, size: int) -> Iterator[Request]:
    """Bases that are missing, then so many moves; behind a violation once in a while one more."""
    yield from furnishing(scene)
    for _ in range(size):
        if scene.session.over and not seldom(source):
            return
        if scene.session.pending:
            return
        yield from valid(source, scene) if source.below(FUZZED + 1) == FUZZED else fuzzed(source, scene)


def _all_bytes(scene: Scene) -> Iterator[Request]:
    yield from furnishing(scene)
    for held in scene.buffers:
        yield whole(scene, held.name, held.size)


async def _turn(near: Neighbourhood, actor: Actor, requests: Iterable[Request], play: Play, tell: Told) -> None:
    turn = actor.turn(requests, {**near.strangers, **actor.session.places})
    if turn.step.message.data:
        seen = await play(turn.step)
        actor.after(turn, seen)
        tell(turn, seen)


async def neighbour(world: World, packing: Packing, play: Play) -> tuple[Actor, Neighbourhood]:
    """A session with bytes of its own, which stays; and what others may know of it."""
    actor = Actor(world, packing, "n")

    async def say(requests: Iterable[Request]) -> None:
        turn = actor.turn(requests, actor.session.places)
        actor.after(turn, await play(turn.step))

    await say([Request(command="HELLO"), Request(command="ALLOC_BUFFER", fields={"device": 0, "size": KEPT})])
    scene = actor.scene()
    await say(furnishing(scene))
    held = scene.buffers[0]
    row = whole(scene, held.name, held.size).fields["tensor"]
    await say(
        [Request(command="SET_TENSOR", fields={"tensor": row, "offset": 0}, tail=bytes(range(256)) * (KEPT // 256))]
    )
    return actor, Neighbourhood(world, packing, dict(actor.session.places))


def still_there(actor: Actor) -> Say:
    """The step that asks the neighbour for its bytes."""
    scene = actor.scene()
    requests = [whole(scene, held.name, held.size) for held in scene.buffers]
    return actor.turn(requests, actor.session.places).step
