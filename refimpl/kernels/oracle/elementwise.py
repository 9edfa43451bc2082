"""ADD, MUL, SCALE and GLU: one output element from the elements at the same place."""

import numpy as np

from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.views import Values, present, real_word, reals, shape
from spec.names import Glu

__all__ = ["added", "gated", "multiplied", "scaled"]

SCALE_FACTOR, SCALE_BIAS = 0, 1
GLU_KIND, GLU_SWAPPED = 0, 1


def _broadcast(case: Case) -> Values:
    """src1 repeated onto dst: in each dimension the index is taken modulo src1's extent."""
    small = reals(present(case, 1))
    for axis, extent in enumerate(shape(case.dst)):
        small = np.take(small, np.arange(extent) % max(small.shape[axis], 1), axis=axis)
    return small


def added(case: Case) -> Values:
    """src0 + src1, src1 broadcast."""
    return reals(present(case, 0)) + _broadcast(case)


def multiplied(case: Case) -> Values:
    """src0 * src1, src1 broadcast."""
    return reals(present(case, 0)) * _broadcast(case)


def scaled(case: Case) -> Values:
    """s * x + b; s = 0 with b = -inf is in use as a fill."""
    return real_word(case, SCALE_FACTOR) * reals(present(case, 0)) + real_word(case, SCALE_BIAS)


def gated(case: Case) -> Values:
    """GLU, SwiGLU only: silu(gate) * up, silu(x) = x / (1 + e^-x).

    Two sources: gate = src0, up = src1. One source, twice as wide as dst: gate is its first half and up its second, or,
    with `swapped`, the other way round.
    """
    if case.params[GLU_KIND] != Glu.SWIGLU:
        raise NotImplementedError(f"GLU {Glu(case.params[GLU_KIND]).name}")
    first = reals(present(case, 0))
    if len(case.srcs) > 1 and case.srcs[1] is not None:
        gate, up = first, reals(case.srcs[1])
    else:
        gate, up = np.split(first, 2, axis=-1)
        if case.params[GLU_SWAPPED]:
            gate, up = up, gate
    with np.errstate(over="ignore"):
        return np.asarray(gate / (1 + np.exp(-gate)) * up)
