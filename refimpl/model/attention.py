"""Self-attention over a cache, as nodes: write K and V of this run into their cells, then attend to the first n_kv.

Two layouts of the V cache, as in llama.cpp, because a matrix product wants the summed dimension to be the fast one:
    flash      cell after cell:  V (n_ctx, n_head_kv, d)    one SET_ROWS index for each token
    no flash   transposed:       V (n_head_kv, d, n_ctx)    one SET_ROWS index for each element
K lies cell after cell in both. (numpy order, slowest first)

Quantised K or V are rotated on their way into the cache, as in llama.cpp: an orthonormal Hadamard matrix spreads what
sticks out over its block. Q gets the rotation of K, which leaves q.k as it was; what comes out is rotated back by that
of V, which is its own inverse.
"""

import attrs

from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.graph.layout import natural_strides
from refimpl.model.hparams import Hparams
from spec.names import Prec, Type

__all__ = ["AttentionInputs", "CacheShape", "LayerCache", "Projections", "attend"]

HEADS_OUTSIDE = (0, 2, 1, 3)
"""axes that exchange heads and tokens"""


@attrs.frozen
class CacheShape:
    """What the cache of every layer looks like; fixed for the life of a context."""

    n_ctx: int
    """cells"""
    flash: bool = True
    type_k: Type = Type.F16
    type_v: Type = Type.F16
    """no quantised type without flash: there V lies in single elements"""

    @property
    def mask_type(self) -> Type:
        """Element type of the attention mask."""
        return Type.F16 if self.flash else Type.F32


@attrs.frozen(eq=False)
class LayerCache:
    """One layer's cache: k [n_embd_k_gqa, n_ctx], v [n_embd_v_gqa, n_ctx] (or its transpose in the same bytes)."""

    k: Tensor
    v: Tensor


@attrs.frozen(eq=False)
class AttentionInputs:
    """What tells a run where its tokens go and what they may see; shared by all layers."""

    mask: Tensor
    """[n_kv, n]"""
    k_idxs: Tensor
    v_idxs: Tensor
    k_rot: Tensor | None = None
    """[n, n], where K is kept rotated"""
    v_rot: Tensor | None = None


@attrs.frozen(eq=False)
class Projections:
    """Q [d, n_head, n] and K [d, n_head_kv, n] after ROPE, V [d, n_head_kv, n]; F32."""

    q: Tensor
    k: Tensor
    v: Tensor


def attend(b: GraphBuilder, hparams: Hparams, x: Projections, cache: LayerCache, inputs: AttentionInputs) -> Tensor:
    """Attention output [n_head * d, n] F32, before the output matrix. Flash attention if the mask is F16."""
    rotated = Projections(_rotate(b, x.q, inputs.k_rot), _rotate(b, x.k, inputs.k_rot), _rotate(b, x.v, inputs.v_rot))
    return _rotate(b, _attend(b, hparams, rotated, cache, inputs), inputs.v_rot)


def _rotate(b: GraphBuilder, x: Tensor, matrix: Tensor | None) -> Tensor:
    """Every `n` neighbouring channels of a contiguous x, multiplied by the matrix [n, n]."""
    if matrix is None:
        return x
    rows = b.reshape(x, (matrix.ne[0], x.elements // matrix.ne[0]))
    return b.reshape(b.mul_mat(matrix, rows, hadamard=True), x.ne)


def _attend(b: GraphBuilder, hparams: Hparams, x: Projections, cache: LayerCache, inputs: AttentionInputs) -> Tensor:
    n_tokens = x.q.ne[2]
    flash = inputs.mask.type == Type.F16
    b.set_rows(cache.k, b.view(x.k, (hparams.n_embd_k_gqa, n_tokens)), inputs.k_idxs)
    if flash:
        b.set_rows(cache.v, b.view(x.v, (hparams.n_embd_v_gqa, n_tokens)), inputs.v_idxs)
        return _flash(b, hparams, x.q, cache, inputs.mask)
    elements = b.reshape(b.reshape(x.v, (hparams.n_embd_v_gqa, n_tokens)), (1, x.v.elements))
    b.set_rows(b.reshape(cache.v, (1, cache.v.elements)), elements, inputs.v_idxs)
    return _products(b, hparams, x.q, cache, inputs.mask)


def _flash(b: GraphBuilder, hparams: Hparams, q: Tensor, cache: LayerCache, mask: Tensor) -> Tensor:
    """One node: q (n_head, n, d), k, v (n_head_kv, n_kv, d) -> (n, n_head, d)."""
    n_kv = mask.ne[0]
    seen = b.permute(b.view(q, q.ne, q.nb[1:]), HEADS_OUTSIDE)
    keys = _halved(b, _cells(b, cache.k, hparams.n_embd_head_k, hparams.n_head_kv, n_kv))
    values = _halved(b, _cells(b, cache.v, hparams.n_embd_head_v, hparams.n_head_kv, n_kv))
    mixed = b.flash_attn_ext(seen, keys, values, mask, hparams.attention_scale)
    return b.reshape(mixed, (hparams.n_embd_head_v * hparams.n_head, q.ne[2]))


def _halved(b: GraphBuilder, x: Tensor) -> Tensor:
    """F32 goes into flash attention as F16, as in llama.cpp."""
    return b.cast(x, Type.F16) if x.type == Type.F32 else x


def _products(b: GraphBuilder, hparams: Hparams, q: Tensor, cache: LayerCache, mask: Tensor) -> Tensor:
    """k (n_head_kv, n_kv, d) x q (n_head, n, d) -> softmax over n_kv -> x v (n_head_kv, d, n_kv) -> (n, n_head, d)."""
    n_kv, d = mask.ne[0], hparams.n_embd_head_v
    row = cache.v.nb[0] * cache.v.ne[1]
    columns = b.view(cache.v, (n_kv, hparams.n_head_kv, d), (row * d, row, cache.v.nbytes))
    values = b.permute(columns, HEADS_OUTSIDE)
    keys = _cells(b, cache.k, hparams.n_embd_head_k, hparams.n_head_kv, n_kv)
    seen = b.permute(b.view(q, q.ne, q.nb[1:]), HEADS_OUTSIDE)
    weights = b.soft_max(b.mul_mat(keys, seen, Prec.F32), mask, hparams.attention_scale)
    mixed = b.permute(b.mul_mat(values, weights), HEADS_OUTSIDE)
    return b.cont(mixed, (d * hparams.n_head, q.ne[2]))


def _cells(b: GraphBuilder, cache: Tensor, d: int, n_head_kv: int, n_kv: int) -> Tensor:
    """The first n_kv cells, heads outside: [d, n_kv, n_head_kv]."""
    head = natural_strides(cache.type, (d, 1, 1, 1))[1]
    return b.permute(b.view(cache, (d, n_head_kv, n_kv), (head, cache.nb[1])), HEADS_OUTSIDE)
