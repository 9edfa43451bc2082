"""SOFT_MAX, attention, and what goes with them."""

import attrs
import numpy as np

from conformance.cases.ops.blocks.formats import Array
from conformance.cases.ops.definitions.products import shared

__all__ = ["Scores", "attention", "attention_back", "indexer", "slopes", "soft_max"]


@attrs.frozen
class Scores:
    """How products of q and k become scores: the op's parameters."""

    scale: float
    max_bias: float = 0.0
    softcap: float = 0.0

    def of(self, product: Array) -> Array:
        """Before mask and slopes."""
        if not self.softcap:
            return self.scale * product
        return self.softcap * np.tanh(self.scale / self.softcap * product)


def slopes(heads: int, max_bias: float) -> Array:
    """OP-ALIBI: (heads,)."""
    if max_bias <= 0:
        return np.ones(heads)
    n = 1 << (heads.bit_length() - 1)
    h = np.arange(heads)
    return np.where(h < n, 2 ** (-max_bias * (h + 1) / n), 2 ** (-max_bias * (2 * (h - n) + 1) / (2 * n)))


def _repeated(mask: Array, batch: tuple[int, ...], rows: int) -> Array:
    """mask (m3, m2, at least rows, n) > (s, heads, rows, n): head and sequence modulo."""
    return np.tile(mask[:, :, :rows], (batch[0] // mask.shape[0], batch[1] // mask.shape[1], 1, 1))


def _weights(z: Array, sinks: Array | None) -> Array:
    """softmax of z (s, heads, rows, n); a row of minus infinity without a sink is 0 throughout."""
    most = z.max(-1, keepdims=True)
    sink = None if sinks is None else sinks.reshape(1, -1, 1, 1)
    if sink is not None:
        most = np.maximum(most, sink)
    most = np.where(np.isfinite(most), most, 0.0)
    total = np.exp(z - most).sum(-1, keepdims=True)
    if sink is not None:
        total = total + np.exp(sink - most)
    return np.exp(z - most) / np.where(total > 0, total, 1.0)


def soft_max(x: Array, mask: Array | None, sinks: Array | None, scores: Scores) -> Array:
    """x (s, heads, r, n)."""
    z = scores.of(x)
    if mask is not None:
        z = z + slopes(x.shape[1], scores.max_bias).reshape(-1, 1, 1) * _repeated(mask, x.shape[:2], x.shape[2])
    return _weights(z, sinks)


def attention(q: Array, k: Array, v: Array, mask: Array | None, sinks: Array | None, scores: Scores) -> Array:
    """q (s, h, n, d), k (s, hk, kv, d), v (s, hk, kv, dv) > (s, n, h, dv)."""
    batch = (q.shape[0], q.shape[1])
    weights = soft_max(np.einsum("shnd,shkd->shnk", q, shared(k, batch)), mask, sinks, scores)
    return np.asarray(np.einsum("shnk,shkd->snhd", weights, shared(v, batch)))


def attention_back(q: Array, k: Array, v: Array, grad: Array, is_causal: bool) -> tuple[Array, Array, Array]:
    """q, grad (s, h, n, d), k (s, h, m, d), v (s, h, d, m): the gradients of q, k and v, scale 1 / sqrt(d)."""
    scale = q.shape[-1] ** -0.5
    z = scale * np.einsum("shnd,shmd->shnm", q, k)
    if is_causal:
        z = np.where(np.arange(z.shape[-1]) <= z.shape[-1] - z.shape[-2] + np.arange(z.shape[-2])[:, None], z, -np.inf)
    p = _weights(z, None)
    dp = np.einsum("shnd,shdm->shnm", grad, v)
    dz = scale * p * (dp - np.sum(p * dp, axis=-1, keepdims=True))
    dq, dk = np.einsum("shnm,shmd->shnd", dz, k), np.einsum("shnm,shnd->shmd", dz, q)
    return dq, dk, np.einsum("shnm,shnd->shdm", p, grad)


def indexer(q: Array, k: Array, weights: Array, mask: Array) -> Array:
    """q (s, n, h, d), k (s, kv, 1, d), weights (s, 1, n, h), mask (m3, 1, n, kv) > (s, 1, n, kv)."""
    score = np.maximum(0, np.einsum("snhd,skd->snhk", q, k[:, :, 0]))
    told = np.einsum("snhk,snh->snk", score, weights[:, 0])
    return np.asarray((told + np.tile(mask[:, 0], (q.shape[0] // mask.shape[0], 1, 1)))[:, None])
