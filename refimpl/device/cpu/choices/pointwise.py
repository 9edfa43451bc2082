"""Kernels of the ops that compute each element by itself: arithmetic, UNARY and its like, GLU, CLAMP and FILL.

A KeyError says that there is no kernel for these types.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu.choices.node import Choice, Node, NoKernel
from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.cpu.ops.pointwise import gates, lines, tables, unary
from spec.names import Glu, Type, Unary

__all__ = ["arithmetic", "clamped", "filled", "floats_only", "function", "gated", "named_function"]

F32, F16, BF16 = Type.F32, Type.F16, Type.BF16
KIND = 0
"""op_params word of UNARY and GLU"""
BYTES: Mapping[Type, int] = MappingProxyType({F32: 4, F16: 2})
"""of an element, as FILL's extra word says"""

CLAMPS: Mapping[Type, Kernel] = MappingProxyType({F32: lines.clamp_f32, F16: lines.clamp_f16})
MIXED = frozenset(types for half in (F16, BF16) for types in ((half, half, half), (half, F32, half), (half, F32, F32)))
"""types of src0, src1 and result, beside F32 throughout"""

FUNCTIONS: Mapping[Unary, Kernel] = MappingProxyType(
    {
        Unary.ABS: unary.absolute,
        Unary.SGN: unary.sign,
        Unary.NEG: unary.negative,
        Unary.STEP: unary.unit_step,
        Unary.TANH: unary.tangent,
        Unary.ELU: unary.elu,
        Unary.RELU: unary.rectified,
        Unary.SIGMOID: unary.sigmoid,
        Unary.GELU: unary.gelu,
        Unary.GELU_QUICK: unary.tabulated,
        Unary.SILU: unary.silu,
        Unary.HARDSWISH: unary.hard_swish,
        Unary.HARDSIGMOID: unary.hard_sigmoid,
        Unary.EXP: unary.exponential,
        Unary.EXPM1: unary.exponential_less_1,
        Unary.SOFTPLUS: unary.softplus,
        Unary.GELU_ERF: unary.gelu_erf,
        Unary.XIELU: unary.xielu,
        Unary.FLOOR: unary.lower,
        Unary.CEIL: unary.ceiling,
        Unary.ROUND: unary.rounded,
        Unary.TRUNC: unary.truncated,
    }
)
OTHER_FUNCTIONS: Mapping[tuple[Unary, Type], Kernel] = MappingProxyType(
    {
        (Unary.SILU, F32): unary.silu_f32,
        (Unary.GELU, F16): unary.tabulated,
        (Unary.GELU, BF16): unary.gelu_computed,
        (Unary.GELU_QUICK, BF16): unary.gelu_quick_computed,
    }
)
FUNCTION_TABLES: Mapping[Unary, Callable[[], NDArray[np.uint16]]] = MappingProxyType(
    {Unary.GELU: tables.gelu_table, Unary.GELU_QUICK: tables.gelu_quick_table}
)

GATES: Mapping[Glu, Kernel] = MappingProxyType(
    {
        Glu.REGLU: gates.reglu,
        Glu.GEGLU: gates.geglu,
        Glu.SWIGLU: gates.swiglu,
        Glu.SWIGLU_OAI: gates.swiglu_oai,
        Glu.GEGLU_ERF: gates.geglu_erf,
        Glu.GEGLU_QUICK: gates.tabulated,
        Glu.SWIGLU_CLAMP: gates.swiglu_clamp,
    }
)
OTHER_GATES: Mapping[tuple[Glu, Type], Kernel] = MappingProxyType(
    {
        (Glu.SWIGLU, F32): gates.swiglu_f32,
        (Glu.GEGLU, F16): gates.tabulated,
        (Glu.GEGLU, BF16): gates.geglu_computed,
        (Glu.GEGLU_QUICK, BF16): gates.geglu_quick_computed,
    }
)
GATE_TABLES: Mapping[Glu, Callable[[], NDArray[np.uint16]]] = MappingProxyType(
    {Glu.GEGLU: tables.gelu_table, Glu.GEGLU_QUICK: tables.gelu_quick_table}
)


def floats_only(kernel: Kernel) -> Callable[[Node], Choice]:
    """For kernels that take F32 operands and give an F32 result."""

    def found(node: Node) -> Choice:
        if {node.dst_type, *node.types} - {None} != {F32}:
            raise KeyError
        return Choice(kernel)

    return found


def arithmetic(floats: Kernel, mixed: Kernel) -> Callable[[Node], Choice]:
    """ADD and its like: `floats` for F32 throughout, `mixed` where F16 or BF16 takes part."""

    def found(node: Node) -> Choice:
        types = node.given(0), node.given(1), node.dst_type
        if types == (F32, F32, F32):
            return Choice(floats)
        if types not in MIXED:
            raise KeyError
        return Choice(mixed, tuple(int(type) for type in types))

    return found


def function(kernel: Kernel) -> Callable[[Node], Choice]:
    """An op that is one function."""
    return lambda node: Choice(kernel, (int(_alike(node)),))


def named_function(node: Node) -> Choice:
    """UNARY: the function that op_params names."""
    type, kind = _alike(node), Unary(int(node.params[KIND]))
    words = _words(type, FUNCTION_TABLES.get(kind))
    return Choice(OTHER_FUNCTIONS.get((kind, type), FUNCTIONS[kind]), words)


def gated(node: Node) -> Choice:
    """GLU: the gate's function that op_params names."""
    type, kind = _alike(node), Glu(int(node.params[KIND]))
    if type != F32 and kind == Glu.SWIGLU_OAI:
        raise NoKernel(f"kind {kind.name}")
    return Choice(OTHER_GATES.get((kind, type), GATES[kind]), _words(type, GATE_TABLES.get(kind)))


def clamped(node: Node) -> Choice:
    """CLAMP."""
    return Choice(CLAMPS[_alike(node)])


def filled(node: Node) -> Choice:
    """FILL."""
    return Choice(lines.fill, (BYTES[_alike(node)],))


def _words(type: Type, table: Callable[[], NDArray[np.uint16]] | None) -> tuple[int, ...]:
    """The type, and the address of a table if the function has one; the table stays in memory."""
    return (int(type),) if table is None else (int(type), table().ctypes.data)


def _alike(node: Node) -> Type:
    """The one type of operands and result: F32, F16 or BF16."""
    types = {node.dst_type, *node.types} - {None}
    if types not in ({F32}, {F16}, {BF16}):
        raise KeyError
    return node.dst_type
