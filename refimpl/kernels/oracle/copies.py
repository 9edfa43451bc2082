"""DUP, CPY, CONT, GET_ROWS, SET_ROWS: values move, and change type on the way.

Nothing is computed: a value that goes to F16 or BF16 is rounded to the nearest, ties to even, and a row that goes to a
block format is quantised as kernels/blocks/ say, to the bit. An index outside the table is an IndexError.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.views import Values, integers, present, reals, shape
from spec.names import Type

__all__ = ["as_stored", "checked", "copied", "gathered", "scattered"]


def as_stored(values: Values, like: Operand, source: Type) -> Values:
    """`values` after a stay in `like`'s type: same shape, float64. To its own type a value goes as it is."""
    if like.type in (source, Type.I32):
        return values
    form = FORMATS[like.type]
    if form.encode is None or (form.block > 1 and FORMATS[source].block > 1):
        raise NotImplementedError(f"{source.name} to {like.type.name}")
    blocks = values.astype(np.float32).reshape(-1, form.block)
    return form.decode(form.encode(blocks)).astype(np.float64).reshape(values.shape)


def copied(case: Case) -> Values:
    """DUP, CONT and CPY: element n of src0, counted with dimension 0 fastest, becomes element n of dst."""
    src = present(case, 0)
    return as_stored(reals(src).reshape(shape(case.dst)), case.dst, src.type)


def checked(index: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """`index`; IndexError if one of it is not in 0 .. rows - 1."""
    outside = index[(index < 0) | (index >= rows)]
    if outside.size:
        raise IndexError(f"row {int(outside[0])} of {rows}")
    return index


def gathered(case: Case) -> Values:
    """GET_ROWS: dst[:, i, j, k] = src0[:, src1[i, j, k], j, k]; src0 (n, rows, j, k), src1 I32 (i, j, k)."""
    table, index = present(case, 0), present(case, 1)
    rows, chosen = reals(table), checked(integers(index), table.ne[1])
    out = np.zeros(shape(case.dst))
    for k, j, i in np.ndindex(*out.shape[:3]):
        out[k, j, i] = rows[k, j, chosen[0, k, j, i]]
    return out


def scattered(case: Case) -> Values:
    """SET_ROWS: row (i, j, k) of src0 replaces row src1[i, j mod, k mod] of dst, which keeps all its other rows.

    src0 F32 (n, i, j, k), src1 I32 or I64 (i, j', k'), dst (n, rows, j, k), a view of src2.
    """
    src, index = present(case, 0), present(case, 1)
    rows, chosen = reals(src), checked(integers(index), case.dst.ne[1])
    stored = as_stored(rows, case.dst, src.type)
    out = reals(case.dst)
    for k, j, i in np.ndindex(*rows.shape[:3]):
        row = chosen[0, k % index.ne[2], j % index.ne[1], i]
        out[k, j, row] = stored[k, j, i]
    return out
