"""The Llama graph against stock llama.cpp: the same nodes, operand for operand, and the logits that stock got."""

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl.graph.define import GraphBuilder
from refimpl.model import batch
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import ModelFile, WeightTensor, open_model
from refimpl.model.llama import (
    HIDDEN,
    K_IDXS,
    MASK,
    OUT_IDS,
    POSITIONS,
    TOKENS,
    V_IDXS,
    GraphShape,
    LlamaGraph,
    build_llama,
)
from refimpl.model.weights import ROPE_FREQS, TOKEN_EMBD
from refimpl.tests.model.captured import Run, captured_runs
from refimpl.tests.model.oracle_run import Memory
from refimpl.tests.model.tiny import TINY_PATH, captured_model
from refimpl.wire.tensor import TensorRecords
from spec.names import Op, TensorFlag, Type

VARIANTS = ("flash", "no-flash")
N_CTX = 256
PROMPT, FIRST_TOKEN = 1, 2
"""indices of captured runs; run 0 is stock's warm-up"""


def cache_of(variant: str) -> CacheShape:
    return CacheShape(N_CTX, flash=variant == "flash")


def whole(n_tokens: int, cache: CacheShape) -> GraphShape:
    """All layers and the head, from hidden states on, as stock sends it to a server that has every layer."""
    return GraphShape(first=0, last=2, n_tokens=n_tokens, n_kv=N_CTX, head=True, cache=cache)


def built(model: ModelFile, shape: GraphShape) -> tuple[GraphBuilder, LlamaGraph]:
    b = GraphBuilder()
    return b, build_llama(b, model, shape)


def placed_message(b: GraphBuilder, graph: LlamaGraph) -> tuple[NDArray[np.uint64], TensorRecords]:
    for i, tensor in enumerate([*graph.inputs.values(), *graph.weights.values(), *graph.cache.values()]):
        b.place(tensor, 1, (i + 1) << 24)
    b.plan_memory(32)
    b.place_intermediates(2, 1 << 40)
    return b.message()


def described(nodes: NDArray[np.uint64], records: TensorRecords) -> list[tuple[object, ...]]:
    """Executed nodes as values: operands by their place among the nodes, leaves by type and shape."""
    by_id = {int(record["id"]): record for record in records}
    run = [int(node) for node in nodes if by_id[int(node)]["flags"] & TensorFlag.COMPUTE]
    place = {node: i for i, node in enumerate(run)}

    def operand(number: int) -> object:
        if number == 0 or number in place:
            return place.get(number)
        return Type(by_id[number]["type"]), tuple(by_id[number]["ne"].tolist())

    return [_description(by_id[node], operand) for node in run]


def _description(record: np.void, operand: object) -> tuple[object, ...]:
    assert callable(operand)
    shape = (Type(record["type"]).name, *record["ne"].tolist(), *record["nb"].tolist())
    srcs = tuple(operand(int(source)) for source in record["src"] if source)
    seen_from = (operand(int(record["view_src"])), int(record["view_offs"]))
    return Op(record["op"]).name, shape, srcs, seen_from, tuple(record["op_params"].tolist())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("run", [0, PROMPT, FIRST_TOKEN])
def test_nodes_are_those_that_stock_sends(variant: str, run: int) -> None:
    stock = captured_runs(variant)[run]
    n_tokens = len(stock.inputs["inp_pos"]) // 4
    ours = described(*placed_message(*built(open_model(TINY_PATH), whole(n_tokens, cache_of(variant)))))
    theirs = described(stock.graph.nodes, stock.graph.tensors)
    assert len(ours) == len(theirs)
    for i, (mine, wanted) in enumerate(zip(ours, theirs, strict=True)):
        assert _without_output_type(mine) == _without_output_type(wanted), f"node {i}"


def _without_output_type(node: tuple[object, ...]) -> tuple[object, ...]:
    """The model file of the tests holds the output matrix as Q8_0, the one that stock sent is Q6_K."""
    srcs = node[2]
    assert isinstance(srcs, tuple)
    return (
        *node[:2],
        tuple(s[1] if isinstance(s, tuple) and s[0] in (Type.Q8_0, Type.Q6_K) else s for s in srcs),
        *node[3:],
    )


def inputs_of(stock: Run, model: ModelFile, cache: CacheShape) -> dict[str, NDArray[np.generic]]:
    """Inputs of a captured run, made by us."""
    pos = np.frombuffer(stock.inputs["inp_pos"], np.int32)
    start, n = int(pos[0]), pos.size
    return {
        HIDDEN: np.frombuffer(stock.inputs["embd"], np.float32),
        POSITIONS: batch.positions(start, n),
        MASK: batch.causal_mask(start, n, N_CTX, cache),
        K_IDXS: batch.k_indices(start, n),
        V_IDXS: batch.v_indices(start, n, model.hparams, cache),
        OUT_IDS: np.array([n - 1], np.int32),
    }


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("run", range(5))
def test_inputs_hold_the_bytes_that_stock_sends(variant: str, run: int) -> None:
    stock = captured_runs(variant)[run]
    ours = inputs_of(stock, open_model(TINY_PATH), cache_of(variant))
    names = {POSITIONS: "inp_pos", K_IDXS: "attn_inp_k_idxs", V_IDXS: "attn_inp_v_idxs", OUT_IDS: "out_ids"}
    for name, theirs in {**names, MASK: "attn_inp_kq_mask"}.items():
        assert ours[name].tobytes() == stock.inputs[theirs], name


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_oracle_gets_the_logits_that_stock_got(variant: str) -> None:
    model, cache = captured_model(variant), cache_of(variant)
    memory = Memory({name: tensor.data for name, tensor in model.tensors.items()})
    for stock in captured_runs(variant)[PROMPT:]:
        inputs = inputs_of(stock, model, cache)
        b, graph = built(model, whole(inputs[POSITIONS].size, cache))
        logits = memory.run(b, graph, inputs)[0]
        error = float(((logits - stock.logits) ** 2).sum() / (stock.logits**2).sum())
        assert error < 2e-4  # the output matrix is wider here than in stock's run
        assert int(logits.argmax()) == int(stock.logits.argmax())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", [Type.F16, Type.F32])
def test_ranges_of_layers_one_after_the_other_give_what_the_whole_gives(variant: str, kind: Type) -> None:
    model = captured_model(variant)
    cache = CacheShape(N_CTX, flash=variant == "flash", type_k=kind, type_v=kind)
    stock = captured_runs(variant)[PROMPT]
    inputs = inputs_of(stock, model, cache)
    n = inputs[POSITIONS].size
    together = _run(model, inputs, whole(n, cache))
    shape = GraphShape(first=0, last=1, n_tokens=n, n_kv=N_CTX, cache=cache)
    first = _run(model, inputs, shape)
    second = _run(model, {**inputs, HIDDEN: first}, attrs.evolve(shape, first=1, last=2))
    assert first.shape == (n, model.hparams.n_embd)
    assert second.shape == (1, model.hparams.n_embd)
    head = attrs.evolve(shape, first=2, last=2, n_tokens=1, head=True)
    np.testing.assert_array_equal(_run(model, {HIDDEN: second}, head), together)


def _run(model: ModelFile, inputs: Mapping[str, NDArray[np.generic]], shape: GraphShape) -> NDArray[np.float32]:
    b, graph = built(model, shape)
    return Memory({name: tensor.data for name, tensor in model.tensors.items()}).run(b, graph, inputs)


def test_an_embedding_alone_gives_the_hidden_states_that_stock_made_of_the_prompt() -> None:
    model = open_model(TINY_PATH)
    stock = captured_runs("flash")[FIRST_TOKEN]
    token = int(captured_runs("flash")[PROMPT].logits.argmax())
    shape = GraphShape(first=0, last=0, n_tokens=1, n_kv=0, embed=True, cache=cache_of("flash"))
    hidden = _run(model, {TOKENS: np.array([token], np.int32)}, shape)
    assert hidden.tobytes() == stock.inputs["embd"]


def test_a_graph_holds_just_the_weights_of_its_range() -> None:
    model = open_model(TINY_PATH)
    shape = GraphShape(first=1, last=2, n_tokens=1, n_kv=N_CTX, cache=cache_of("flash"))
    _, graph = built(model, shape)
    assert len(graph.weights) == 9
    assert all(name.startswith("blk.1.") for name in graph.weights)
    assert set(graph.cache) == {"cache_k_l1", "cache_v_l1"}


def test_a_tied_output_is_the_token_embedding() -> None:
    model = open_model(TINY_PATH)
    tied = attrs.evolve(model, hparams=attrs.evolve(model.hparams, tied_output=True))
    _, graph = built(tied, attrs.evolve(whole(1, cache_of("flash")), first=2))
    assert set(graph.weights) == {"output_norm.weight", TOKEN_EMBD}


def test_frequency_factors_of_the_file_reach_every_rotation() -> None:
    model = open_model(TINY_PATH)
    factors = np.linspace(1, 8, 32, dtype=np.float32)
    tensor = WeightTensor(ROPE_FREQS, Type.F32, (32, 1, 1, 1), factors.view(np.uint8))
    b, graph = built(attrs.evolve(model, tensors={**model.tensors, ROPE_FREQS: tensor}), whole(1, cache_of("flash")))
    rotations = [node for node in b.nodes if node.op == Op.ROPE]
    assert len(rotations) == 4
    assert all(node.srcs[2] is graph.weights[ROPE_FREQS] for node in rotations)


@pytest.mark.parametrize(
    "change", [{"first": 2, "last": 1}, {"last": 3}, {"last": 1, "head": True}, {"n_kv": N_CTX + 1}, {"first": -1}]
)
def test_a_range_that_does_not_exist_is_refused(change: dict[str, Any]) -> None:
    shape = attrs.evolve(whole(1, cache_of("flash")), **{"head": False, **change})
    with pytest.raises(ValueError, match=r"layers|cells"):
        build_llama(GraphBuilder(), open_model(TINY_PATH), shape)
