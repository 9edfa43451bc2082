"""DUP, CONT, CPY: elements in logical order from one layout to another, converted on the way.

Any strides on both sides for plain types; shapes may differ as long as the number of elements agrees. With blocks on
either side rows are copied whole, so they are packed and equally long; if they are converted, shapes agree. CPY names
its destination in src[1]: the node is that tensor, or a view of all of it.
"""

from refimpl.graph.layout import type_layouts
from refimpl.graph.rules.group import OpGroup

__all__ = ["copy", "copy_into"]


def copy(group: OpGroup) -> None:
    """src0 and the result have as many elements; in block types rows are packed, and alike or shapes are the same."""
    src, dst = group.src(0), group.dst
    group.require(src.ne.prod(axis=1) == dst.ne.prod(axis=1), "source and result differ in their number of elements")
    block = type_layouts().block
    plain = (block[src.type] == 1) & (block[dst.type] == 1)
    alike = src.same_shape(dst) | ((src.type == dst.type) & (src.ne[:, 0] == dst.ne[:, 0]))
    by_rows = alike & src.rows_packed() & dst.rows_packed()
    group.require(plain | by_rows, "types with blocks are copied in packed rows: of the same shape, or type and length")


def copy_into(group: OpGroup) -> None:
    """As `copy`; and the node is its own destination, src1."""
    copy(group)
    target = group.src(1)
    group.require(
        group.dst.same_place(target) & group.dst.same_shape(target) & (group.dst.type == target.type),
        "the result is not the destination src[1]",
    )
