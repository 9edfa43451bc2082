"""The rotation of quantised K and V: an orthonormal matrix that undoes itself, of the sizes that llama.cpp takes."""

import attrs
import numpy as np
import pytest

from refimpl.graph.define import GraphBuilder
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import open_model
from refimpl.model.llama import GraphShape, build_llama
from refimpl.model.rotation import K_ROT, V_ROT, hadamard, quantised, rotations
from refimpl.tests.model.tiny import TINY_PATH
from spec.names import Op, Type

MODEL = open_model(TINY_PATH)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_matrix_is_orthonormal_and_its_own_inverse(size: int) -> None:
    stored = hadamard(K_ROT, size)
    matrix = stored.data.view(np.float32).reshape(size, size)
    assert stored.ne == (size, size, 1, 1)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_allclose(matrix @ matrix, np.eye(size), atol=1e-6)
    assert set(np.abs(matrix).reshape(-1).tolist()) == {float(np.float32(1 / np.sqrt(size)))}


@pytest.mark.parametrize(
    ("heads", "k", "v", "expected"),
    [
        ((64, 64), Type.F16, Type.F16, {}),
        ((64, 64), Type.BF16, Type.F32, {}),
        ((64, 64), Type.Q8_0, Type.F16, {K_ROT: 64}),
        ((128, 128), Type.Q4_0, Type.Q5_1, {K_ROT: 128, V_ROT: 64}),
        ((192, 128), Type.Q4_1, Type.Q4_1, {K_ROT: 64, V_ROT: 64}),
        ((96, 64), Type.Q8_0, Type.Q8_0, {V_ROT: 64}),
    ],
)
def test_sizes_follow_the_heads(heads: tuple[int, int], k: Type, v: Type, expected: dict[str, int]) -> None:
    hparams = attrs.evolve(MODEL.hparams, n_embd_head_k=heads[0], n_embd_head_v=heads[1])
    assert rotations(hparams, CacheShape(256, type_k=k, type_v=v)) == expected


def test_a_graph_rotates_queries_keys_values_and_the_way_back() -> None:
    builder = GraphBuilder()
    cache = CacheShape(256, type_k=Type.Q8_0, type_v=Type.Q4_0)
    graph = build_llama(builder, MODEL, GraphShape(first=0, last=2, n_tokens=2, n_kv=256, cache=cache))
    products = [node for node in builder.nodes if node.op == Op.MUL_MAT]
    for name, times in ((K_ROT, 2), (V_ROT, 2)):
        matrix = graph.weights[name]
        turned = [node for node in products if node.srcs[0] is matrix]
        assert len(turned) == times * MODEL.hparams.n_layer
        assert all(node.params[1] == 1 for node in turned)
    assert {tensor.type for tensor in graph.cache.values()} == {Type.Q8_0, Type.Q4_0}


def test_only_types_with_blocks_are_quantised() -> None:
    assert [quantised(kind) for kind in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q5_1)] == [False] * 3 + [
        True
    ] * 2
