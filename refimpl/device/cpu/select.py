"""Which kernel computes a node: by op, by the types of its operands, and by a few parameters.

The rules of graph/rules have been kept by then; what they allow and no kernel here computes is refused by name.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import UnsupportedError
from refimpl.graph.layout import type_layouts
from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.cpu.matmul import floats, packed
from refimpl.kernels.cpu.matmul import rows as by_rows
from refimpl.kernels.cpu.ops import attention, attention_halves, copies, elementwise, norms, rope, rows
from spec.names import Glu, Op, RopeMode, Type

__all__ = ["KERNELS", "PRODUCTS", "Choice", "Node", "ProductKernels", "choose"]

GLU_KIND = 0
ROPE_DIMS, ROPE_MODE = 1, 2
F32, F16 = Type.F32, Type.F16
MASK_KINDS: Mapping[Type | None, int] = MappingProxyType({None: 0, F32: 1, F16: 2})
"""extra word of SOFT_MAX by the type of its mask"""
INDEX_BYTES: Mapping[Type | None, int] = MappingProxyType({Type.I32: 4, Type.I64: 8})


@attrs.frozen(eq=False)
class Node:
    """One node that runs: what decides about its kernel."""

    op: Op
    index: int
    """of its tensor"""
    sources: tuple[int, ...]
    """tensor indices or ABSENT, without absent ones at the end"""
    types: tuple[Type | None, ...]
    """of the sources"""
    shapes: tuple[tuple[int, ...], ...]
    """extents of the sources; () for absent ones"""
    dst_type: Type
    dst_shape: tuple[int, ...]
    params: NDArray[np.int32]
    """(16,)"""

    def type(self, slot: int) -> Type | None:
        """Type of a source, None where it is absent."""
        return self.types[slot] if slot < len(self.types) else None


@attrs.frozen
class Choice:
    """A kernel with what it asks for: extra words, and bytes of scratch for each thread."""

    kernel: Kernel
    extra: tuple[int, ...] = ()
    scratch: int = 0


@attrs.frozen
class ProductKernels:
    """MUL_MAT with weights of one quantised type."""

    packed: Kernel
    plain: Kernel


PRODUCTS: Mapping[Type, ProductKernels] = MappingProxyType(
    {
        Type.Q4_0: ProductKernels(packed.mul_mat_packed_q4_0, by_rows.mul_mat_q4_0),
        Type.Q4_1: ProductKernels(packed.mul_mat_packed_q4_1, by_rows.mul_mat_q4_1),
        Type.Q8_0: ProductKernels(packed.mul_mat_packed_q8_0, by_rows.mul_mat_q8_0),
    }
)

COPIES: Mapping[tuple[Type, Type], Kernel] = MappingProxyType(
    {
        (F32, F32): copies.copy_4_bytes,
        (Type.I32, Type.I32): copies.copy_4_bytes,
        (F16, F16): copies.copy_2_bytes,
        (F32, F16): copies.copy_f32_to_f16,
        (F16, F32): copies.copy_f16_to_f32,
        (Type.Q4_0, F32): copies.copy_q4_0_to_f32,
        (Type.Q4_1, F32): copies.copy_q4_1_to_f32,
        (Type.Q8_0, F32): copies.copy_q8_0_to_f32,
        (Type.Q4_0, Type.Q4_0): copies.copy_block_rows,
        (Type.Q4_1, Type.Q4_1): copies.copy_block_rows,
        (Type.Q8_0, Type.Q8_0): copies.copy_block_rows,
    }
)

ROW_READS: Mapping[Type, Kernel] = MappingProxyType(
    {
        F32: rows.get_rows_4_bytes,
        Type.I32: rows.get_rows_4_bytes,
        F16: rows.get_rows_f16,
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
    }
)

FLOAT_PRODUCTS: Mapping[Type, Kernel] = MappingProxyType({F32: floats.mul_mat_f32, F16: floats.mul_mat_f16})
ROTATIONS: Mapping[Type, tuple[Kernel, int]] = MappingProxyType({F32: (rope.rope_f32, 4), F16: (rope.rope_f16, 8)})
"""kernel, and bytes of scratch for each channel that turns"""


class _NoKernel(Exception):
    """Nothing here computes this; the text says what is special about it."""


def choose(node: Node, label: Callable[[int], str]) -> Choice:
    """The kernel of a node. Raises UnsupportedError, naming op, types and tensor."""
    found = KERNELS.get(node.op)
    try:
        if found is None:
            raise _NoKernel
        return found(node)
    except (_NoKernel, KeyError) as error:
        _refuse(node, label, str(error) if isinstance(error, _NoKernel) else "")


def _refuse(node: Node, label: Callable[[int], str], detail: str) -> NoReturn:
    types = ", ".join("-" if type is None else type.name for type in node.types)
    what = f"{node.op.name} ({types}) -> {node.dst_type.name}{detail and ', ' + detail}"
    raise UnsupportedError("GRAPH-19", f"{label(node.index)}: the CPU device has no kernel for {what}")


def _given(node: Node, slot: int) -> Type:
    """Type of a source that the op cannot do without."""
    type = node.type(slot)
    if type is None:
        raise _NoKernel(f"without src[{slot}]")
    return type


def _copy(node: Node) -> Choice:
    kernel = COPIES[_given(node, 0), node.dst_type]
    if kernel is not copies.copy_block_rows:
        return Choice(kernel)
    layouts = type_layouts()
    return Choice(kernel, (node.dst_shape[0] // int(layouts.block[node.dst_type]) * int(layouts.bytes[node.dst_type]),))


def _elementwise(kernel: Kernel) -> Callable[[Node], Choice]:
    """For kernels that take F32 operands and give an F32 result."""

    def found(node: Node) -> Choice:
        if {node.dst_type, *node.types} - {None} != {F32}:
            raise KeyError
        return Choice(kernel)

    return found


def _gated(node: Node) -> Choice:
    kind = int(node.params[GLU_KIND])
    if kind != Glu.SWIGLU:
        raise _NoKernel(f"kind {Glu(kind).name}")
    return _elementwise(elementwise.swiglu_f32)(node)


def _row_reads(node: Node) -> Choice:
    return Choice(ROW_READS[_given(node, 0)])


def _row_writes(node: Node) -> Choice:
    return Choice(ROW_WRITES[_given(node, 0), node.dst_type], (INDEX_BYTES[node.type(1)],))


def _float_product(node: Node) -> Choice:
    if node.type(1) != F32:
        raise KeyError
    return Choice(FLOAT_PRODUCTS[_given(node, 0)])


def _soft_max(node: Node) -> Choice:
    return Choice(norms.soft_max_f32, (MASK_KINDS[node.type(1)],))


def _rotated(node: Node) -> Choice:
    mode = int(node.params[ROPE_MODE])
    if mode not in (RopeMode.NORMAL, RopeMode.NEOX):
        raise _NoKernel(f"mode {RopeMode(mode).name}")
    kernel, each = ROTATIONS[_given(node, 0)]
    return Choice(kernel, scratch=each * int(node.params[ROPE_DIMS]))


def _attention(node: Node) -> Choice:
    keys, values = _given(node, 1), _given(node, 2)
    if keys not in (F32, F16) or values not in (F32, F16):
        raise KeyError
    if keys == values == F16 and _keeps_halves(node):
        few = attention_halves.scratch_bytes(node.shapes[0][0], node.shapes[1][1])
        return Choice(attention_halves.flash_attention_halves, scratch=few)
    scratch = attention.scratch_bytes(node.shapes[0][0], node.dst_shape[0], node.shapes[1][1])
    return Choice(attention.flash_attention, (int(keys), int(values)), scratch)


def _keeps_halves(node: Node) -> bool:
    """Whether ggml keeps the sum of F16 values in F16, whatever its number of threads (attention_halves.py)."""
    (_, queries, _, sequences), keys = node.shapes[0], node.shapes[1][1]
    if queries == sequences == 1:
        return keys < attention_halves.SPLIT_KEYS
    return queries < attention_halves.FEW_QUERIES


KERNELS: Mapping[Op, Callable[[Node], Choice]] = MappingProxyType(
    {
        Op.DUP: _copy,
        Op.CONT: _copy,
        Op.CPY: _copy,
        Op.ADD: _elementwise(elementwise.add_f32),
        Op.MUL: _elementwise(elementwise.mul_f32),
        Op.SCALE: _elementwise(elementwise.scale_f32),
        Op.RMS_NORM: _elementwise(norms.rms_norm_f32),
        Op.GLU: _gated,
        Op.GET_ROWS: _row_reads,
        Op.SET_ROWS: _row_writes,
        Op.MUL_MAT: _float_product,
        Op.SOFT_MAX: _soft_max,
        Op.ROPE: _rotated,
        Op.FLASH_ATTN_EXT: _attention,
    }
)
