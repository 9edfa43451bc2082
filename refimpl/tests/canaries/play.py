"""One example: a graph of one node, or a whole layer, over guarded memory, with several numbers of threads.

Rules
- Operands lie flush against a forbidden page at their beginning or at their end (refimpl/tests/kernels/cpu/flush.py).
  Workspaces and scratch come from a device that guards its memory, scratch anew for each run and no larger than a
  kernel asked for; canaries fill what alignment leaves. Tables of steps end at a forbidden page as well.
- What is asked: no forbidden page is touched, which would end the process; canaries are whole; no byte outside the
  result has changed; the result is the oracle's within the contract; an index outside its table is a fault.
"""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl.device.cpu import CpuDevice, lower, plan, pool, program
from refimpl.errors import ProtocolError, UnsupportedError
from refimpl.kernels import contract
from refimpl.kernels.cpu.step import WORD
from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.evaluate import evaluate
from refimpl.tests.canaries.contents import INDICES, apart, filled, spoiled
from refimpl.tests.canaries.draw import Draw
from refimpl.tests.canaries.layers import layer_is_right
from refimpl.tests.canaries.nodes.matrices import MATRICES
from refimpl.tests.canaries.nodes.moving import MOVING
from refimpl.tests.canaries.nodes.pointwise import POINTWISE
from refimpl.tests.graph.node import Node
from refimpl.tests.graph.samples import one_node
from refimpl.tests.graph.test_rules_against_oracle import cases
from refimpl.tests.kernels import cpu_backend
from refimpl.tests.kernels.cpu.flush import END, START, between_pages, flush
from spec.names import Op

__all__ = ["LAYER", "NODES", "THREADS", "Damage", "guarded_memory", "op_of", "play"]

NODES: Mapping[Op, Callable[[Draw], Node]] = {**POINTWISE, **MOVING, **MATRICES}
THREADS = contract.THREADS
LAYER = "a layer"
LAYERS = 8
"""one example in so many is a layer"""
HOSTILE = 30
"""per cent of the examples with indices in which some are wrong"""


class Damage(Exception):
    """Memory beside a workspace or scratch has changed: found when it was given back."""


@cache
def _device(threads: int) -> CpuDevice:
    return CpuDevice(threads, guard=True)


@contextmanager
def guarded_memory() -> Iterator[None]:
    """Within the block kernels run over guarded memory; `play` needs it. Compiles them first, if need be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_backend, "device", _device)
        patch.setattr(pool, "KEPT", -1)
        for module in (plan, pool, program):
            patch.setattr(module, "aligned_words", _guarded_words)
        for threads in THREADS:
            _device(threads)
        yield


def _guarded_words(count: int) -> NDArray[np.int64]:
    """As pool.aligned_words, with a forbidden page behind the cache line of the last word."""
    line = pool.CACHE_LINE
    room = between_pages(np.zeros(-(-count * WORD // line) * line, np.uint8), END)
    return room.view(np.int64)[:count]


def op_of(number: int) -> Op | None:
    """Which op example `number` is about; None: a layer."""
    return None if number % LAYERS == 0 else list(NODES)[(number - number // LAYERS - 1) % len(NODES)]


def play(seed: int, number: int) -> str:
    """Run an example; what came of it, by op. Raises ContractViolation, MemoryDamaged, Damage, or what a bug raises."""
    draw = Draw(seed, number)
    with _watching() as damage, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower, "SMALL", draw.one(0, lower.SMALL))
        side = draw.one(START, END)
        patch.setattr(contract, "guarded", lambda case: flush(case, side))
        if (op := op_of(number)) is None:
            outcome = f"{LAYER}: {layer_is_right(draw, [_device(threads) for threads in THREADS])}"
        else:
            outcome = f"{op.name}: {_node_is_right(draw, NODES[op](draw), patch)}"
        gc.collect(0)
        for threads in THREADS:
            _device(threads)._memory.close()  # or address space fills with what nobody may touch any more
    if damage:
        raise Damage(damage[0])
    return outcome


@contextmanager
def _watching() -> Iterator[list[str]]:
    """Collects what goes wrong where nobody can be told: when a program's workspace is given back."""
    found: list[str] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda event: found.append(repr(event.exc_value))
    try:
        yield found
    finally:
        sys.unraisablehook = before


def _node_is_right(draw: Draw, node: Node, patch: pytest.MonkeyPatch) -> str:
    sample = one_node(node.op, node.dst, node.srcs, node.params, node.alias)
    try:
        (found,) = cases(sample, sample.build())
    except ProtocolError:
        return "refused by its rule"
    case = filled(apart(found), draw.rng)
    if node.op in INDICES and draw.chance(HOSTILE):
        case = spoiled(case, draw.rng)
        return _outcome(case, contract.check_fault, "faulty")
    with np.errstate(all="ignore"):
        expected = evaluate(case)
    patch.setattr(contract, "evaluate", lambda _: expected)
    return _outcome(case, contract.check, "computed")


def _outcome(case: Case, check: Callable[[contract.Backend, Case, int], None], good: str) -> str:
    try:
        for threads in THREADS:
            with np.errstate(all="ignore"):
                check(cpu_backend.run_case, case, threads)
    except UnsupportedError:
        return "no kernel"
    return good
