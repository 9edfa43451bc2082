"""What a session does next: a valid request, several in a row, or one in which something is changed."""

from collections.abc import Mapping, Sequence

from conformance.fuzz.make.graphs import computing, recomputing
from conformance.fuzz.make.mutate import mildly, mutated
from conformance.fuzz.make.requests import base_of, cleared, makers
from conformance.fuzz.make.scene import Scene
from conformance.fuzz.make.source import Source, often, pick, seldom
from conformance.fuzz.request import Ref, Request

__all__ = ["furnishing", "fuzzed", "opening", "valid"]

OPENING_SIZES = ((4096, 256), (16384, 4096, 64), (65536, 1024, 0), (32768,))
GRAPHS = ("GRAPH_COMPUTE", "GRAPH_RECOMPUTE")
TRANSFERS = ("SET_TENSOR", "GET_TENSOR", "COPY_TENSOR", "MEMSET_TENSOR", "SET_TENSOR_2D", "GET_TENSOR_2D")
FRESH = 0xA5
HANDLES = ("ALLOC_BUFFER", "FREE_BUFFER", "BUFFER_CLEAR")
WEIGHTS = {
    "GRAPH_COMPUTE": 16,
    "GRAPH_RECOMPUTE": 4,
    "HELLO": 0,
    **dict.fromkeys(TRANSFERS, 5),
    **dict.fromkeys(HANDLES, 2),
}
"""how often a command is drawn; the others once. HELLO is said by opening, and by mutating the command byte"""


def opening(source: Source) -> list[Request]:
    """HELLO and some buffers."""
    allocations = [
        Request(command="ALLOC_BUFFER", fields={"device": 0, "size": size}) for size in pick(source, OPENING_SIZES)
    ]
    return [Request(command="HELLO"), *allocations]


def furnishing(scene: Scene) -> list[Request]:
    """For every buffer whose base is not known yet: BUFFER_GET_BASE, and BUFFER_CLEAR, so that its bytes are known."""
    new = [held for held in scene.session.live() if held.base is None and held.modelled]
    return [request for held in new for request in (base_of(held.name), cleared(held.name, FRESH))]


def valid(source: Source, scene: Scene, command: str | None = None) -> list[Request]:
    """A valid request, with what has to come before it; a DEVICE_COUNT where the session has nothing to ask about."""
    name = command or pick(source, _weighed(scene))
    if name == "GRAPH_COMPUTE":
        found = computing(source, scene)
    elif name == "GRAPH_RECOMPUTE":
        again = recomputing(source, scene)
        found = None if again is None else [again]
    else:
        one = makers(scene)[name](source, scene)
        found = None if one is None else [one]
    return found if found is not None else [Request(command="DEVICE_COUNT")]


def _weighed(scene: Scene) -> Sequence[str]:
    """Commands of the dialect, each as often as its weight."""
    names = [command.name for command in scene.dialect.commands.values() if command.name != "COMM_ALLREDUCE"]
    return [name for name in names for _ in range(WEIGHTS.get(name, 1))]


def _needed(source: Source, scene: Scene, request: Request) -> str:
    """A buffer without which the request is wrong; none where it is the only one, or none is needed."""
    live = {held.name for held in scene.session.live()}
    records = list(request.graph.records) if request.graph is not None else []
    records += [value for value in request.fields.values() if isinstance(value, Mapping)]
    named = [
        value.buffer for fields in (request.fields, *records) for value in fields.values() if isinstance(value, Ref)
    ]
    if request.command == "GRAPH_RECOMPUTE":
        named = [held.name for graph in scene.session.graphs.values() for held in graph.buffers]
    needed = sorted(set(named) & live)
    return pick(source, needed) if needed and len(live) > 1 else ""


def fuzzed(source: Source, scene: Scene, command: str | None = None) -> list[Request]:
    """As `valid`, with something changed in the last request, or once in a while in one before it, mildly or not.

    What is uploaded for a graph is changed mildly as often as not: its values, and what a server ignores.
    """
    name = command or pick(source, _weighed(scene))
    if name == "GRAPH_COMPUTE" and seldom(source) and (strange := computing(source, scene, odd=True)):
        return strange
    found = valid(source, scene, name)
    if seldom(source) and (needed := _needed(source, scene, found[-1])):
        freed = Request(command="FREE_BUFFER", fields={"handle": Ref(needed)})
        return [*found[:-1], freed, found[-1].saying(f"{needed} was freed before")]
    at = source.below(len(found)) if seldom(source) else len(found) - 1
    change = mildly if often(source) else mutated
    return [
        change(source, scene, each) if place == at else mildly(source, scene, each) if often(source) else each
        for place, each in enumerate(found)
    ]
