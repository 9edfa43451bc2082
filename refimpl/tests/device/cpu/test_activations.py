"""Activations become Q8 once for all products that follow with them, and again as soon as their bytes have changed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.device.cpu import CpuDevice, lower
from refimpl.device.cpu.program import CpuProgram
from refimpl.device.protocol import Program
from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.kernels.cases.build import off_ties
from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.cpu.matmul.activations import quantise_q8
from refimpl.kernels.cpu.matmul.k_quants.activations import quantise_q8_k
from refimpl.kernels.cpu.step import BARRIER, KERNEL, WORD
from refimpl.tests.device.cpu.stage import Stage, activations, assert_right, random_blocks
from spec.names import Type

WIDTH, TOKENS = 64, 5
WIDE = 512
"""whole blocks of the K formats too"""
FORMATS = (Type.Q4_0, Type.Q4_1, Type.Q8_0)
CHAIN = 1e-3
"""NMSE of a chain: a float32 that differs in its last bit may become another quant of the next product"""


def quantised(program: Program, kernel: Kernel = quantise_q8) -> list[int]:
    """The steps that make activations."""
    assert isinstance(program, CpuProgram)
    found: list[int] = np.flatnonzero(program.steps[:, KERNEL // WORD] == kernel.address).tolist()
    return found


def barriers_of(program: Program) -> list[int]:
    """For each step, whether it waits for those before it."""
    assert isinstance(program, CpuProgram)
    return list(program.steps[:, BARRIER // WORD])


class Desk:
    """One x, square weights of every format with a product each, all in buffers of `stage`."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.b = stage, GraphBuilder()
        self.x = self.b.leaf("x", Type.F32, (WIDTH, TOKENS))
        self.weights = [self.b.leaf(type_.name, type_, (WIDTH, WIDTH)) for type_ in FORMATS]
        stage.lay(self.b, self.x)
        stage.lay(self.b, *self.weights)
        stage.write(self.b, self.x, activations(0, TOKENS, WIDTH))
        for seed, weight in enumerate(self.weights):
            stage.write(self.b, weight, random_blocks(seed, weight.type, (WIDTH, WIDTH)))

    def product(self, number: int, x: Tensor) -> Tensor:
        return self.b.output(self.b.mul_mat(self.weights[number % len(FORMATS)], x))


@pytest.fixture
def desk(stage: Stage) -> Desk:
    return Desk(stage)


def test_queries_keys_and_values_share_one_quantisation(desk: Desk) -> None:
    outputs = [desk.product(number, desk.x) for number in range(3)]
    program = assert_right(desk.stage, desk.b, outputs)
    assert quantised(program) == [0]
    assert barriers_of(program) == ([0, 0, 0, 0] if lower.SMALL else [0, 1, 0, 0])


def test_what_stands_between_two_products_does_not_matter_if_it_leaves_their_activations_alone(desk: Desk) -> None:
    first = desk.product(0, desk.x)
    between = desk.b.output(desk.b.add(first, desk.x))
    program = assert_right(desk.stage, desk.b, [first, between, desk.product(1, desk.x)])
    assert len(quantised(program)) == 1


def test_activations_that_were_rewritten_are_quantised_again(desk: Desk) -> None:
    first = desk.product(0, desk.x)
    other = desk.b.leaf("other", Type.F32, (WIDTH, TOKENS))
    desk.stage.lay(desk.b, other)
    desk.stage.write(desk.b, other, activations(1, TOKENS, WIDTH))
    desk.b.cpy(other, desk.x)
    program = assert_right(desk.stage, desk.b, [first, desk.product(1, desk.x)])
    assert len(quantised(program)) == 2


def test_one_row_rewritten_is_enough(desk: Desk) -> None:
    first = desk.product(0, desk.x)
    row = desk.b.view(desk.x, (WIDTH,), offset=3 * WIDTH * 4)
    desk.b.cpy(desk.b.scale(row, 2.0), row)
    program = assert_right(desk.stage, desk.b, [first, desk.product(1, desk.x)])
    assert len(quantised(program)) == 2


def test_weights_of_another_family_have_activations_of_their_own(stage: Stage) -> None:
    b, kinds = GraphBuilder(), (Type.Q4_0, Type.Q4_K, Type.Q5_1, Type.Q6_K, Type.Q5_K, Type.Q8_0)
    x = b.leaf("x", Type.F32, (WIDE, TOKENS))
    weights = [b.leaf(kind.name, kind, (WIDE, 32)) for kind in kinds]
    stage.lay(b, x)
    stage.lay(b, *weights)
    stage.write(b, x, off_ties(activations(0, TOKENS, WIDE).astype(np.float64), 256).astype(np.float32))
    for seed, weight in enumerate(weights):
        stage.write(b, weight, random_blocks(seed, weight.type, (WIDE, 32)))
    program = assert_right(stage, b, [b.output(b.mul_mat(weight, x)) for weight in weights])
    assert len(quantised(program)) == len(quantised(program, quantise_q8_k)) == 1


def test_the_same_bytes_in_another_shape_are_other_activations(desk: Desk) -> None:
    few = desk.b.view(desk.x, (WIDTH, 2))
    outputs = [desk.product(0, desk.x), desk.product(0, few), desk.product(1, desk.x), desk.product(1, few)]
    assert len(quantised(assert_right(desk.stage, desk.b, outputs))) == 2


def test_a_third_set_of_activations_takes_the_place_of_the_first(desk: Desk) -> None:
    """Products with the first again need it again; the numbers are right although places are used in turn."""
    xs = [desk.x, *(desk.b.scale(desk.x, factor, 0.1) for factor in (2.0, -3.0))]
    outputs = [desk.product(number, x) for number, x in enumerate((*xs, *xs, xs[2]))]
    program = assert_right(desk.stage, desk.b, outputs)
    assert len(quantised(program)) == 6


def test_making_the_next_activations_does_not_wait_for_the_last_product(desk: Desk) -> None:
    xs = [desk.x, desk.b.view(desk.x, (WIDTH, 2))]
    program = assert_right(desk.stage, desk.b, [desk.product(number, x) for number, x in enumerate(xs)])
    assert [barriers_of(program)[step] for step in quantised(program)] == [0, 0]


steps = st.lists(
    st.tuples(
        st.sampled_from(["mul_mat", "mul_mat", "add", "mul", "rms_norm"]), st.integers(0, 99), st.integers(0, 99)
    ),
    min_size=6,
    max_size=24,
)


@given(steps=steps)
def test_any_chain_of_products_and_sums_is_what_the_oracle_makes_of_it(
    shared: CpuDevice, steps: list[tuple[str, int, int]]
) -> None:
    desk = Desk(Stage(shared))
    b, made = desk.b, [desk.x]
    for op, first, second in steps:
        x, y = made[-1 - first % min(3, len(made))], made[second % len(made)]
        match op:
            case "mul_mat":
                made.append(b.rms_norm(desk.product(second, x), 1e-5))
            case "add":
                made.append(b.add(x, y))
            case "mul":
                made.append(b.rms_norm(b.mul(x, y), 1e-5))
            case "rms_norm":
                made.append(b.rms_norm(x, 1e-5))
    assert_right(desk.stage, b, [b.output(tensor) for tensor in made[1:]], CHAIN)
    for allocation in desk.stage.memory.values():
        shared.release(allocation)
