"""CONCAT, REPEAT, PAD, ARANGE: results put together from operands, or from nothing.

Results have packed rows. Elements are moved as they are, so result and operands have one type.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.graph.layout import type_layouts
from refimpl.graph.refusal import in_all
from refimpl.graph.rules.group import OpGroup
from spec.names import Type

__all__ = ["arange", "concat", "pad", "repeat"]

CONCAT_DIM = 0
DIMS = np.arange(4)
BEFORE, AFTER = slice(0, 8, 2), slice(1, 8, 2)
"""op_params words of PAD, by dimension"""
START, STOP, STEP = 0, 1, 2
"""op_params words of ARANGE"""


def concat(group: OpGroup) -> None:
    """`a, b -> dst`: their extents agree but in dimension dim, where the result's is the sum. Any strides in both."""
    a, b, dst = group.src(0), group.src(1), group.dst
    dim = group.params[:, CONCAT_DIM]
    group.require((dim >= 0) & (dim < len(DIMS)), "the dimension is none of 0 to 3")
    group.require((a.type == dst.type) & (b.type == dst.type), "result, src[0] and src[1] differ in type")
    along = DIMS[None, :] == dim[:, None]
    group.require(in_all(along | (a.ne == b.ne)), "src[0] and src[1] differ in another dimension")
    group.require(in_all(dst.ne == a.ne + np.where(along, b.ne, 0)), "the result is not src[0] followed by src[1]")
    group.require(dst.rows_packed(), "rows of the result are not packed")


def repeat(group: OpGroup) -> None:
    """`x -> dst`: every extent of the result is a multiple of that of x."""
    x, dst = group.src(0), group.dst
    group.require(x.type == dst.type, "result and src[0] differ in type")
    group.require(in_all(dst.ne % x.ne == 0), "src[0] cannot be repeated to the shape of the result")
    group.require(x.rows_packed() & dst.rows_packed(), "rows of src[0] or the result are not packed")
    group.support(type_layouts().block[x.type] == 1, "blocks are not repeated")


def pad(group: OpGroup) -> None:
    """`x (n0, ...) F32 -> (before + n0 + after, ...) F32`, nothing of it negative."""
    x, dst = group.src(0), group.dst
    group.require(x.is_type(Type.F32) & dst.is_type(Type.F32), "src[0] or the result is not F32")
    before, after = _wide(group.params[:, BEFORE]), _wide(group.params[:, AFTER])
    group.require(in_all((before >= 0) & (after >= 0)), "a pad is negative")
    group.require(in_all(dst.ne == before + x.ne + after), "the result is not src[0] and its pads")
    group.require(dst.rows_packed(), "rows of the result are not packed")


def _wide(words: NDArray[np.int32]) -> NDArray[np.int64]:
    return words.astype(np.int64)


def arange(group: OpGroup) -> None:
    """`-> (ceil((stop - start) / step)) F32`; the numbers are finite."""
    dst, numbers = group.dst, group.floats(START, STOP, STEP)
    group.require(dst.is_type(Type.F32) & dst.is_vector(), "the result is no packed row of F32")
    group.require(in_all(np.isfinite(numbers)) & (numbers[:, STEP] != 0), "a number is not finite, or the step is 0")
    with np.errstate(over="ignore"):
        steps = np.ceil((numbers[:, STOP] - numbers[:, START]) / numbers[:, STEP])
    group.require(steps == dst.ne[:, 0], "the result has not one element for each step")
