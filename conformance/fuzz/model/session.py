"""One connection by the model: it is fed the bytes that are sent, and says of each request what has to come of it.

Rules
- It reads the stream as a server does: what a wrong size leaves over is the next request, and what is missing of the
  last one is `pending`, of which nothing can be said yet.
- After a violation it is over, and so it is when it is lost: nothing more is ruled.
- A ruling's effects are taken at once where the request has to be served, and where it may be: if the server closes the
  connection instead, its memory means nothing any more. What depends on a reply waits for `settle`.
"""

from collections.abc import Callable
from typing import Any

import attrs

from conformance.fuzz.layout import Layout, Number, layouts
from conformance.fuzz.model.memory import Held
from conformance.fuzz.model.ruling import Answer, Doubts, Lost, Ruling, Violation, must
from conformance.fuzz.model.tensors import Tensor
from conformance.fuzz.script import Due, Expected, Place
from conformance.judge.codec import COMMAND_BYTES, HEAD_BYTES, number
from spec.dialect import CommandDef, Dialect

__all__ = ["Ask", "Handler", "Remembered", "Session", "World"]

LARGEST_BODY = (1 << 63) - 1
GRAPH_COUNT_BYTES = 4


class World:
    """What all connections of a testee have in common. devices: what DEVICE_COUNT answers."""

    def __init__(self, dialect: Dialect, devices: int = 1) -> None:
        self.dialect = dialect
        self.structs = layouts(dialect)
        self.devices = devices
        self.has_uids = self.structs["graph_compute_req"].has("uid")

    def tensor(self, data: bytes, offset: int = 0) -> Tensor:
        """The record in a message."""
        return Tensor.read(self.structs["rpc_tensor"], self.dialect, data, offset)

    def layout(self, command: CommandDef) -> Layout | None:
        """The fixed part of a request."""
        return self.structs[command.request] if command.request else None


@attrs.define(eq=False)
class Ask:
    """A request that has come in whole: the fields of its fixed part and what follows that."""

    values: dict[str, Number]
    tail: bytes
    doubts: Doubts = attrs.field(factory=Doubts)
    executed: int = 0

    def number(self, name: str) -> int:
        """A field that is one number."""
        value = self.values[name]
        if not isinstance(value, int):
            raise TypeError(f"{name} is not a number")
        return value

    def raw(self, name: str) -> bytes:
        """A field that is bytes."""
        value = self.values[name]
        if not isinstance(value, bytes):
            raise TypeError(f"{name} is not bytes")
        return value


@attrs.define(eq=False)
class Remembered:
    """A graph that GRAPH_RECOMPUTE may name. shaky: a server may have forgotten it (GRAPH-24)."""

    graph: Any
    buffers: frozenset[Held]
    shaky: bool = False


Handler = Callable[["Session", Ask], Answer]


class Session:
    """A connection named `on`; handlers: by command name, one for each of the dialect's."""

    def __init__(self, world: World, on: str, handlers: dict[str, Handler]) -> None:
        self.world = world
        self.on = on
        self.greeted = False
        self.over = False
        self.pending = b""
        self.owned: dict[int, Held] = {}
        self.places: dict[str, Place] = {}
        """every buffer that it ever had, by name"""
        self.graphs: dict[tuple[int, int], Remembered] = {}
        """by device and uid; 0 where there are no uids"""
        self.awaited = 0
        """allocations that are not answered yet"""
        self.fed = 0
        """requests so far"""
        self._handlers = handlers

    def feed(self, data: bytes) -> list[Ruling]:
        """Rule on the requests that these bytes complete."""
        self.pending += data
        rulings: list[Ruling] = []
        while not self.over and (ruling := self._next()) is not None:
            rulings.append(ruling)
        return rulings

    def live(self) -> list[Held]:
        """Its buffers, in the order of their allocation."""
        return list(self.owned.values())

    def forget(self, held: Held) -> None:
        """A buffer is freed."""
        self.graphs = {key: each for key, each in self.graphs.items() if held not in each.buffers}
        for each in self.graphs.values():
            each.shaky = True

    def _next(self) -> Ruling | None:
        if len(self.pending) < HEAD_BYTES:
            return None
        byte, declared = self.pending[0], number(self.pending[COMMAND_BYTES:HEAD_BYTES])
        command = self.world.dialect.commands.get(byte)
        name = command.name if command else f"command {byte}"
        doubts = Doubts()
        try:
            known = self._admitted(command, declared)
            if len(self.pending) < HEAD_BYTES + declared:
                return None
            body = self.pending[HEAD_BYTES : HEAD_BYTES + declared]
            self.pending = self.pending[HEAD_BYTES + declared :]
            self.fed += 1
            ask = self._ask(known, body, doubts)
            answer = self._handlers[name](self, ask)
        except Violation as wrong:
            self.over = True
            return Ruling(expected=Expected(must_close=True, clause=wrong.clause, command=name))
        except Lost:
            self.over = True
            return Ruling(expected=Expected(Due("anything", 0), may_close=True, command=name))
        clause = doubts.clauses[0] if doubts else ""
        expected = Expected(answer.due, may_close=bool(doubts), clause=clause, command=name)
        return Ruling(expected=expected, settle=answer.settle, executed=ask.executed)

    def _admitted(self, command: CommandDef | None, declared: int) -> CommandDef:
        """FRAME-4 to FRAME-7 and the phases, by the head alone."""
        if not self.greeted:
            must(command is not None and command.name == "HELLO", "PHASE-1")
        if command is None:
            raise Violation("FRAME-4")
        must(not (self.greeted and command.name == "HELLO"), "HELLO-6")
        must(declared <= LARGEST_BODY, "FRAME-7")
        layout = self.world.layout(command)
        fixed = layout.size if layout else 0
        if command.name == "HELLO":
            must(declared == fixed, "HELLO-2")
        elif command.tail is None:
            must(declared == fixed, "FRAME-5")
        else:
            least = fixed + (GRAPH_COUNT_BYTES if command.tail == "graph" else 0)
            must(declared >= least, "FRAME-5")
        return command

    def _ask(self, command: CommandDef, body: bytes, doubts: Doubts) -> Ask:
        layout = self.world.layout(command)
        ask = Ask(layout.unpack(body) if layout else {}, body[layout.size if layout else 0 :], doubts)
        if "device" in ask.values:
            must(ask.number("device") < self.world.devices, "DEVICE-2")
        return ask
