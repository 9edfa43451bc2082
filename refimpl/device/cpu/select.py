"""Which kernel computes a node: by op, by the types of its operands, and by a few parameters.

The rules of graph/rules have been kept by then; what they allow and no kernel here computes is refused by name.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn

from refimpl.device.cpu.choices import attention, pointwise, rowwise
from refimpl.device.cpu.choices.node import Choice, Node, NoKernel
from refimpl.errors import UnsupportedError
from refimpl.graph.layout import type_layouts
from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.cpu.matmul import floats
from refimpl.kernels.cpu.ops import copies, dequantising, hadamard, norms, quantising, rope, rows
from refimpl.kernels.cpu.ops.pointwise import arithmetic, lines, unary
from refimpl.kernels.cpu.ops.rowwise import biases, joining, norm, sorting, sums
from spec.names import Op, RopeMode, Type

__all__ = ["KERNELS", "choose"]

ROPE_DIMS, ROPE_MODE = 1, 2
F32, F16 = Type.F32, Type.F16
MASK_KINDS: Mapping[Type | None, int] = MappingProxyType({None: 0, F32: 1, F16: 2})
"""extra word of SOFT_MAX by the type of its mask"""
HINT, HADAMARD = 1, 1
"""op_params word of MUL_MAT, and what it says of src0"""
INDEX_BYTES: Mapping[Type | None, int] = MappingProxyType({Type.I32: 4, Type.I64: 8})


COPIES: Mapping[tuple[Type, Type], Kernel] = MappingProxyType(
    {
        (F32, F32): copies.copy_4_bytes,
        (Type.I32, Type.I32): copies.copy_4_bytes,
        (F16, F16): copies.copy_2_bytes,
        (F32, F16): copies.copy_f32_to_f16,
        (F16, F32): copies.copy_f16_to_f32,
        (Type.BF16, F32): dequantising.copy_bf16_to_f32,
        (Type.BF16, Type.BF16): copies.copy_2_bytes,
        (Type.Q5_0, F32): dequantising.copy_q5_0_to_f32,
        (Type.Q5_1, F32): dequantising.copy_q5_1_to_f32,
        (Type.Q4_K, F32): dequantising.copy_q4_k_to_f32,
        (Type.Q5_K, F32): dequantising.copy_q5_k_to_f32,
        (Type.Q6_K, F32): dequantising.copy_q6_k_to_f32,
        (Type.Q5_0, Type.Q5_0): copies.copy_block_rows,
        (Type.Q5_1, Type.Q5_1): copies.copy_block_rows,
        (Type.Q4_K, Type.Q4_K): copies.copy_block_rows,
        (Type.Q5_K, Type.Q5_K): copies.copy_block_rows,
        (Type.Q6_K, Type.Q6_K): copies.copy_block_rows,
        (Type.Q4_0, F32): copies.copy_q4_0_to_f32,
        (Type.Q4_1, F32): copies.copy_q4_1_to_f32,
        (Type.Q8_0, F32): copies.copy_q8_0_to_f32,
        (Type.Q4_0, Type.Q4_0): copies.copy_block_rows,
        (Type.Q4_1, Type.Q4_1): copies.copy_block_rows,
        (Type.Q8_0, Type.Q8_0): copies.copy_block_rows,
        (F32, Type.BF16): quantising.copy_f32_to_bf16,
        (F32, Type.Q8_0): quantising.copy_f32_to_q8_0,
        (F32, Type.Q4_0): quantising.copy_f32_to_q4_0,
        (F32, Type.Q4_1): quantising.copy_f32_to_q4_1,
        (F32, Type.Q5_0): quantising.copy_f32_to_q5_0,
        (F32, Type.Q5_1): quantising.copy_f32_to_q5_1,
        (F16, Type.BF16): quantising.copy_f16_to_bf16,
        (F16, Type.Q8_0): quantising.copy_f16_to_q8_0,
        (F16, Type.Q4_0): quantising.copy_f16_to_q4_0,
        (F16, Type.Q4_1): quantising.copy_f16_to_q4_1,
        (F16, Type.Q5_0): quantising.copy_f16_to_q5_0,
        (F16, Type.Q5_1): quantising.copy_f16_to_q5_1,
        (Type.BF16, F16): quantising.copy_bf16_to_f16,
    }
)

ROW_READS: Mapping[Type, Kernel] = MappingProxyType(
    {
        F32: rows.get_rows_4_bytes,
        Type.I32: rows.get_rows_4_bytes,
        F16: rows.get_rows_f16,
        Type.BF16: dequantising.get_rows_bf16,
        Type.Q5_0: dequantising.get_rows_q5_0,
        Type.Q5_1: dequantising.get_rows_q5_1,
        Type.Q4_K: dequantising.get_rows_q4_k,
        Type.Q5_K: dequantising.get_rows_q5_k,
        Type.Q6_K: dequantising.get_rows_q6_k,
        Type.Q4_0: rows.get_rows_q4_0,
        Type.Q4_1: rows.get_rows_q4_1,
        Type.Q8_0: rows.get_rows_q8_0,
    }
)

ROW_WRITES: Mapping[tuple[Type, Type], Kernel] = MappingProxyType(
    {
        (F32, F32): rows.set_rows_4_bytes,
        (F32, F16): rows.set_rows_f32_to_f16,
        (F16, F16): rows.set_rows_2_bytes,
        (F16, F32): rows.set_rows_f16_to_f32,
        (F32, Type.BF16): quantising.set_rows_f32_to_bf16,
        (F32, Type.Q8_0): quantising.set_rows_f32_to_q8_0,
        (F32, Type.Q4_0): quantising.set_rows_f32_to_q4_0,
        (F32, Type.Q4_1): quantising.set_rows_f32_to_q4_1,
        (F32, Type.Q5_0): quantising.set_rows_f32_to_q5_0,
        (F32, Type.Q5_1): quantising.set_rows_f32_to_q5_1,
        (F16, Type.BF16): quantising.set_rows_f16_to_bf16,
        (F16, Type.Q8_0): quantising.set_rows_f16_to_q8_0,
        (F16, Type.Q4_0): quantising.set_rows_f16_to_q4_0,
        (F16, Type.Q4_1): quantising.set_rows_f16_to_q4_1,
        (F16, Type.Q5_0): quantising.set_rows_f16_to_q5_0,
        (F16, Type.Q5_1): quantising.set_rows_f16_to_q5_1,
    }
)

ROTATIONS: Mapping[Type, tuple[Kernel, int]] = MappingProxyType({F32: (rope.rope_f32, 4), F16: (rope.rope_f16, 8)})
"""kernel, and bytes of scratch for each channel that turns"""


def choose(node: Node, label: Callable[[int], str]) -> Choice:
    """The kernel of a node. Raises UnsupportedError, naming op, types and tensor."""
    found = KERNELS.get(node.op)
    try:
        if found is None:
            raise NoKernel
        return found(node)
    except (NoKernel, KeyError) as error:
        _refuse(node, label, str(error) if isinstance(error, NoKernel) else "")


def _refuse(node: Node, label: Callable[[int], str], detail: str) -> NoReturn:
    types = ", ".join("-" if type is None else type.name for type in node.types)
    what = f"{node.op.name} ({types}) -> {node.dst_type.name}{detail and ', ' + detail}"
    raise UnsupportedError("GRAPH-19", f"{label(node.index)}: the CPU device has no kernel for {what}")


def _copy(node: Node) -> Choice:
    kernel = COPIES[node.given(0), node.dst_type]
    if kernel is not copies.copy_block_rows:
        return Choice(kernel)
    layouts = type_layouts()
    return Choice(kernel, (node.dst_shape[0] // int(layouts.block[node.dst_type]) * int(layouts.bytes[node.dst_type]),))


def _row_reads(node: Node) -> Choice:
    return Choice(ROW_READS[node.given(0)])


def _row_writes(node: Node) -> Choice:
    return Choice(ROW_WRITES[node.given(0), node.dst_type], (INDEX_BYTES[node.type(1)],))


def _may_be_hadamard(node: Node) -> bool:
    """Whether the shape is right for what the hint says: one square matrix of F32, its size a power of two."""
    n, m, b2, b3 = node.shapes[0]
    return node.types == (F32, F32) and n == m and n & (n - 1) == 0 and b2 == b3 == 1


def _float_product(node: Node) -> Choice:
    if node.params[HINT] == HADAMARD and _may_be_hadamard(node):
        return Choice(hadamard.mul_mat_hadamard)
    if node.type(1) != F32:
        raise KeyError
    if node.given(0) != F32:
        raise KeyError
    return Choice(floats.mul_mat_f32)


def _soft_max(node: Node) -> Choice:
    return Choice(norms.soft_max_f32, (MASK_KINDS[node.type(1)],))


def _rotated(node: Node) -> Choice:
    mode = int(node.params[ROPE_MODE])
    if mode not in (RopeMode.NORMAL, RopeMode.NEOX):
        raise NoKernel(f"mode {RopeMode(mode).name}")
    kernel, each = ROTATIONS[node.given(0)]
    return Choice(kernel, scratch=each * int(node.params[ROPE_DIMS]))


KERNELS: Mapping[Op, Callable[[Node], Choice]] = MappingProxyType(
    {
        Op.DUP: _copy,
        Op.CONT: _copy,
        Op.CPY: _copy,
        Op.ADD: pointwise.arithmetic(arithmetic.add_f32, arithmetic.add_mixed),
        Op.SUB: pointwise.arithmetic(arithmetic.sub_f32, arithmetic.sub_mixed),
        Op.MUL: pointwise.arithmetic(arithmetic.mul_f32, arithmetic.mul_mixed),
        Op.DIV: pointwise.arithmetic(arithmetic.div_f32, arithmetic.div_mixed),
        Op.SQR: pointwise.function(unary.square),
        Op.SQRT: pointwise.function(unary.square_root),
        Op.LOG: pointwise.function(unary.logarithm),
        Op.SIN: pointwise.function(unary.sine),
        Op.COS: pointwise.function(unary.cosine),
        Op.UNARY: pointwise.named_function,
        Op.GLU: pointwise.gated,
        Op.SCALE: pointwise.floats_only(lines.scale_f32),
        Op.CLAMP: pointwise.clamped,
        Op.FILL: pointwise.filled,
        Op.RMS_NORM: pointwise.floats_only(norms.rms_norm_f32),
        Op.NORM: pointwise.floats_only(norm.norm_f32),
        Op.L2_NORM: pointwise.floats_only(norm.l2_norm_f32),
        Op.ADD_ID: rowwise.chosen(biases.add_id_f32),
        Op.SUM: rowwise.summed,
        Op.SUM_ROWS: pointwise.floats_only(sums.sum_rows_f32),
        Op.MEAN: pointwise.floats_only(sums.mean_f32),
        Op.ARGSORT: rowwise.sorted_row(sorting.arg_sort_f32),
        Op.TOP_K: rowwise.sorted_row(sorting.top_k_f32),
        Op.CONCAT: rowwise.joined,
        Op.REPEAT: rowwise.repeated,
        Op.PAD: pointwise.floats_only(joining.pad_f32),
        Op.ARANGE: pointwise.floats_only(joining.arange_f32),
        Op.GET_ROWS: _row_reads,
        Op.SET_ROWS: _row_writes,
        Op.MUL_MAT: _float_product,
        Op.SOFT_MAX: _soft_max,
        Op.ROPE: _rotated,
        Op.FLASH_ATTN_EXT: attention.attended,
    }
)
