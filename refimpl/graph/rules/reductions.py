"""SUM, SUM_ROWS, MEAN, ARGSORT, TOP_K: what is made of each row, or of all.

Sums take elements with any strides; whoever is sorted has packed rows, short enough that an I32 numbers its elements.
"""

import numpy as np

from refimpl.graph.refusal import in_all
from refimpl.graph.rules.group import OpGroup, Tensors
from spec.names import Type

__all__ = ["arg_sort", "sum_all", "sum_rows", "top_k"]

ORDER = 0
ORDERS = (0, 1)
"""rising, falling"""
MOST = 1 << 31
"""elements that an I32 can number"""


def sum_all(group: OpGroup) -> None:
    """`x -> (1)` of the type of x. The elements of x lie apart, so that memory bounds their number."""
    x, dst = group.src(0), group.dst
    group.require(in_all(dst.ne == 1), "the result is not one element")
    group.require(x.type == dst.type, "result and src[0] differ in type")
    group.require(x.apart(), "elements of src[0] overlap, so that no memory bounds their number")


def sum_rows(group: OpGroup) -> None:
    """SUM_ROWS, MEAN: `x (n, r, b2, b3) F32 -> (1, r, b2, b3) F32`. The elements of a row lie apart."""
    x, dst = group.src(0), group.dst
    group.require(x.is_type(Type.F32) & dst.is_type(Type.F32), "src[0] or the result is not F32")
    group.require((dst.ne[:, 0] == 1) & x.same_shape(dst, slice(1, 4)), "the result is not one element for each row")
    group.require((x.ne[:, 0] == 1) | (x.nb[:, 0] > 0), "elements of a row of src[0] lie on each other")


def _sorted(group: OpGroup) -> Tensors:
    x, dst = group.src(0), group.dst
    group.require(x.is_type(Type.F32) & dst.is_type(Type.I32), "src[0] is not F32, or the result not I32")
    group.require(x.same_shape(dst, slice(1, 4)), "result and src[0] differ in rows")
    group.require(x.rows_packed() & dst.rows_packed(), "rows of src[0] or the result are not packed")
    group.require(x.ne[:, 0] < MOST, "a row has more elements than an I32 can number")
    return x


def arg_sort(group: OpGroup) -> None:
    """`x (n, ...) F32 -> (n, ...) I32`; the order is rising or falling."""
    x = _sorted(group)
    group.require(x.same_shape(group.dst), "result and src[0] differ in shape")
    group.support(np.isin(group.params[:, ORDER], ORDERS), "this order of ARGSORT is unknown")


def top_k(group: OpGroup) -> None:
    """`x (n, ...) F32 -> (k, ...) I32`, k at most n."""
    x = _sorted(group)
    group.require(group.dst.ne[:, 0] <= x.ne[:, 0], "the result asks for more elements than a row of src[0] has")
