"""Sums, norms and orders of rows; a row is the last axis."""

import numpy as np
from numpy.typing import NDArray

from conformance.cases.ops.blocks.formats import Array

__all__ = [
    "argsorted",
    "group_norm",
    "l2_norm",
    "norm",
    "rms_norm",
    "rms_norm_back",
    "soft_max_back",
    "tiles_summed",
    "top",
]


def norm(x: Array, eps: float) -> Array:
    return np.asarray((x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps))


def rms_norm(x: Array, eps: float) -> Array:
    return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps))


def rms_norm_back(grad: Array, x: Array, eps: float) -> Array:
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return np.asarray(r * (grad - x * r * r * np.mean(x * grad, axis=-1, keepdims=True)))


def l2_norm(x: Array, eps: float) -> Array:
    return np.asarray(x / np.maximum(np.sqrt(np.sum(x * x, axis=-1, keepdims=True)), eps))


def group_norm(x: Array, n_groups: int, eps: float) -> Array:
    """Each group of channels of x (n3, channels, n1, n0) by itself; the last group may be smaller."""
    channels = x.shape[1]
    size = -(-channels // n_groups)
    done = np.empty_like(x)
    for first in range(0, channels, size):
        part = x[:, first : first + size]
        mean, variance = part.mean((1, 2, 3), keepdims=True), part.var((1, 2, 3), keepdims=True)
        done[:, first : first + size] = (part - mean) / np.sqrt(variance + eps)
    return done


def soft_max_back(grad: Array, y: Array, scale: float) -> Array:
    return np.asarray(scale * (grad - np.sum(y * grad, axis=-1, keepdims=True)) * y)


def argsorted(x: Array, descending: bool) -> NDArray[np.intp]:
    return np.argsort(-x if descending else x, axis=-1)


def top(x: Array, k: int) -> NDArray[np.intp]:
    """Indices of the k largest of each row."""
    return np.argsort(-x, axis=-1)[..., :k]


def tiles_summed(x: Array, shape: tuple[int, ...]) -> Array:
    """The sum of all tiles of that shape that x is made of."""
    done = np.zeros(shape)
    for index in np.ndindex(*[whole // part for whole, part in zip(x.shape, shape, strict=True)]):
        done += x[tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, shape, strict=True))]
    return done
