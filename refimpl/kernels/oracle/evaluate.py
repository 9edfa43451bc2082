"""Op -> its slow, obvious definition: what every kernel is held to.

The oracle is written to be read and checked by eye. It works in float64 wherever the definition of the op does not
lose precision on purpose (activations that are quantised, values stored as F16), so that it lies nearer to the truth
than any backend.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from refimpl.kernels.operand import Case
from refimpl.kernels.oracle import (
    attention,
    copies,
    elementwise,
    functions,
    joining,
    mul_mat,
    reductions,
    rope,
    rows,
)
from refimpl.kernels.oracle.views import Values
from spec.names import Op

__all__ = ["DEFINITIONS", "evaluate"]

DEFINITIONS: Mapping[Op, Callable[[Case], Values]] = MappingProxyType(
    {
        Op.DUP: copies.copied,
        Op.CPY: copies.copied,
        Op.CONT: copies.copied,
        Op.GET_ROWS: copies.gathered,
        Op.SET_ROWS: copies.scattered,
        Op.ADD: elementwise.added,
        Op.SUB: elementwise.subtracted,
        Op.MUL: elementwise.multiplied,
        Op.DIV: elementwise.divided,
        Op.ADD_ID: elementwise.added_by_id,
        Op.SCALE: elementwise.scaled,
        Op.CLAMP: elementwise.clamped,
        Op.FILL: elementwise.filled,
        Op.SQR: functions.squared,
        Op.SQRT: functions.rooted,
        Op.LOG: functions.logarithms,
        Op.SIN: functions.sines,
        Op.COS: functions.cosines,
        Op.UNARY: functions.named,
        Op.GLU: functions.gated,
        Op.SUM: reductions.total,
        Op.SUM_ROWS: reductions.row_sums,
        Op.MEAN: reductions.row_means,
        Op.ARGSORT: reductions.order,
        Op.TOP_K: reductions.largest,
        Op.CONCAT: joining.joined,
        Op.REPEAT: joining.repeated,
        Op.PAD: joining.padded,
        Op.ARANGE: joining.progression,
        Op.NORM: rows.centred,
        Op.L2_NORM: rows.of_length_1,
        Op.RMS_NORM: rows.normalised,
        Op.SOFT_MAX: rows.softened,
        Op.MUL_MAT: mul_mat.multiplied,
        Op.MUL_MAT_ID: mul_mat.multiplied_by_id,
        Op.ROPE: rope.rotated,
        Op.FLASH_ATTN_EXT: attention.attended,
    }
)


def evaluate(case: Case) -> Values:
    """What dst must hold, [i3, i2, i1, i0] in float64. Writes nothing.

    Raises IndexError for an index outside its table, NotImplementedError for an op or type without a definition.
    """
    definition = DEFINITIONS.get(case.op)
    if definition is None:
        raise NotImplementedError(f"{case.op.name} has no definition")
    return definition(case)
