"""What is made: valid requests are valid by the model, for every command; mutated ones are of all three kinds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.fuzz.acting import Actor
from conformance.fuzz.machine.strategies import fuzzed_requests, openings, valid_requests
from conformance.fuzz.make.moves import furnishing, fuzzed, opening, valid
from conformance.fuzz.make.recipes import RECIPES
from conformance.fuzz.make.requests import makers
from conformance.fuzz.make.source import Chance
from conformance.fuzz.model.nodes import RULES
from conformance.fuzz.model.session import World
from conformance.fuzz.request import Packing, Request
from conformance.judge.codec import SIZE_BYTES
from spec.load import load

SAID_OTHERWISE = ("HELLO", "COMM_ALLREDUCE")
"""one is said by every opening, the other needs a second server"""
COMMANDS = [
    (version, command.name)
    for version in load().versions
    for command in load().dialect(version).commands.values()
    if command.name not in SAID_OTHERWISE
]
BASE = 1 << 40
MANY = 40


class Table:
    """A session whose server agrees to everything."""

    def __init__(self, version: str, requests: list[Request]) -> None:
        dialect = load().dialect(version)
        self.world = World(dialect)
        self.actor = Actor(self.world, Packing(dialect, self.world.structs), "a")
        self.handles = 0
        self.take(requests)
        self.take(furnishing(self.actor.scene()))

    def take(self, requests: list[Request]) -> list[str]:
        """Say requests; their kinds, without the DEVICE_COUNT behind them."""
        turn = self.actor.turn(requests, self.actor.session.places)
        for ruling in turn.rulings:
            due = ruling.expected.due
            if due is None or ruling.settle is None:
                continue
            self.handles += 1
            answers = {
                "buffer": self.handles.to_bytes(SIZE_BYTES, "little") + due.least.to_bytes(SIZE_BYTES, "little"),
                "base": (BASE + (self.handles << 20)).to_bytes(SIZE_BYTES, "little"),
            }
            ruling.settle(answers.get(due.kind, due.data[:1]))
        return [ruling.kind for ruling in turn.rulings]


def a_table(version: str, seed: int) -> tuple[Table, Chance]:
    source = Chance(f"{seed}")
    return Table(version, opening(source)), source


@pytest.mark.parametrize(("version", "command"), COMMANDS)
def test_a_valid_request_is_no_violation(version: str, command: str) -> None:
    for seed in range(MANY):
        table, source = a_table(version, seed)
        said = valid(source, table.actor.scene(), command)
        assert "close" not in table.take(said), (seed, said)


@pytest.mark.parametrize("version", load().versions)
def test_there_is_a_maker_for_every_command(version: str) -> None:
    table, _ = a_table(version, 0)
    names = {command.name for command in table.world.dialect.commands.values()}
    assert names - {"GRAPH_COMPUTE", "GRAPH_RECOMPUTE"} == makers(table.actor.scene()).keys()


def test_there_is_a_recipe_for_every_op_that_the_model_follows() -> None:
    assert RULES.keys() <= RECIPES.keys()
    assert RECIPES.keys() <= {op.name for op in load().dialect(load().newest).ops}


@pytest.mark.parametrize("op", RULES)
def test_what_the_model_follows_it_expects_to_be_served(op: str) -> None:
    """Of these recipes many are served for certain, and none is a violation."""
    kinds: Counter[str] = Counter()
    for seed in range(MANY * 15):
        table, source = a_table("7.0.0", seed)
        graph = valid(source, table.actor.scene(), "GRAPH_COMPUTE")
        if only(table, graph, op):
            kinds.update(table.take(graph)[len(graph) - 1 : len(graph)])
    assert kinds["serve"] > kinds["close"] == 0


def only(table: Table, requests: list[Request], op: str) -> bool:
    """Whether the graph has nodes of that op, and views, alone."""
    graph = requests[-1].graph
    ops = table.world.dialect.ops
    names = {ops[int(str(record.get("op", 0)))].name for record in graph.records} if graph is not None else set()
    return op in names <= {op, "NONE"}


@pytest.mark.parametrize("version", load().versions)
def test_mutated_requests_are_served_and_refused_and_in_doubt(version: str) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(200):
        table, source = a_table(version, seed)
        kinds.update(table.take(fuzzed(source, table.actor.scene())))
    assert min(kinds[kind] for kind in ("serve", "may", "close")) > 10


def test_a_seed_makes_the_same_again() -> None:
    def bytes_of(seed: int) -> bytes:
        table, source = a_table("8.0.0", seed)
        turn = table.actor.turn(fuzzed(source, table.actor.scene()), table.actor.session.places)
        return turn.step.message.data

    assert [bytes_of(seed) for seed in range(20)] == [bytes_of(seed) for seed in range(20)]
    assert bytes_of(1) != bytes_of(2)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(data=st.data(), choice=st.sampled_from(COMMANDS))
def test_hypothesis_draws_every_command_valid_and_mutated(data: st.DataObject, choice: tuple[str, str]) -> None:
    version, command = choice
    table = Table(version, data.draw(openings()))
    said = data.draw(valid_requests(table.actor.scene(), command))
    kinds = table.take(said)
    assert "close" not in kinds
    if not table.actor.over:
        table.take(data.draw(fuzzed_requests(table.actor.scene(), command)))
