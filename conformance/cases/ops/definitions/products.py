"""Products of matrices."""

import numpy as np

from conformance.cases.ops.blocks.formats import Array

__all__ = ["matrix_product", "outer_product", "product_by_id", "shared", "solved"]


def shared(w: Array, batch: tuple[int, int]) -> Array:
    """w (b3, b2, ...) so that neighbours of the batch (B3, B2) share: index divided (OP-BROADCAST)."""
    return w.repeat(batch[0] // w.shape[0], axis=0).repeat(batch[1] // w.shape[1], axis=1)


def matrix_product(w: Array, x: Array) -> Array:
    """w (b3, b2, m, k), x (B3, B2, n, k) > (B3, B2, n, m)."""
    return np.asarray(np.einsum("qpic,qpjc->qpji", shared(w, (x.shape[0], x.shape[1])), x))


def product_by_id(w: Array, x: Array, ids: Array) -> Array:
    """w (1, experts, m, k), x (1, t, r, k), ids (1, 1, t, u) > (1, t, u, m)."""
    chosen = ids[0, 0].astype(np.int64)
    repeated = np.tile(x[0], (1, chosen.shape[1] // x.shape[2], 1))
    return np.asarray(np.einsum("jemc,jec->jem", w[0][chosen], repeated)[None])


def outer_product(a: Array, b: Array) -> Array:
    """a (b3, b2, k, m), b (B3, B2, k, n) > (B3, B2, n, m)."""
    return np.asarray(np.einsum("qpci,qpcj->qpji", shared(a, (b.shape[0], b.shape[1])), b))


def solved(a: Array, b: Array) -> Array:
    """X with the lower triangle of a (b3, b2, n, n) times X = b (b3, b2, n, m)."""
    return np.asarray(np.linalg.solve(np.tril(a), b))
