"""Kernels of the ops that make something of each row, or put rows together.

A KeyError says that there is no kernel for these types.
"""

from collections.abc import Callable

from refimpl.device.cpu.choices.node import Choice, Node
from refimpl.graph.layout import type_layouts
from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.cpu.ops.rowwise import joining, sorting, sums
from spec.names import Type

__all__ = ["chosen", "joined", "repeated", "sorted_row", "summed"]

SUMS = {Type.F32: sums.sum_f32, Type.F16: sums.sum_f16}


def summed(node: Node) -> Choice:
    """SUM."""
    return Choice(SUMS[node.given(0)])


def chosen(kernel: Kernel) -> Callable[[Node], Choice]:
    """ADD_ID, whose types its rule has fixed."""
    return lambda node: Choice(kernel)


def sorted_row(kernel: Kernel) -> Callable[[Node], Choice]:
    """ARGSORT and TOP_K, whose types their rules have fixed."""
    return lambda node: Choice(kernel, scratch=sorting.scratch_bytes(node.shapes[0][0]))


def joined(node: Node) -> Choice:
    """CONCAT, of any one type."""
    layouts = type_layouts()
    return Choice(joining.concat, (int(layouts.bytes[node.dst_type]), int(layouts.block[node.dst_type])))


def repeated(node: Node) -> Choice:
    """REPEAT, of any one type without blocks."""
    return Choice(joining.repeat, (int(type_layouts().bytes[node.dst_type]),))
