"""CONCAT, REPEAT, PAD and ARANGE: results put together from operands, or from nothing."""

import numpy as np

from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.views import Values, present, real_word, reals, shape

__all__ = ["joined", "padded", "progression", "repeated"]

CONCAT_DIM = 0
PAD_CIRCULAR = 8
ARANGE_START, ARANGE_STEP = 0, 2
DIMS = 4


def joined(case: Case) -> Values:
    """src0 followed by src1 along one dimension."""
    axis = DIMS - 1 - int(case.params[CONCAT_DIM])
    return np.concatenate((reals(present(case, 0)), reals(present(case, 1))), axis=axis)


def repeated(case: Case) -> Values:
    """src0 as often as it fits."""
    x = reals(present(case, 0))
    return np.tile(x, [large // small for large, small in zip(shape(case.dst), x.shape, strict=True)])


def padded(case: Case) -> Values:
    """src0 with zeros, or its own continuation, before and behind it in every dimension."""
    pads = case.params[: 2 * DIMS].reshape(DIMS, 2)[::-1].tolist()
    return np.pad(reals(present(case, 0)), pads, mode="wrap" if case.params[PAD_CIRCULAR] else "constant")


def progression(case: Case) -> Values:
    """start + step * i"""
    return np.asarray(real_word(case, ARANGE_START) + real_word(case, ARANGE_STEP) * np.arange(case.dst.ne[0])).reshape(
        shape(case.dst)
    )
