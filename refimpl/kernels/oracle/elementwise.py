"""ADD, SUB, MUL, DIV, ADD_ID, SCALE, CLAMP and FILL: one output element from the elements at the same place.

A result in F16 is rounded once.
"""

import numpy as np

from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.copies import as_stored, checked
from refimpl.kernels.oracle.views import Values, integers, present, real_word, reals, shape
from spec.names import Type

__all__ = [
    "added",
    "added_by_id",
    "clamped",
    "divided",
    "filled",
    "multiplied",
    "scaled",
    "subtracted",
]

SCALE_FACTOR, SCALE_BIAS = 0, 1
CLAMP_LEAST, CLAMP_MOST = 0, 1
FILL_VALUE = 0


def _broadcast(case: Case) -> Values:
    """src1 repeated onto dst: in each dimension the index is taken modulo src1's extent."""
    small = reals(present(case, 1))
    for axis, extent in enumerate(shape(case.dst)):
        small = np.take(small, np.arange(extent) % max(small.shape[axis], 1), axis=axis)
    return small


def added(case: Case) -> Values:
    """src0 + src1, src1 broadcast."""
    return as_stored(reals(present(case, 0)) + _broadcast(case), case.dst, Type.F32)


def subtracted(case: Case) -> Values:
    """src0 - src1, src1 broadcast."""
    return as_stored(reals(present(case, 0)) - _broadcast(case), case.dst, Type.F32)


def multiplied(case: Case) -> Values:
    """src0 * src1, src1 broadcast."""
    return as_stored(reals(present(case, 0)) * _broadcast(case), case.dst, Type.F32)


def divided(case: Case) -> Values:
    """src0 / src1, src1 broadcast."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return as_stored(reals(present(case, 0)) / _broadcast(case), case.dst, Type.F32)


def added_by_id(case: Case) -> Values:
    """ADD_ID: dst[:, i, j] = src0[:, i, j] + src1[:, src2[i, j]]; src2 I32 (i, j)."""
    out, table, ids = reals(present(case, 0)), reals(present(case, 1)), integers(present(case, 2))
    chosen = checked(ids, table.shape[2])
    for j, i in np.ndindex(*out.shape[1:3]):
        out[0, j, i] += table[0, 0, chosen[0, 0, j, i]]
    return out


def clamped(case: Case) -> Values:
    """x between its bounds."""
    above = np.maximum(reals(present(case, 0)), real_word(case, CLAMP_LEAST))
    return as_stored(np.minimum(above, real_word(case, CLAMP_MOST)), case.dst, Type.F32)


def filled(case: Case) -> Values:
    """One value everywhere."""
    return as_stored(np.full(shape(case.dst), real_word(case, FILL_VALUE)), case.dst, Type.F32)


def scaled(case: Case) -> Values:
    """s * x + b; s = 0 with b = -inf is in use as a fill."""
    return real_word(case, SCALE_FACTOR) * reals(present(case, 0)) + real_word(case, SCALE_BIAS)
