"""Products by expert: a whole mixture as models route it, lists of slots that are made again when ids change, matrices
of all experts packed as one, and ids that name no expert.
"""

import re

import numpy as np
import pytest

from refimpl.device.cpu.memory import CpuAllocation
from refimpl.errors import ComputeFault
from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.tests.device.cpu.stage import Stage, activations, assert_right, nmse, random_blocks
from spec.names import Glu, Type

F32, I32, Q4_0, Q8_0 = Type.F32, Type.I32, Type.Q4_0, Type.Q8_0
WIDTH, INNER, EXPERTS, USED = 64, 48, 4, 2


def matrices(b: GraphBuilder, type_: Type, columns: int, rows: int) -> Tensor:
    return b.leaf(f"{columns}x{rows}", type_, (columns, rows, EXPERTS))


def blocks(tensor: Tensor, seed: int) -> bytes:
    return random_blocks(seed, tensor.type, (tensor.ne[0], tensor.ne[1] * tensor.ne[2]))


def routed(b: GraphBuilder, x: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    """ids (USED, tokens), a view of all, and their weights (1, USED, tokens), which sum to 1."""
    tokens = x.ne[1]
    shares = b.soft_max(b.mul_mat(gate, x))
    order = b.argsort(shares, falling=True)
    ids = b.view(order, (USED, tokens), (order.nb[1],))
    chosen = b.get_rows(b.reshape(shares, (1, EXPERTS, tokens)), ids)
    flat = b.reshape(chosen, (USED, tokens))
    total = b.clamp(b.sum_rows(flat), 1e-6, float("inf"))
    return ids, b.reshape(b.div(flat, total), (1, USED, tokens))


@pytest.mark.parametrize("type_", [F32, Q4_0, Q8_0], ids=lambda type_: type_.name)
@pytest.mark.parametrize("tokens", [1, 3, 40])
def test_a_mixture_of_experts_is_what_the_oracle_says(stage: Stage, type_: Type, tokens: int) -> None:
    b = GraphBuilder()
    x, gate, bias = (
        b.leaf("x", F32, (WIDTH, tokens)),
        b.leaf("gate", F32, (WIDTH, EXPERTS)),
        b.leaf("bias", F32, (INNER, EXPERTS)),
    )
    ups, gates, downs = (
        matrices(b, type_, WIDTH, INNER),
        matrices(b, type_, WIDTH, INNER),
        matrices(b, type_, INNER - 16, WIDTH),
    )
    ids, shares = routed(b, x, gate)
    sent = b.reshape(x, (WIDTH, 1, tokens))
    up = b.add_id(b.mul_mat_id(ups, sent, ids), bias, ids)
    fed = b.glu(Glu.SWIGLU_OAI, b.mul_mat_id(gates, sent, ids), up, 1.702, 7.0)
    narrow = b.cont(b.view(fed, (INNER - 16, USED, tokens), (fed.nb[1], fed.nb[2])))
    mixed = b.mul(b.mul_mat_id(downs, narrow, ids), shares)
    parts = [b.view(mixed, (WIDTH, tokens), (mixed.nb[2],), slot * mixed.nb[1]) for slot in range(USED)]
    out = b.output(b.add(*parts))
    leaves = (x, gate, bias, ups, gates, downs)
    stage.lay(b, *leaves)
    for seed, leaf in enumerate(leaves):
        quantised = leaf.type != F32
        stage.write(b, leaf, blocks(leaf, seed) if quantised else activations(seed, *leaf.ne[::-1]))
    assert_right(stage, b, [out], 1e-5)


class Pair:
    """Two products by the same ids, which may be written between them."""

    def __init__(self, stage: Stage, changed: bool) -> None:
        b = self.b = GraphBuilder()
        self.weights, self.x = matrices(b, Q8_0, WIDTH, 16), b.leaf("x", F32, (WIDTH, USED, 3))
        self.ids, self.others = b.leaf("ids", I32, (USED, 3)), b.leaf("others", I32, (USED, 3))
        first = b.output(b.named(b.mul_mat_id(self.weights, self.x, self.ids), "mixed"))
        if changed:
            b.cpy(self.others, self.ids)
        self.outputs = [first, b.output(b.mul_mat_id(self.weights, self.x, self.ids))]
        stage.lay(b, self.weights)
        stage.lay(b, self.x, self.ids, self.others)
        stage.write(b, self.weights, blocks(self.weights, 0))
        stage.write(b, self.x, activations(1, 3, USED, WIDTH))
        stage.write(b, self.ids, np.array([[0, 1], [2, 3], [1, 1]], np.int32))
        stage.write(b, self.others, np.array([[3, 2], [0, 0], [2, 1]], np.int32))


@pytest.mark.parametrize("changed", [False, True])
def test_a_list_of_slots_serves_until_its_ids_are_written(stage: Stage, changed: bool) -> None:
    pair = Pair(stage, changed)
    assert_right(stage, pair.b, pair.outputs)
    first, second = (stage.floats(pair.b, output) for output in pair.outputs)
    assert (nmse(first, second) > 0.1) is changed


def test_the_matrices_of_all_experts_are_packed_and_read_as_they_were_sent(stage: Stage) -> None:
    pair = Pair(stage, False)
    assert_right(stage, pair.b, pair.outputs)
    allocation, _ = stage.where(pair.b, pair.weights)
    assert isinstance(allocation, CpuAllocation)
    assert [region.rows for region in allocation.packed.all()] == [16 * EXPERTS]
    assert stage.read(pair.b, pair.weights) == blocks(pair.weights, 0)
    assert not allocation.packed.all()


def test_matrices_that_a_plain_product_takes_too_stay_as_they_are(stage: Stage) -> None:
    pair = Pair(stage, False)
    b = pair.b
    batched = b.leaf("batched", F32, (WIDTH, 2, EXPERTS))
    plain = b.output(b.mul_mat(pair.weights, batched))
    stage.lay(b, batched)
    stage.write(b, batched, activations(5, EXPERTS, 2, WIDTH))
    assert_right(stage, b, [*pair.outputs, plain])
    allocation, _ = stage.where(b, pair.weights)
    assert isinstance(allocation, CpuAllocation)
    assert not allocation.packed.all()


@pytest.mark.parametrize("bad", [EXPERTS, -1, 1 << 30])
def test_an_id_that_names_no_expert_is_reported_with_its_tensor(stage: Stage, bad: int) -> None:
    pair = Pair(stage, False)
    program = stage.compile(pair.b)
    stage.write(pair.b, pair.ids, np.array([[0, 1], [2, bad], [1, 1]], np.int32))
    with pytest.raises(ComputeFault) as caught:
        stage.run(program)
    assert re.search(rf"'mixed'.* index {bad} of {EXPERTS}", str(caught.value))
    assert caught.value.clause == "GRAPH-20"
    stage.write(pair.b, pair.ids, np.zeros((3, 2), np.int32))
    stage.run(program)
