"""Weights are packed while programs multiply with them, and nobody who reads or writes their bytes can tell.

`Desk` does everything on two devices, the second of which computes with the oracle and never packs anything. What a
test looks at beside the bytes is `packed`, so that it would fail if nothing were packed at all.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.device.cpu import CpuDevice
from refimpl.device.cpu.memory import CpuAllocation
from refimpl.device.protocol import Program
from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.tests.device.cpu.stage import Stage, activations, nmse, random_blocks
from spec.names import Type

COLUMNS, ROWS, TOKENS = 64, 32, 5
Q4_0 = Type.Q4_0
BLOCK = FORMATS[Q4_0].bytes
ROW = COLUMNS // 32 * BLOCK
MATRIX = ROWS * ROW
"""bytes of one of the two matrices that lie one behind the other in the buffer of weights"""


class Graph:
    """One graph on both devices, with its outputs."""

    def __init__(self, desk: "Desk", make: Callable[["Desk", GraphBuilder], list[Tensor]]) -> None:
        self.b = GraphBuilder()
        self.outputs = [self.b.output(tensor) for tensor in make(desk, self.b)]
        desk.stage.plan(self.b)
        handle = len(desk.stage.memory)
        desk.oracle.buffer(desk.stage.memory[handle].size)
        self.programs: tuple[Program, Program] = desk.stage.compile(self.b), desk.oracle.compile(self.b)


class Desk:
    """Buffer 1 holds two matrices, buffer 2 activations for rows of 64 and of 32, buffer 3 two indices."""

    def __init__(self, device: CpuDevice) -> None:
        self.stage = Stage(device)
        for data in (
            random_blocks(0, Q4_0, (COLUMNS, 2 * ROWS)),
            activations(0, TOKENS, COLUMNS).tobytes(),
            np.array([1, 30], np.int32).tobytes(),
        ):
            handle = self.stage.buffer(len(data))
            device.writable(self.stage.memory[handle], 0, len(data))[:] = data
        self.oracle = self.stage.twin()

    @property
    def weights(self) -> CpuAllocation:
        allocation = self.stage.memory[1]
        assert isinstance(allocation, CpuAllocation)
        return allocation

    @property
    def packed(self) -> list[tuple[int, int]]:
        """(first byte, bytes) of what is packed now."""
        return [(region.offset, region.size) for region in self.weights.packed.all()]

    def leaf(self, b: GraphBuilder, offset: int, columns: int = COLUMNS, rows: int = ROWS) -> Tensor:
        """A matrix somewhere in the weights."""
        made = b.leaf(f"w at {offset}", Q4_0, (columns, rows))
        self.stage.place(b, made, 1, offset)
        return made

    def x(self, b: GraphBuilder, columns: int = COLUMNS) -> Tensor:
        made = b.leaf("x", Type.F32, (columns, TOKENS))
        self.stage.place(b, made, 2, 0)
        return made

    def indices(self, b: GraphBuilder) -> Tensor:
        made = b.leaf("indices", Type.I32, (2,))
        self.stage.place(b, made, 3, 0)
        return made

    def run(self, graph: Graph) -> None:
        """On both, and both have the same numbers."""
        for stage, program in zip((self.stage, self.oracle), graph.programs, strict=True):
            stage.run(program)
        for output in graph.outputs:
            got, expected = (stage.floats(graph.b, output) for stage in (self.stage, self.oracle))
            assert nmse(got, expected) < 1e-6, graph.b.label(output)

    def write(self, offset: int, data: bytes) -> None:
        for stage in (self.stage, self.oracle):
            stage.device.writable(stage.memory[1], offset, len(data))[:] = data

    def fill(self, offset: int, size: int, value: int) -> None:
        for stage in (self.stage, self.oracle):
            stage.device.fill(stage.memory[1], offset, size, value)

    def copy(self, source: int, target: int, size: int) -> None:
        for stage in (self.stage, self.oracle):
            stage.device.copy(stage.memory[1], source, stage.memory[1], target, size)

    def read(self, offset: int, size: int) -> None:
        """From both, and both have the same bytes."""
        got, expected = (stage.device.read(stage.memory[1], offset, size) for stage in (self.stage, self.oracle))
        assert got == expected

    def close(self) -> None:
        for allocation in self.stage.memory.values():
            self.stage.device.release(allocation)


@pytest.fixture
def desk(device: CpuDevice) -> Iterator[Desk]:
    made = Desk(device)
    yield made
    made.close()


def first(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    return [b.mul_mat(desk.leaf(b, 0), desk.x(b))]


def both(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    x = desk.x(b)
    return [b.mul_mat(desk.leaf(b, offset), x) for offset in (0, MATRIX)]


def named_twice(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    x = desk.x(b)
    return [b.mul_mat(desk.leaf(b, 0), x) for _ in range(2)]


def across(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    """A matrix of the second half of the first and the first half of the second."""
    return [b.mul_mat(desk.leaf(b, MATRIX // 2), desk.x(b))]


def first_and_across(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    x = desk.x(b)
    return [b.mul_mat(desk.leaf(b, offset), x) for offset in (0, MATRIX // 2)]


def narrow(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    """The bytes of the first matrix as twice as many rows of half the length."""
    return [b.mul_mat(desk.leaf(b, 0, COLUMNS // 2, 2 * ROWS), desk.x(b, COLUMNS // 2))]


def rows(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    return [b.get_rows(desk.leaf(b, 0), desk.indices(b))]


def rows_and_product(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    """Of the same tensor, as with an embedding that is the output matrix too."""
    weights = desk.leaf(b, 0)
    return [b.get_rows(weights, desk.indices(b)), b.mul_mat(weights, desk.x(b))]


def rows_of_one_and_product_of_the_other(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    return [b.get_rows(desk.leaf(b, 0), desk.indices(b)), b.mul_mat(desk.leaf(b, MATRIX), desk.x(b))]


def some_rows(desk: Desk, b: GraphBuilder) -> list[Tensor]:
    """A product with a view of the first matrix."""
    return [b.mul_mat(b.view(desk.leaf(b, 0), (COLUMNS, 16)), desk.x(b))]


GRAPHS = (
    first,
    both,
    named_twice,
    across,
    first_and_across,
    narrow,
    rows,
    rows_and_product,
    rows_of_one_and_product_of_the_other,
    some_rows,
)


def as_it_lies(desk: Desk) -> bytes:
    """The bytes of the weights in memory, whatever their layout."""
    return bytes(desk.weights.view(0, 2 * MATRIX))


def test_packed_weights_read_as_they_were_sent(desk: Desk) -> None:
    desk.run(Graph(desk, first))
    assert desk.packed == [(0, MATRIX)]
    assert as_it_lies(desk)[:MATRIX] != bytes(desk.oracle.device.read(desk.oracle.memory[1], 0, MATRIX))
    desk.read(0, 2 * MATRIX)
    assert desk.packed == []


def test_a_read_beside_packed_weights_leaves_them_packed(desk: Desk) -> None:
    desk.run(Graph(desk, first))
    desk.read(MATRIX, MATRIX)
    desk.read(0, 0)
    assert desk.packed == [(0, MATRIX)]


@pytest.mark.parametrize("at", [0, 1, MATRIX // 2, MATRIX - 1])
def test_a_byte_of_packed_weights_is_the_one_that_was_sent(desk: Desk, at: int) -> None:
    desk.run(Graph(desk, first))
    desk.read(at, 1)


def test_a_program_packs_again_what_was_read(desk: Desk) -> None:
    graph = Graph(desk, first)
    for _ in range(3):
        desk.run(graph)
        assert desk.packed == [(0, MATRIX)]
        desk.read(5, 10)


def test_the_second_run_finds_everything_as_it_has_to_be(desk: Desk) -> None:
    graph = Graph(desk, both)
    desk.run(graph)
    version = desk.weights.packed.version
    desk.run(graph)
    desk.run(Graph(desk, both))
    assert desk.weights.packed.version == version


@pytest.mark.parametrize(("offset", "rows"), [(0, ROWS), (3 * ROW, 1), ((ROWS - 1) * ROW, 2), (0, 2 * ROWS)])
def test_new_weights_count_from_the_next_run_on(desk: Desk, offset: int, rows: int) -> None:
    graph = Graph(desk, both)
    desk.run(graph)
    desk.write(offset, random_blocks(7, Q4_0, (COLUMNS, rows)))
    desk.run(graph)
    assert desk.packed == [(0, MATRIX), (MATRIX, MATRIX)]
    desk.read(0, 2 * MATRIX)


def test_a_tensor_named_twice_is_packed_once(desk: Desk) -> None:
    desk.run(Graph(desk, named_twice))
    assert desk.packed == [(0, MATRIX)]
    assert desk.weights.packed.version == 1


@pytest.mark.parametrize("graph", [rows_and_product, some_rows], ids=lambda graph: graph.__name__)
def test_weights_that_the_same_graph_reads_otherwise_stay_as_they_are(
    desk: Desk, graph: Callable[[Desk, GraphBuilder], list[Tensor]]
) -> None:
    desk.run(Graph(desk, graph))
    assert desk.packed == []


def test_what_another_program_reads_as_it_was_sent_is_packed_no_more(desk: Desk) -> None:
    product, reader = Graph(desk, both), Graph(desk, rows)
    desk.run(product)
    desk.run(reader)
    assert desk.packed == [(MATRIX, MATRIX)]
    desk.run(product)
    desk.run(reader)
    desk.run(Graph(desk, first))
    assert desk.packed == [(MATRIX, MATRIX)]


def test_new_bytes_lift_the_denial(desk: Desk) -> None:
    product, reader = Graph(desk, first), Graph(desk, rows)
    desk.run(product)
    desk.run(reader)
    desk.write(0, random_blocks(8, Q4_0, (COLUMNS, ROWS)))
    desk.run(Graph(desk, first))
    assert desk.packed == [(0, MATRIX)]
    desk.run(product)
    desk.run(reader)
    assert desk.packed == []


def test_of_two_matrices_of_one_graph_that_share_bytes_neither_is_packed(desk: Desk) -> None:
    desk.run(Graph(desk, first_and_across))
    assert desk.packed == []


def test_programs_that_see_other_matrices_in_the_same_bytes_take_turns(desk: Desk) -> None:
    graphs = [Graph(desk, make) for make in (first, across, narrow, both)]
    for _ in range(2):
        for graph in graphs:
            desk.run(graph)
    assert desk.packed == [(0, MATRIX), (MATRIX, MATRIX)]
    desk.read(0, 2 * MATRIX)


def test_a_matrix_that_may_not_be_packed_is_not_read_from_what_another_program_packed_there(desk: Desk) -> None:
    across_both, beside = Graph(desk, across), Graph(desk, rows_of_one_and_product_of_the_other)
    desk.run(across_both)
    desk.run(beside)
    assert desk.packed == [(MATRIX, MATRIX)]
    for graph in (across_both, beside, across_both):
        desk.run(graph)
        assert desk.packed == []


def test_a_copy_of_packed_weights_is_what_was_sent(desk: Desk) -> None:
    graph = Graph(desk, both)
    desk.run(graph)
    desk.copy(0, MATRIX, MATRIX)
    assert desk.packed == []
    desk.run(graph)
    desk.copy(ROW, 0, MATRIX)
    desk.read(0, 2 * MATRIX)
    desk.run(graph)


def test_a_fill_of_a_part_leaves_the_rest_as_it_was_sent(desk: Desk) -> None:
    graph = Graph(desk, both)
    desk.run(graph)
    desk.fill(ROW + 2, 5, 0x77)
    assert desk.packed == [(MATRIX, MATRIX)]
    desk.run(graph)
    desk.read(0, 2 * MATRIX)


def test_memory_that_was_freed_takes_no_layout_along(desk: Desk) -> None:
    device = desk.stage.device
    desk.run(Graph(desk, both))
    assert desk.packed
    device.release(desk.weights)
    desk.stage.memory[1] = device.allocate(2 * MATRIX)
    assert desk.packed == []
    assert not any(device.read(desk.weights, 0, 2 * MATRIX))


blocks = st.integers(0, 2 * MATRIX // BLOCK - 1)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, len(GRAPHS) - 1)),
        st.tuples(st.just("run"), st.integers(0, len(GRAPHS) - 1)),
        st.tuples(st.just("write"), blocks, st.integers(1, 40), st.integers(0, 99)),
        st.tuples(st.just("fill"), blocks, st.integers(1, 40), st.sampled_from([0x00, 0x11, 0x2E])),
        st.tuples(st.just("copy"), blocks, blocks, st.integers(1, 80)),
        st.tuples(st.just("read"), st.integers(0, 2 * MATRIX), st.integers(0, MATRIX)),
    ),
    min_size=4,
    max_size=14,
)


@given(actions=actions)
def test_commands_and_programs_in_any_order_leave_the_bytes_and_numbers_that_they_must(
    shared: CpuDevice, actions: list[tuple]
) -> None:
    desk = Desk(shared)
    graphs = [Graph(desk, make) for make in GRAPHS]
    for name, *values in actions:
        match name, values:
            case "run", [number]:
                desk.run(graphs[number])
            case "write", [block, count, seed]:
                count = min(count, 2 * MATRIX // BLOCK - block)
                desk.write(block * BLOCK, random_blocks(seed, Q4_0, (32, count)))
            case "fill", [block, count, value]:
                desk.fill(block * BLOCK, min(count * BLOCK, 2 * MATRIX - block * BLOCK), value)
            case "copy", [source, target, count]:
                size = min(count * BLOCK, 2 * MATRIX - max(source, target) * BLOCK)
                desk.copy(source * BLOCK, target * BLOCK, size)
            case "read", [start, size]:
                desk.read(start, min(size, 2 * MATRIX - start))
    desk.read(0, 2 * MATRIX)
    desk.close()
