"""MUL_MAT_ID and ADD_ID: matrices and rows chosen by an index operand.

An index is checked against the extent by the kernel that reads it; no result may overlap the indices (see rows.py).
"""

from refimpl.graph.layout import type_layouts
from refimpl.graph.refusal import Bools, in_all
from refimpl.graph.rules.group import OpGroup, Tensors
from spec.names import Type

__all__ = ["add_id", "matrix_product_by_id"]


def _flat(tensors: Tensors, dims: int) -> Bools:
    """(m,) whether there are no more than `dims` dimensions."""
    return in_all(tensors.ne[:, dims:] == 1)


def _chosen(group: OpGroup, ids: Tensors) -> None:
    """ids I32 (u, t), any strides, for a result (n, u, t)"""
    dst = group.dst
    group.require(ids.is_type(Type.I32), "indices are not I32")
    group.require(_flat(ids, 2), "indices have more than two dimensions")
    group.require((dst.ne[:, 1] == ids.ne[:, 0]) & (dst.ne[:, 2] == ids.ne[:, 1]), "result and indices differ in shape")
    group.require(_flat(dst, 3), "the result has four dimensions")
    group.require(dst.disjoint(ids), "the result overlaps the indices")


def add_id(group: OpGroup) -> None:
    """`a (n, u, t), b (n, rows), ids I32 (u, t) -> (n, u, t)`, floats all F32."""
    a, b, dst = group.src(0), group.src(1), group.dst
    group.require(a.is_type(Type.F32) & b.is_type(Type.F32) & dst.is_type(Type.F32), "an operand is not F32")
    group.require(a.same_shape(dst), "result and src[0] differ in shape")
    group.require((b.ne[:, 0] == dst.ne[:, 0]) & _flat(b, 2), "src[1] is no table of such rows")
    group.require(a.rows_packed() & b.rows_packed() & dst.rows_packed(), "rows are not packed")
    _chosen(group, group.src(2))


def matrix_product_by_id(group: OpGroup) -> None:
    """`W (k, m, experts), X (k, r, t), ids I32 (u, t) -> (m, u, t)` F32; u is a multiple of r."""
    w, x, ids, dst = group.src(0), group.src(1), group.src(2), group.dst
    group.require(dst.is_type(Type.F32), "the result is not F32")
    group.require(w.ne[:, 0] == x.ne[:, 0], "rows of src[0] and src[1] differ in length")
    group.require(dst.ne[:, 0] == w.ne[:, 1], "result and src[0] differ in rows")
    group.require(_flat(w, 3) & _flat(x, 3), "src[0] or src[1] has four dimensions")
    group.require(w.rows_packed() & x.rows_packed() & dst.rows_packed(), "rows are not packed")
    _chosen(group, ids)
    group.require((x.ne[:, 2] == ids.ne[:, 1]) & (ids.ne[:, 0] % x.ne[:, 1] == 0), "indices do not fit src[1]")
    layouts = type_layouts()
    row = layouts.bytes[w.type] * (w.ne[:, 0] // layouts.block[w.type])
    apart = (w.ne[:, 2] == 1) | (w.nb[:, 2] >= row)
    group.require(apart, "matrices of src[0] overlap, so that no memory bounds their number")
