"""Which rule holds for which op. An op without one has no kernel in this implementation and is refused by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import UnsupportedError
from refimpl.graph.checked import TensorTable
from refimpl.graph.refusal import Judge
from refimpl.graph.rules import attention, copies, elementwise, experts, joining, reductions, rotation, rows
from refimpl.graph.rules.group import OpGroup
from spec.names import Op

__all__ = ["RULES", "check_rules"]

RULES: Mapping[Op, Callable[[OpGroup], None]] = MappingProxyType(
    {
        Op.DUP: copies.copy,
        Op.CONT: copies.copy,
        Op.CPY: copies.copy_into,
        Op.ADD: elementwise.binary,
        Op.SUB: elementwise.binary,
        Op.MUL: elementwise.binary,
        Op.DIV: elementwise.binary,
        Op.SQR: elementwise.alike,
        Op.SQRT: elementwise.alike,
        Op.LOG: elementwise.alike,
        Op.SIN: elementwise.alike,
        Op.COS: elementwise.alike,
        Op.CLAMP: elementwise.alike,
        Op.FILL: elementwise.alike,
        Op.UNARY: elementwise.unary,
        Op.SCALE: elementwise.scale,
        Op.NORM: elementwise.norm,
        Op.L2_NORM: elementwise.norm,
        Op.RMS_NORM: elementwise.rms_norm,
        Op.GLU: elementwise.glu,
        Op.GET_ROWS: rows.get_rows,
        Op.SET_ROWS: rows.set_rows,
        Op.SUM: reductions.sum_all,
        Op.SUM_ROWS: reductions.sum_rows,
        Op.MEAN: reductions.sum_rows,
        Op.ARGSORT: reductions.arg_sort,
        Op.TOP_K: reductions.top_k,
        Op.CONCAT: joining.concat,
        Op.REPEAT: joining.repeat,
        Op.PAD: joining.pad,
        Op.ARANGE: joining.arange,
        Op.ADD_ID: experts.add_id,
        Op.MUL_MAT_ID: experts.matrix_product_by_id,
        Op.MUL_MAT: attention.matrix_product,
        Op.SOFT_MAX: attention.soft_max,
        Op.FLASH_ATTN_EXT: attention.flash_attention,
        Op.ROPE: rotation.rope,
    }
)


def check_rules(judge: Judge, table: TensorTable, running: NDArray[np.int32]) -> None:
    """Hold every node of `running` to the rule of its op; raises GraphError, UnsupportedError without a rule."""
    op = table.op[running]
    ruled = np.isin(op, list(RULES))
    judge.require(ruled, UnsupportedError, "GRAPH-19", lambda i: "no kernel computes this op", running)
    for number in np.unique(op).tolist():
        RULES[Op(number)](OpGroup(judge, table, Op(number), running[op == number]))
