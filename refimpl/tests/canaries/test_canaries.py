"""The short form of `nox -s canaries`, and what it is worth: an engine that leaves its memory is found out."""

import re
import sys

import pytest

from refimpl.graph.rules.table import RULES
from refimpl.tests.canaries.__main__ import COMMAND, options, run
from refimpl.tests.canaries.play import LAYER, NODES, op_of
from spec.names import Op

EXAMPLES = 48
"""one of every op at least, and half a dozen layers"""
SEED = 1
SPOILED = (sys.executable, "-m", "refimpl.tests.canaries.spoiled")


def test_every_op_has_nodes_to_be_drawn() -> None:
    assert set(NODES) == set(RULES)


def test_graphs_of_every_op_and_layers_keep_to_their_memory() -> None:
    given = options(["--seed", str(SEED), "--examples", str(EXAMPLES), "--seconds", "500"])
    outcomes, faults = run(given, COMMAND)
    assert faults == []
    assert sum(outcomes.values()) == EXAMPLES
    done = {outcome.partition(":")[0] for outcome in outcomes if re.search("computed|faulty", outcome)}
    assert done == {LAYER, *(op.name for op in NODES)}


@pytest.mark.parametrize(
    ("kind", "op", "found"),
    [
        ("little scratch", Op.ARGSORT, "SIGSEGV|MemoryDamaged"),
        ("little workspace", None, "SIGSEGV|Damage"),
        ("writes beside the result", Op.ADD, "SIGSEGV"),
        ("reads beside the result", Op.ADD, "SIGSEGV"),
    ],
)
def test_an_engine_that_leaves_its_memory_is_found_out(kind: str, op: Op | None, found: str) -> None:
    number = next(number for number in range(2 * EXAMPLES) if op_of(number) == op)
    given = options(["--seed", str(SEED), "--first", str(number), "--examples", "1", "--seconds", "500"])
    _, (fault,) = run(given, (*SPOILED, kind))
    assert re.search(rf"^example {number}.*({found}).*--seed {SEED} --example {number}$", fault), fault
