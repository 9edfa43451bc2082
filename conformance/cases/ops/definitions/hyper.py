"""The hyper-connections of DeepSeek V4: four streams of which each token makes a mixture."""

import numpy as np

from conformance.cases.ops.blocks.formats import Array
from conformance.cases.ops.definitions.elementwise import sigmoid

__all__ = ["combined", "posted", "prepared"]

FIRST = 8
STREAMS = 4


def combined(mixes: Array, scale: Array, base: Array, eps: float, n_iter: int) -> Array:
    """mixes (t, 24), scale (3,), base (24,) > (t, s, d)."""
    v = (mixes[:, FIRST:] * scale[2] + base[FIRST:]).reshape(-1, STREAMS, STREAMS)
    weights = np.exp(v - v.max(-1, keepdims=True))
    weights = weights / weights.sum(-1, keepdims=True) + eps
    weights = weights / (eps + weights.sum(1, keepdims=True))
    for _ in range(n_iter - 1):
        weights = weights / (eps + weights.sum(2, keepdims=True))
        weights = weights / (eps + weights.sum(1, keepdims=True))
    return np.asarray(weights)


def prepared(x: Array, w: Array, scale: float, gated: bool) -> Array:
    """x (t, hc, n), w (t, hc), or (t, hc, n) gated > (t, n)."""
    weights = sigmoid(w) if gated else w[:, :, None]
    return np.asarray(scale * np.sum(x * weights, axis=1))


def posted(x: Array, residual: Array, post: Array, comb: Array | None) -> Array:
    """x (t, n), residual (t, hc, n), post (t, hc), comb (t, s, d) > (t, hc, n)."""
    kept = residual if comb is None else np.einsum("tsn,tsd->tdn", residual, comb)
    return x[:, None] * post[:, :, None] + kept
