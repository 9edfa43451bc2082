"""The state machine: sessions of a few connections, in which Hypothesis says what comes next.

Rules
- A rule makes requests for the session as the model has it, plays them and takes in what came; the arena judges.
- When the arena is done with an example, because of what it has seen or because time is over, the rules do nothing
  more: for Hypothesis the example has passed.
- At the end of an example every connection is closed, and everybody has to be well.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from conformance.fuzz.acting import Actor
from conformance.fuzz.machine.strategies import fuzzed_requests, openings, pieces, pipelines, valid_requests
from conformance.fuzz.make.moves import furnishing
from conformance.fuzz.make.requests import makers, whole
from conformance.fuzz.make.scene import Scene
from conformance.fuzz.model.session import World
from conformance.fuzz.request import Packing, Request
from conformance.fuzz.script import Close, Finish, Message, Place, Say, Step
from conformance.fuzz.stage import Seen

__all__ = ["Arena", "Sessions", "has", "machine"]

CONNECTIONS = 3
TRANSFERS = ("SET_TENSOR", "GET_TENSOR", "COPY_TENSOR", "MEMSET_TENSOR", "SET_TENSOR_2D", "GET_TENSOR_2D")
ABOUT_BUFFERS = ("FREE_BUFFER", "BUFFER_CLEAR", "BUFFER_GET_BASE", "INIT_TENSOR", "GET_ALLOC_SIZE")
BEGINNINGS = ("HELLO", "DEVICE_COUNT", "ALLOC_BUFFER", "GET_ALIGNMENT")
WRONG_BEGINNING = "wrong beginning"
ENDINGS = ("leave", "reset", "finish", WRONG_BEGINNING)
LARGEST_PIECED = 1 << 14


class Arena(Protocol):
    """Where an example is played. `play` raises Finding for what counts; None says that the example is done with."""

    world: World
    packing: Packing
    connections: int
    """how many may be open at once"""

    def begin(self) -> None:
        """A new example."""

    def play(self, step: Step) -> Seen | None:
        """Play a step, and wait."""

    @property
    def done(self) -> bool:
        """Whether nothing more is to be played in this example."""


connections = st.integers(0, CONNECTIONS - 1)
in_a_row = st.integers(1, 6)


def has(scene: Scene, command: str) -> bool:
    """Whether the dialect has the command."""
    return command in makers(scene)


class Sessions(RuleBasedStateMachine):
    """Connections and what the model makes of them; `arena` is set by `machine`."""

    arena: ClassVar[Arena]

    def __init__(self) -> None:
        super().__init__()
        self.actors: list[Actor] = []
        self.opened = 0

    def can_open(self) -> bool:
        return not self.arena.done and len(self.actors) < self.arena.connections

    def is_open(self) -> bool:
        return not self.arena.done and bool(self.actors)

    def places(self) -> dict[str, Place]:
        return {name: place for actor in self.actors for name, place in actor.session.places.items()}

    def say(self, actor: Actor, requests: Sequence[Request], data: st.DataObject | None = None) -> None:
        """Say requests, and ask for bases that are missing then."""
        turn = actor.turn(requests, self.places())
        step = turn.step
        if data is not None and len(step.message.data) <= LARGEST_PIECED:
            ends = data.draw(pieces(len(step.message.data)), label="pieces")
            inner = sorted({end for end in ends if 0 < end < len(step.message.data)})
            step = attrs.evolve(step, ends=tuple(inner))
        seen = self.arena.play(step)
        if seen is None:
            return
        actor.after(turn, seen)
        self.forget()
        if actor in self.actors and not actor.inside and (missing := furnishing(actor.scene())):
            self.say(actor, missing)

    def forget(self) -> None:
        """Connections that are over are gone."""
        self.actors = [actor for actor in self.actors if not actor.over]

    def end(self, actor: Actor, step: Step) -> None:
        actor.session.over = True
        self.arena.play(step)
        self.forget()

    @initialize(requests=openings())
    def first(self, requests: Sequence[Request]) -> None:
        self.arena.begin()
        self.say(self.opens(), requests)

    @precondition(can_open)
    @rule(requests=openings())
    def open(self, requests: Sequence[Request]) -> None:
        self.say(self.opens(), requests)

    def opens(self) -> Actor:
        """A connection that has said nothing yet."""
        actor = Actor(self.arena.world, self.arena.packing, f"c{self.opened}")
        self.opened += 1
        self.actors.append(actor)
        return actor

    def whose(self, which: int) -> Actor:
        return self.actors[which % len(self.actors)]

    @precondition(is_open)
    @rule(data=st.data(), which=connections, command=st.sampled_from(TRANSFERS))
    def transfer(self, data: st.DataObject, which: int, command: str) -> None:
        actor = self.whose(which)
        scene = actor.scene(self.actors)
        self.say(actor, data.draw(valid_requests(scene, command if has(scene, command) else None), label="requests"))

    @precondition(is_open)
    @rule(data=st.data(), which=connections)
    def compute(self, data: st.DataObject, which: int) -> None:
        actor = self.whose(which)
        self.say(actor, data.draw(valid_requests(actor.scene(self.actors), "GRAPH_COMPUTE"), label="requests"))

    @precondition(is_open)
    @rule(data=st.data(), which=connections)
    def anything(self, data: st.DataObject, which: int) -> None:
        actor = self.whose(which)
        self.say(actor, data.draw(valid_requests(actor.scene(self.actors)), label="requests"))

    @precondition(is_open)
    @rule(data=st.data(), which=connections, count=in_a_row, command=st.sampled_from((*TRANSFERS, *ABOUT_BUFFERS)))
    def fuzzed_transfers(self, data: st.DataObject, which: int, count: int, command: str) -> None:
        known = command if has(self.whose(which).scene(), command) else None
        self.fuzzed(self.whose(which), data, count, known)

    @precondition(is_open)
    @rule(data=st.data(), which=connections, count=in_a_row)
    def fuzzed_graphs(self, data: st.DataObject, which: int, count: int) -> None:
        self.fuzzed(self.whose(which), data, count, "GRAPH_COMPUTE")

    @precondition(is_open)
    @rule(data=st.data(), which=connections, count=in_a_row)
    def fuzzed_anything(self, data: st.DataObject, which: int, count: int) -> None:
        self.fuzzed(self.whose(which), data, count, None)

    def fuzzed(self, actor: Actor, data: st.DataObject, count: int, command: str | None) -> None:
        """So many moves in which something is changed, as long as the connection lasts."""
        for _ in range(count):
            if actor not in self.actors or self.arena.done:
                return
            requests = fuzzed_requests(actor.scene(self.actors), command)
            self.finish_cut(actor, data.draw(requests, label="requests"))

    @precondition(is_open)
    @rule(data=st.data(), which=connections)
    def pipelined(self, data: st.DataObject, which: int) -> None:
        actor = self.whose(which)
        self.finish_cut(actor, data.draw(pipelines(actor.scene(self.actors)), label="requests"), data)

    def finish_cut(self, actor: Actor, requests: Sequence[Request], data: st.DataObject | None = None) -> None:
        """Say requests; behind one that is not whole, nothing can be asked any more."""
        self.say(actor, requests, data)
        if actor in self.actors and actor.inside and not self.arena.done:
            self.end(actor, Finish(actor.on))

    @precondition(is_open)
    @rule(data=st.data(), which=connections, how=st.sampled_from(ENDINGS))
    def end_somehow(self, data: st.DataObject, which: int, how: str) -> None:
        """A connection ends, between two requests or inside one; or one begins wrongly and ends for that."""
        if how == WRONG_BEGINNING:
            if self.can_open():
                actor = self.opens()
                command = data.draw(st.sampled_from(BEGINNINGS), label="command")
                self.finish_cut(actor, data.draw(fuzzed_requests(actor.scene(), command), label="requests"))
            return
        actor = self.whose(which)
        if data.draw(st.booleans(), label="inside a request"):
            self.cut(actor, data)
        if actor in self.actors and not self.arena.done:
            self.end(actor, Finish(actor.on) if how == "finish" else Close(actor.on, how == "reset"))

    def cut(self, actor: Actor, data: st.DataObject) -> None:
        """Some bytes of a valid request."""
        (*before, last) = data.draw(valid_requests(actor.scene(self.actors)), label="requests")
        if before:
            self.say(actor, before)
        if actor not in self.actors or self.arena.done:
            return
        message = self.arena.packing.message(last)
        size = data.draw(st.integers(1, max(len(message.data) - 1, 1)), label="bytes")
        kept = tuple(fill for fill in message.fills if fill.at + fill.width <= size)
        self.arena.play(Say(actor.on, Message(message.data[:size], kept), (), (f"{last.command} cut off at {size}",)))

    @precondition(is_open)
    @rule(which=connections)
    def every_byte_is_there(self, which: int) -> None:
        actor = self.whose(which)
        scene = actor.scene()
        self.say(actor, [whole(scene, held.name, held.size) for held in scene.buffers])

    @precondition(lambda self: self.arena.done or not self.actors)
    @rule()
    def rest(self) -> None:
        """Do nothing: there is always something that can be done."""

    def teardown(self) -> None:
        for actor in list(self.actors):
            if self.arena.done:
                return
            self.end(actor, Close(actor.on))


def machine(arena: Arena) -> type[Sessions]:
    """The state machine that plays there."""
    return type("FuzzedSessions", (Sessions,), {"arena": arena})
