"""One session of a flood, played alone and carefully; and what a flood is to do, and has found."""

from pathlib import Path

import attrs

from conformance.fuzz.acting import Actor, Turn
from conformance.fuzz.flood.session import Neighbourhood, Play, neighbour, session, still_there
from conformance.fuzz.model.session import World
from conformance.fuzz.reduce import Reduced, reduced
from conformance.fuzz.request import Packing
from conformance.fuzz.script import Step
from conformance.fuzz.stage import Finding, Seen, Stage
from conformance.fuzz.writing import write_finding
from conformance.judge.codec import Codec
from conformance.judge.testee import Testee

__all__ = ["Found", "Plan", "alone", "neighbourhood"]

REDUCE_SECONDS = 30.0


@attrs.frozen(kw_only=True)
class Plan:
    """messages: how many; seconds: or how long, whatever comes first; folder: where findings are written."""

    messages: int
    seconds: float
    seed: int
    connections: int
    folder: Path
    first: int = 0
    """index of the first session"""
    timeout: float = 10.0


@attrs.frozen(kw_only=True)
class Found:
    """What went wrong; index: the session that does it again, or None; path: its script."""

    finding: Finding
    index: int | None = None
    path: Path | None = None


async def neighbourhood(stage: Stage, play: Play) -> tuple[Neighbourhood, Actor | None]:
    """What sessions share, and the neighbour; none where only one client is served."""
    world = World(stage.codec.dialect, await stage.constant("DEVICE_COUNT"))
    packing = Packing(world.dialect, world.structs)
    if stage.one_client:
        return Neighbourhood(world, packing), None
    actor, near = await neighbour(world, packing, play)
    return near, actor


async def alone(testee: Testee, codec: Codec, plan: Plan, index: int) -> Found | None:
    """Play a session, with a neighbour, to a testee that is well; what it met, in few steps, is written as a script."""
    stage = Stage(testee, codec, plan.timeout)
    await stage.heal()
    await stage.begin()
    steps: list[Step] = []

    async def play(step: Step) -> Seen:
        steps.append(step)
        return await stage.play(step)

    try:
        near, actor = await neighbourhood(stage, play)
        await session(near, plan.seed, index, play, _uncounted)
        if actor is not None:
            await play(still_there(actor))
    except Finding as finding:
        await stage.heal()
        met = await reduced(stage, near.world, Reduced(steps=tuple(steps), finding=finding), REDUCE_SECONDS)
        return _written(codec, plan, index, met)
    finally:
        await stage.end()
    return None


def _uncounted(turn: Turn, seen: Seen) -> None:
    """A session that is played again is not counted again."""


def _written(codec: Codec, plan: Plan, index: int, met: Reduced) -> Found:
    path = plan.folder / f"flood-{plan.seed}-{index}.jsonl"
    write_finding(codec, met.steps, met.finding, path, {"seed": str(plan.seed), "index": str(index)})
    return Found(finding=met.finding, index=index, path=path)
