"""Losses and optimisers."""

import numpy as np

from conformance.cases.ops.blocks.formats import Array

__all__ = ["adamw", "cross_entropy", "cross_entropy_back", "sgd"]


def _log_soft_max(logits: Array) -> Array:
    z = logits - logits.max(-1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(-1, keepdims=True)))


def _rows(logits: Array) -> int:
    return int(logits.size // logits.shape[-1])


def cross_entropy(logits: Array, labels: Array) -> Array:
    return np.array([-np.sum(labels * _log_soft_max(logits)) / _rows(logits)])


def cross_entropy_back(grad: Array, logits: Array, labels: Array) -> Array:
    return (np.exp(_log_soft_max(logits)) - labels) * grad.item() / _rows(logits)


def adamw(w: Array, grad: Array, m: Array, v: Array, pars: Array) -> tuple[Array, Array, Array]:
    """The new w, m and v."""
    alpha, beta1, beta2, eps, decay, beta1h, beta2h = pars.reshape(-1)
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad * grad
    return w * (1 - alpha * decay) - alpha * (m * beta1h) / (np.sqrt(v * beta2h) + eps), m, v


def sgd(w: Array, grad: Array, pars: Array) -> Array:
    alpha, decay = pars.reshape(-1)
    return w * (1 - alpha * decay) - alpha * grad
