"""A graph of very many nodes takes a number of operations that its length bounds, whatever its nodes look like.

Work is counted as calls of Python functions while compiling, twice as many for twice the nodes.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from refimpl.device.cpu import CpuDevice, lower
from refimpl.device.cpu.program import CpuProgram
from refimpl.graph.checked import CheckedGraph
from refimpl.tests.device.cpu.tables import HANDLE, Group, graph
from spec.names import Op, Type

Q4_0, F32 = Type.Q4_0, Type.F32
ROWS, ROW = 16, 18
MATRIX = ROWS * ROW
VECTOR = 128
"""bytes of 32 floats"""


def additions(count: int) -> CheckedGraph:
    """With operands and results of their own."""
    places = VECTOR * np.arange(3 * count)
    numbers = np.arange(count)
    return graph(
        Group(F32, (32, 1, 1, 1), places[: 2 * count]),
        Group(F32, (32, 1, 1, 1), places[2 * count :], Op.ADD, (2 * numbers, 2 * numbers + 1)),
    )


def chain(count: int) -> CheckedGraph:
    """Each reads what the one before has written."""
    numbers = np.arange(count)
    return graph(
        Group(F32, (32, 1, 1, 1), np.zeros(1, np.int64)),
        Group(F32, (32, 1, 1, 1), VECTOR * (1 + numbers), Op.ADD, (numbers, numbers)),
    )


def products(weights: np.ndarray, activations: np.ndarray) -> CheckedGraph:
    """With matrices of 16 rows at `weights` and activations at `activations`."""
    count = len(weights)
    numbers, end = np.arange(count), int(max(weights.max() + MATRIX, activations.max() + VECTOR))
    results = -(-end // 64) * 64 + 64 * numbers
    return graph(
        Group(Q4_0, (32, ROWS, 1, 1), weights),
        Group(F32, (32, 1, 1, 1), activations),
        Group(F32, (ROWS, 1, 1, 1), results, Op.MUL_MAT, (numbers, count + numbers)),
    )


def apart(count: int) -> CheckedGraph:
    numbers = np.arange(count)
    return products(MATRIX * numbers, count * MATRIX + VECTOR * numbers)


def of_one_x(count: int) -> CheckedGraph:
    return products(MATRIX * np.arange(count), np.full(count, count * MATRIX))


def of_one_matrix(count: int) -> CheckedGraph:
    return products(np.zeros(count, np.int64), 2 * MATRIX + VECTOR * np.arange(count))


def staggered(count: int) -> CheckedGraph:
    """Each matrix begins one row behind the one before."""
    return products(ROW * np.arange(count), np.full(count, 64 * count))


def small_and_large(count: int) -> CheckedGraph:
    """Half as many matrices apart, and as often one that covers them all."""
    half = count // 2
    numbers, x, results = np.arange(half), half * MATRIX, half * MATRIX + VECTOR
    return graph(
        Group(Q4_0, (32, ROWS, 1, 1), MATRIX * numbers),
        Group(Q4_0, (32, ROWS * half, 1, 1), np.zeros(half, np.int64)),
        Group(F32, (32, 1, 1, 1), np.full(1, x)),
        Group(F32, (ROWS, 1, 1, 1), results + 64 * numbers, Op.MUL_MAT, (numbers, np.full(half, 2 * half))),
        Group(
            F32, (ROWS * half, 1, 1, 1), np.full(half, results), Op.MUL_MAT, (half + numbers, np.full(half, 2 * half))
        ),
    )


SHAPES = (additions, chain, apart, of_one_x, of_one_matrix, staggered, small_and_large)


def size_of(checked: CheckedGraph) -> int:
    return int((checked.tensors.offset + checked.tensors.nbytes).max())


def events(make: Callable[[int], CheckedGraph], count: int, device: CpuDevice) -> int:
    """Lines of Python that compiling `count` nodes takes."""
    checked = make(count)
    allocation = device.allocate(size_of(checked))
    seen = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal seen
        seen += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        device.compile(checked, {HANDLE: allocation})
    finally:
        sys.settrace(before)
    device.release(allocation)
    return seen


@pytest.fixture(scope="module", params=[0, lower.SMALL], ids=["shared steps", "as in use"])
def bare(request: pytest.FixtureRequest) -> Iterator[CpuDevice]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower, "SMALL", request.param)
        made = CpuDevice(2)
        yield made
        made.close()


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_twice_the_nodes_take_twice_the_work(shape: Callable[[int], CheckedGraph], bare: CpuDevice) -> None:
    events(shape, 2, bare)
    assert events(shape, 1200, bare) < 2.3 * events(shape, 600, bare)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_very_many_nodes_are_compiled_and_run(shape: Callable[[int], CheckedGraph], bare: CpuDevice) -> None:
    count = 20000 if shape in (additions, chain) else 2000 if shape is small_and_large else 5000
    checked = shape(count)
    allocation = bare.allocate(size_of(checked))
    program = bare.compile(checked, {HANDLE: allocation})
    assert isinstance(program, CpuProgram)
    assert count <= len(program.steps) <= 2 * count
    bare.run(program, bare.new_stop_word())
    bare.release(allocation)


def test_a_graph_without_nodes_is_a_program_without_steps(bare: CpuDevice) -> None:
    allocation = bare.allocate(VECTOR)
    program = bare.compile(graph(Group(F32, (32, 1, 1, 1), np.zeros(1, np.int64))), {HANDLE: allocation})
    bare.run(program, bare.new_stop_word())
    assert isinstance(program, CpuProgram)
    assert len(program.steps) == 0
    bare.release(allocation)
