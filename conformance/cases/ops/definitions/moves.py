"""Ops that move elements: rows, windows, shifts, padding, resampling."""

import numpy as np
from numpy.typing import NDArray

from conformance.cases.ops.blocks.formats import Array

__all__ = [
    "added_by_id",
    "added_positions",
    "diagonal",
    "masked",
    "padded",
    "relative_positions",
    "rows_of",
    "triangle",
    "windows",
    "windows_joined",
    "with_rows",
]

Indices = NDArray[np.int64]


def rows_of(x: Array, ids: Array) -> Array:
    """x (b2, b1, r, n), ids (1, b2, b1, m) > (b2, b1, m, n)."""
    outer, inner = np.ogrid[: x.shape[0], : x.shape[1]]
    return np.asarray(x[outer[..., None], inner[..., None], ids[0].astype(np.int64)])


def with_rows(to: Array, rows: Array, ids: Array) -> Array:
    """`to` (b3, b2, r, n) with rows (b3, b2, m, n) where ids (1, c3, c2, m) say."""
    done = to.copy()
    places = ids[0].astype(np.int64)
    for k, j in np.ndindex(*rows.shape[:2]):
        done[k, j, places[k % places.shape[0], j % places.shape[1]]] = rows[k, j]
    return done


def added_by_id(a: Array, b: Array, ids: Array) -> Array:
    """a (1, t, e, n), b (1, 1, m, n), ids (1, 1, t, e)."""
    return np.asarray(a + b[0, 0][ids[0, 0].astype(np.int64)])


def diagonal(x: Array) -> Array:
    """x (b3, b2, 1, n) > (b3, b2, n, n)."""
    return x * np.eye(x.shape[-1])


def _places(x: Array) -> tuple[Indices, Indices]:
    column, row = np.arange(x.shape[-1]), np.arange(x.shape[-2])[:, None]
    return column, row


def masked(x: Array, n_past: int, value: float) -> Array:
    column, row = _places(x)
    return np.where(column <= n_past + row, x, value)


def triangle(x: Array, kind: int) -> Array:
    column, row = _places(x)
    kept = (column >= row, column > row, column <= row, column < row)[kind]
    return np.where(kept, x, 0.0)


def padded(x: Array, pads: tuple[int, ...], circular: bool) -> Array:
    """pads: before and behind for dimensions 0 to 3, the last axis first."""
    pairs = [(pads[2 * dim], pads[2 * dim + 1]) for dim in (3, 2, 1, 0)]
    return np.pad(x, pairs, mode="wrap") if circular else np.pad(x, pairs)


def windows(x: Array, w: int) -> Array:
    """x (1, h, w0, c) > (windows, w, w, c), windows along dimension 1 first."""
    _, height, width, c = x.shape
    npx, npy = -(-width // w), -(-height // w)
    whole = np.zeros((npy * w, npx * w, c))
    whole[:height, :width] = x[0]
    return whole.reshape(npy, w, npx, w, c).transpose(0, 2, 1, 3, 4).reshape(npy * npx, w, w, c)


def windows_joined(x: Array, width: int, height: int) -> Array:
    """x (windows, w, w, c) > (1, height, width, c)."""
    _, w, _, c = x.shape
    npx, npy = -(-width // w), -(-height // w)
    whole = x.reshape(npy, npx, w, w, c).transpose(0, 2, 1, 3, 4).reshape(1, npy * w, npx * w, c)
    return whole[:, :height, :width]


def relative_positions(x: Array) -> Array:
    """x (1, 1, 2 n - 1, c) > (1, n, n, c): (j, i) is row n - 1 - i + j."""
    n = (x.shape[2] + 1) // 2
    i, j = np.arange(n), np.arange(n)[:, None]
    return x[:, 0, n - 1 - i + j]


def added_positions(x: Array, pw: Array, ph: Array) -> Array:
    """x (1, b, q, kw * kh), pw (b, qh, qw, kw), ph (b, qh, qw, kh)."""
    both = pw[..., None, :] + ph[..., :, None]
    return x + both.reshape(x.shape)
