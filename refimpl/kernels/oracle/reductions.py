"""SUM, SUM_ROWS, MEAN, ARGSORT and TOP_K: what is made of each row, or of all."""

import numpy as np

from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.copies import as_stored
from refimpl.kernels.oracle.views import Values, present, reals
from spec.names import Type

__all__ = ["largest", "order", "row_means", "row_sums", "total"]

ORDER = 0


def total(case: Case) -> Values:
    """The sum of all elements, one element."""
    return as_stored(reals(present(case, 0)).sum().reshape(1, 1, 1, 1), case.dst, Type.F32)


def row_sums(case: Case) -> Values:
    """src0 (n, ...) -> (1, ...)"""
    return np.asarray(reals(present(case, 0)).sum(axis=-1, keepdims=True))


def row_means(case: Case) -> Values:
    """src0 (n, ...) -> (1, ...)"""
    return np.asarray(reals(present(case, 0)).mean(axis=-1, keepdims=True))


def order(case: Case) -> Values:
    """Indices that sort each row, rising or falling; of equal elements the first comes first."""
    x = reals(present(case, 0))
    return np.argsort(-x if case.params[ORDER] else x, axis=-1, kind="stable").astype(np.float64)


def largest(case: Case) -> Values:
    """Indices of the k largest elements of each row, k being the length of a row of dst, the largest first."""
    falling = np.argsort(-reals(present(case, 0)), axis=-1, kind="stable")
    return falling[..., : case.dst.ne[0]].astype(np.float64)
