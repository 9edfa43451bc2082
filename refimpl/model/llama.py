"""The Llama architecture as a ggml graph for a range of layers: pure, shapes in, tensors out, nothing placed or run.

A graph covers layers [first, last) for n tokens. It begins with token ids (GET_ROWS of the embedding) or with the
hidden state that another device computed, and ends with a hidden state or, with `head`, with the output norm and
matrix. A range that holds the model's last layer keeps only the rows named by `out_ids`, inside that layer, after
attention: what comes before has to fill the cache for every token, what comes after is needed for the chosen rows
alone. first == last is an embedding or a head without any layer.

The order of operations is llama.cpp's, so that a mixed run of its nodes and ours rounds alike:
    norm, Q, V, K, ROPE on Q and K, SET_ROWS into the cache, attention, output matrix, add; norm, gate, up, SWIGLU,
    down, add.

    hidden (n, n_embd)   Q (n, n_head, d)   K, V cells (n_ctx, n_head_kv, d)   logits (n_outputs, n_vocab)
    (numpy order, slowest first; ggml writes extents the other way round)
"""

from collections.abc import Mapping

import attrs

from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.model.attention import AttentionInputs, CacheShape, LayerCache, Projections, attend
from refimpl.model.gguf_file import ModelFile
from refimpl.model.hparams import Hparams
from refimpl.model.rotation import K_ROT, V_ROT, rotations, weight_of
from refimpl.model.weights import OUTPUT, OUTPUT_NORM, ROPE_FREQS, TOKEN_EMBD, layer_weight
from spec.names import Type

__all__ = [
    "HIDDEN",
    "K_IDXS",
    "MASK",
    "OUT_IDS",
    "POSITIONS",
    "TOKENS",
    "V_IDXS",
    "GraphShape",
    "LlamaGraph",
    "build_llama",
]

TOKENS = "inp_tokens"
"""I32 [n_tokens]: token ids; present with `embed`"""
HIDDEN = "inp_hidden"
"""F32 [n_embd, n_tokens]: hidden state; present without `embed`"""
POSITIONS = "inp_pos"
"""I32 [n_tokens]; present with at least one layer, as the next three"""
MASK = "inp_mask"
"""[n_kv, n_tokens], F16 with flash attention and F32 without: 0 to attend, -inf not to"""
K_IDXS = "inp_k_idxs"
"""I64 [n_tokens]: cache cell of each token"""
V_IDXS = "inp_v_idxs"
"""I64: [n_tokens] cells with flash attention, [n_tokens * n_embd_v_gqa] elements of the transposed cache without"""
OUT_IDS = "inp_out_ids"
"""I32 [n_outputs]: rows to keep; present if the range holds the last layer"""


@attrs.frozen(kw_only=True)
class GraphShape:
    """Everything that makes two graphs of one model differ."""

    first: int
    last: int
    """layers [first, last)"""
    n_tokens: int
    n_kv: int
    """cache cells to attend to; at most cache.n_ctx"""
    n_outputs: int = 1
    """rows kept by the model's last layer"""
    embed: bool = False
    """begins with token ids"""
    head: bool = False
    """ends with logits"""
    cache: CacheShape


@attrs.frozen(eq=False)
class LlamaGraph:
    """Tensors of a built graph that need a place or bytes. Intermediates belong to the builder alone."""

    inputs: Mapping[str, Tensor]
    """by the names above; contents change from run to run (batch.py makes them)"""
    weights: Mapping[str, Tensor]
    """by their GGUF names, or those of rotation.py; only those of the range"""
    cache: Mapping[str, Tensor]
    """`cache_k_l3`, `cache_v_l3`: written and read by every run"""
    output: Tensor
    """F32 hidden state [n_embd, rows] or logits [n_vocab, rows]; marked as output"""


def build_llama(b: GraphBuilder, model: ModelFile, shape: GraphShape) -> LlamaGraph:
    """Add the graph of a range of layers to `b`, an empty builder. ValueError for a range that does not exist."""
    n_layer = model.hparams.n_layer
    if not 0 <= shape.first <= shape.last <= n_layer or (shape.head and shape.last != n_layer):
        raise ValueError(f"layers {shape.first} to {shape.last} with head={shape.head}: the model has {n_layer} layers")
    if shape.n_kv > shape.cache.n_ctx:
        raise ValueError(f"{shape.n_kv} cells to attend to in a cache of {shape.cache.n_ctx}")
    return _Llama(b, model, shape).build()


@attrs.define(eq=False)
class _Llama:
    """One build: leaves are made where they are first used, so that a message lists them as llama.cpp does."""

    b: GraphBuilder
    model: ModelFile
    shape: GraphShape
    inputs: dict[str, Tensor] = attrs.field(factory=dict)
    weights: dict[str, Tensor] = attrs.field(factory=dict)
    cache: dict[str, Tensor] = attrs.field(factory=dict)

    @property
    def hparams(self) -> Hparams:
        return self.model.hparams

    def build(self) -> LlamaGraph:
        hidden = self.entrance()
        for layer in range(self.shape.first, self.shape.last):
            hidden = self.layer(layer, hidden)
        if self.shape.head:
            hidden = self.b.named(self.norm(hidden, OUTPUT_NORM), "result_norm")
            matrix = self.weight(TOKEN_EMBD if self.hparams.tied_output else OUTPUT)
            hidden = self.b.named(self.b.mul_mat(matrix, hidden), "result_output")
        return LlamaGraph(self.inputs, self.weights, self.cache, self.b.output(hidden))

    def entrance(self) -> Tensor:
        if self.shape.embed:
            tokens = self.input(TOKENS, Type.I32, (self.shape.n_tokens,))
            return self.b.named(self.b.get_rows(self.weight(TOKEN_EMBD), tokens), "embd")
        return self.input(HIDDEN, Type.F32, (self.hparams.n_embd, self.shape.n_tokens))

    def layer(self, layer: int, x: Tensor) -> Tensor:
        """x [n_embd, n] -> [n_embd, n], or [n_embd, n_outputs] in the model's last layer."""
        mixed = self.attention(layer, self.norm(x, layer_weight(layer, "attn_norm")))
        if layer == self.hparams.n_layer - 1:
            rows = self.input(OUT_IDS, Type.I32, (self.shape.n_outputs,))
            mixed, x = self.b.get_rows(mixed, rows), self.b.get_rows(x, rows)
        x = self.b.named(self.b.add(mixed, x), f"ffn_inp-{layer}")
        forward = self.feed_forward(layer, self.norm(x, layer_weight(layer, "ffn_norm")))
        return self.b.named(self.b.add(forward, x), f"l_out-{layer}")

    def attention(self, layer: int, x: Tensor) -> Tensor:
        hparams = self.hparams
        d_k, d_v, n_head_kv = hparams.n_embd_head_k, hparams.n_embd_head_v, hparams.n_head_kv
        q = self.rotated(self.heads(layer, "attn_q", x, (d_k, hparams.n_head)))
        v = self.heads(layer, "attn_v", x, (d_v, n_head_kv))
        k = self.rotated(self.heads(layer, "attn_k", x, (d_k, n_head_kv)))
        mixed = attend(self.b, hparams, Projections(q, k, v), self.layer_cache(layer), self.attention_inputs())
        return self.b.mul_mat(self.weight(layer_weight(layer, "attn_output")), mixed)

    def heads(self, layer: int, part: str, x: Tensor, head: tuple[int, int]) -> Tensor:
        """Projection [d, heads, n]; head is (d, heads)."""
        return self.b.reshape(self.b.mul_mat(self.weight(layer_weight(layer, part)), x), (*head, x.ne[1]))

    def rotated(self, x: Tensor) -> Tensor:
        positions = self.input(POSITIONS, Type.I32, (self.shape.n_tokens,))
        factors = self.weight(ROPE_FREQS) if ROPE_FREQS in self.model.tensors else None
        return self.b.rope(x, positions, self.hparams.rope, factors)

    def feed_forward(self, layer: int, x: Tensor) -> Tensor:
        gate = self.b.mul_mat(self.weight(layer_weight(layer, "ffn_gate")), x)
        up = self.b.mul_mat(self.weight(layer_weight(layer, "ffn_up")), x)
        return self.b.mul_mat(self.weight(layer_weight(layer, "ffn_down")), self.b.swiglu(gate, up))

    def norm(self, x: Tensor, name: str) -> Tensor:
        return self.b.mul(self.b.rms_norm(x, self.hparams.rms_eps), self.weight(name))

    def layer_cache(self, layer: int) -> LayerCache:
        cache = self.shape.cache
        k = self.b.leaf(f"cache_k_l{layer}", cache.type_k, (self.hparams.n_embd_k_gqa, cache.n_ctx))
        v = self.b.leaf(f"cache_v_l{layer}", cache.type_v, (self.hparams.n_embd_v_gqa, cache.n_ctx))
        self.cache |= {f"cache_k_l{layer}": k, f"cache_v_l{layer}": v}
        return LayerCache(k, v)

    def attention_inputs(self) -> AttentionInputs:
        n_tokens = self.shape.n_tokens
        n_v = n_tokens if self.shape.cache.flash else n_tokens * self.hparams.n_embd_v_gqa
        turned = rotations(self.hparams, self.shape.cache)
        return AttentionInputs(
            mask=self.input(MASK, self.shape.cache.mask_type, (self.shape.n_kv, n_tokens)),
            k_idxs=self.input(K_IDXS, Type.I64, (n_tokens,)),
            v_idxs=self.input(V_IDXS, Type.I64, (n_v,)),
            k_rot=self.weight(K_ROT) if K_ROT in turned else None,
            v_rot=self.weight(V_ROT) if V_ROT in turned else None,
        )

    def input(self, name: str, kind: Type, ne: tuple[int, ...]) -> Tensor:
        if name not in self.inputs:
            self.inputs[name] = self.b.leaf(name, kind, ne)
        return self.inputs[name]

    def weight(self, name: str) -> Tensor:
        if name not in self.weights:
            stored = weight_of(self.model, self.shape.cache, name)
            self.weights[name] = self.b.leaf(name, stored.type, stored.ne)
        return self.weights[name]
