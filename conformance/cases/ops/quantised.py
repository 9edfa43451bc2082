"""What quantising has to leave (OP-CONVERT): each element as near to its value as upstream's reference brings it.

Rules
- The reference quantisers of the formats with one scale in a block are written here from what they do: scale and
  minimum from the extremes of a block, stored in F16, and each element to the nearest code of the unrounded scale.
- An element may be off by what the reference is off by, and by a hair more: ties may go either way, and the scale has
  been rounded to F16. An element that is nearer than the reference's passes.
- A value that was not written (other rows of SET_ROWS) is a value of the format already, and is not moved.
"""

from collections.abc import Callable, Mapping

import numpy as np

from conformance.cases.graph.build import Tensor
from conformance.cases.ops.blocks.formats import Array
from conformance.cases.ops.sample import Expected
from conformance.cases.ops.tolerance import ROUNDING

__all__ = ["QUANTISERS", "quantised", "requantised"]

HAIR = 2.0**-8
"""of a step: a tie is decided by the last bits of quotients"""
OF_IQ4_NL = 0.15
"""of the largest of a block: half of the widest gap in its table, the end beyond its table, the fit of its scale"""
BLOCK = 32


def _stored(scale: Array) -> Array:
    return scale.astype(np.float16).astype(np.float64)


def _divided(x: Array, d: Array) -> Array:
    return x / np.where(d == 0, 1.0, d)


def _around_zero(top: int) -> Callable[[Array], Array]:
    """The element furthest from 0 becomes -top; codes from 0 to 2 top - 1 stand for code - top."""

    def quantise(x: Array) -> Array:
        furthest = np.take_along_axis(x, np.abs(x).argmax(-1, keepdims=True), -1)
        d = furthest / -top
        codes = np.clip(np.floor(_divided(x, d) + top + 0.5), 0, 2 * top - 1)
        return np.asarray(_stored(d) * (codes - top))

    return quantise


def _from_least(top: int) -> Callable[[Array], Array]:
    """The least element becomes code 0, the greatest code top."""

    def quantise(x: Array) -> Array:
        low, high = x.min(-1, keepdims=True), x.max(-1, keepdims=True)
        d = (high - low) / top
        codes = np.clip(np.floor(_divided(x - low, d) + 0.5), 0, top)
        return np.asarray(_stored(d) * codes + _stored(low))

    return quantise


def _q8_0(x: Array) -> Array:
    d = np.abs(x).max(-1, keepdims=True) / 127
    return _stored(d) * np.rint(_divided(x, d))


QUANTISERS: Mapping[str, Callable[[Array], Array]] = {
    "Q4_0": _around_zero(8),
    "Q4_1": _from_least(15),
    "Q5_0": _around_zero(16),
    "Q5_1": _from_least(31),
    "Q8_0": _q8_0,
}
"""format > blocks (..., 32) as they come back from it"""
STEPS = {"Q4_0": 16, "Q4_1": 15, "Q5_0": 32, "Q5_1": 31, "Q8_0": 254}
"""format > steps between the least and the greatest value"""


def requantised(kind: str, x: Array) -> tuple[Array, Array]:
    """Values (..., n0) as they come back from the format, and how large a step is at each of them."""
    blocks = x.reshape(*x.shape[:-1], -1, BLOCK)
    step = 2 * np.abs(blocks).max(-1, keepdims=True) / STEPS[kind]
    back = QUANTISERS[kind](blocks)
    return back.reshape(x.shape), np.broadcast_to(step, blocks.shape).reshape(x.shape)


def quantised(made: Tensor, want: Array, is_written: Array | None = None) -> Expected:
    """What a tensor of a quantised type has to hold after these values were written, where `is_written`."""
    if made.type == "IQ4_NL":
        blocks = want.reshape(*want.shape[:-1], -1, BLOCK)
        off_by = np.broadcast_to(np.abs(blocks).max(-1, keepdims=True) * OF_IQ4_NL, blocks.shape).reshape(want.shape)
    else:
        back, step = requantised(made.type, want)
        off_by = np.abs(back - want) + HAIR * step + ROUNDING["F16"] * np.abs(want)
    if is_written is not None:
        off_by = np.where(is_written, off_by, 0.0)
    return Expected(tensor=made, want=want, off_by=off_by)
