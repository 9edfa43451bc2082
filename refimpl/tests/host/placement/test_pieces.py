"""A graph cut into pieces: whole without -ot, nodes where their weights are with it, and every result handed on."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.graph.define import GraphBuilder
from refimpl.host.placement.pieces import VIEWS, Piece, ScratchLayout, cut, result_name
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import open_model
from refimpl.model.llama import GraphShape, LlamaGraph, build_llama
from refimpl.tests.model.tiny import TINY_PATH
from spec.names import Op, Type

HOME, AWAY, ELSEWHERE = 0, 1, 2
MODEL = open_model(TINY_PATH)
WHOLE = GraphShape(first=0, last=2, n_tokens=3, n_kv=256, head=True, cache=CacheShape(256))


def pieces_of(where: Mapping[str, int]) -> tuple[GraphBuilder, LlamaGraph, tuple[Piece, ...]]:
    builder = GraphBuilder()
    graph = build_llama(builder, MODEL, WHOLE)
    return builder, graph, cut(builder, graph, HOME, where)


def computing(builder: GraphBuilder) -> list[Op]:
    return [node.op for node in builder.nodes if node.op not in VIEWS]


def test_without_overrides_a_stage_is_one_piece_with_all_that_it_has() -> None:
    builder, graph, (piece,) = pieces_of({})
    assert computing(piece.builder) == computing(builder)
    assert piece.inputs.keys() == graph.inputs.keys()
    assert (piece.weights.keys(), piece.cache.keys()) == (graph.weights.keys(), graph.cache.keys())
    assert list(piece.results) == [result_name(graph.output)]


def test_feed_forward_weights_take_their_products_along() -> None:
    names = [f"blk.1.ffn_{part}.weight" for part in ("gate", "up", "down")]
    _, graph, pieces = pieces_of(dict.fromkeys(names, AWAY))
    assert [piece.device for piece in pieces] == [HOME, AWAY, HOME]
    assert computing(pieces[1].builder) == [Op.MUL_MAT, Op.MUL_MAT, Op.GLU, Op.MUL_MAT]
    assert set(pieces[1].weights) == set(names)
    (normed,), (product,) = pieces[1].inputs, pieces[1].results
    assert normed in pieces[0].results
    assert set(pieces[2].inputs) == {product} | set(pieces[0].results) - {normed}
    assert list(pieces[2].results) == [result_name(graph.output)]


def test_the_cache_stays_at_home() -> None:
    _, graph, pieces = pieces_of({f"blk.0.attn_{part}.weight": AWAY for part in "qkv"})
    assert {name for piece in pieces if piece.device == HOME for name in piece.cache} == set(graph.cache)
    assert not [piece for piece in pieces if piece.device == AWAY and piece.cache]


@given(st.dictionaries(st.sampled_from(sorted(MODEL.tensors)), st.sampled_from([HOME, AWAY, ELSEWHERE])))
@settings(max_examples=40, deadline=None)
def test_wherever_the_weights_are_every_node_runs_once_in_order(where: dict[str, int]) -> None:
    builder, graph, pieces = pieces_of(where)
    assert [op for piece in pieces for op in computing(piece.builder)] == computing(builder)
    known = set(graph.inputs)
    for piece in pieces:
        assert piece.inputs.keys() <= known
        assert all(where.get(name, HOME) == piece.device for name in piece.weights)
        known |= piece.results.keys()
    assert result_name(graph.output) in known
    wanted = {name for piece in pieces for name in piece.inputs} | {result_name(graph.output)}
    assert known - wanted <= graph.inputs.keys()


@pytest.mark.parametrize("alignment", [32, 128])
def test_inputs_results_and_intermediates_follow_each_other_aligned(alignment: int) -> None:
    _, _, pieces = pieces_of({"blk.0.ffn_down.weight": AWAY})
    for piece in pieces:
        layout = ScratchLayout.of(piece, alignment)
        spans = [(layout.inputs[name], tensor.nbytes) for name, tensor in piece.inputs.items()]
        spans += [(layout.results[name], tensor.nbytes) for name, tensor in piece.results.items()]
        assert all(start % alignment == 0 for start, _ in spans)
        ends = np.array([start + size for start, size in spans])
        starts = np.array([*[start for start, _ in spans][1:], layout.intermediates])
        assert (ends <= starts).all()
        assert layout.total >= layout.intermediates
        assert all(tensor.type == Type.F32 for tensor in piece.results.values())
