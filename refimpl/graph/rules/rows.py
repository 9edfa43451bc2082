"""GET_ROWS and SET_ROWS: rows chosen by an index operand.

An index is checked against the extent by the kernel that reads it. So that what was checked is what is used, no
result may overlap the indices: another thread could change them in between.
"""

import numpy as np

from refimpl.graph.refusal import in_all
from refimpl.graph.rules.group import OpGroup
from spec.names import Type

__all__ = ["get_rows", "set_rows"]


def get_rows(group: OpGroup) -> None:
    """`table (k, r, b2, b3), indices I32 (n, b2, b3) -> (k, n, b2, b3)` F32, or I32 from I32."""
    table, indices, dst = group.src(0), group.src(1), group.dst
    group.require(indices.is_type(Type.I32), "indices are not I32")
    group.require(indices.ne[:, 3] == 1, "indices have four dimensions")
    group.require(in_all(table.ne[:, 2:] == indices.ne[:, 1:3]), "table and indices differ in batches")
    group.require(in_all(dst.ne[:, 1:] == indices.ne[:, :3]), "result and indices differ in rows")
    group.require(dst.ne[:, 0] == table.ne[:, 0], "result and table differ in the length of a row")
    wanted = np.where(table.is_type(Type.I32), np.int32(Type.I32), np.int32(Type.F32))
    group.require(dst.type == wanted, "the result is not F32, or I32 from I32")
    group.require(table.rows_packed() & dst.rows_packed(), "rows of the table or the result are not packed")
    group.require(dst.disjoint(indices), "the result overlaps the indices")


def set_rows(group: OpGroup) -> None:
    """`rows (k, n, b2, b3), indices (n, d1, d2), target (k, m, b2, b3)`: the result is the target, src2.

    b2 is a multiple of d1, b3 of d2.
    """
    rows, indices, target, dst = group.src(0), group.src(1), group.src(2), group.dst
    group.require(rows.is_type(Type.F32, Type.F16), "rows are neither F32 nor F16")
    group.require(indices.is_type(Type.I64, Type.I32), "indices are neither I64 nor I32")
    group.require(indices.ne[:, 3] == 1, "indices have four dimensions")
    group.require(
        dst.same_place(target) & dst.same_shape(target) & (dst.type == target.type),
        "the result is not the target src[2]",
    )
    group.require(rows.ne[:, 0] == dst.ne[:, 0], "rows and target differ in the length of a row")
    group.require(rows.same_shape(dst, slice(2, 4)), "rows and target differ in batches")
    group.require(rows.ne[:, 1] == indices.ne[:, 0], "there is not one index for each row")
    group.require(in_all(rows.ne[:, 2:] % indices.ne[:, 1:3] == 0), "indices cannot be repeated to all batches")
    group.require(rows.rows_packed() & dst.rows_packed(), "rows of src[0] or the target are not packed")
    group.require(dst.disjoint(indices), "the target overlaps the indices")
