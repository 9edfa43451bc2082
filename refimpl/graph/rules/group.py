"""All nodes of one op that run, as arrays: what a rule looks at.

A rule is a function of an OpGroup. It asks for operands by slot, states conditions over all m nodes at once, and
returns nothing; the first node that breaks one ends the graph. By the time a rule runs, results and operands lie in
their buffers, have elements, are laid out in whole and aligned blocks, and every extent is at least 1: a rule may
divide by one.
"""

from functools import cached_property

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import GraphError, UnsupportedError
from refimpl.graph.checked import ABSENT, TensorTable
from refimpl.graph.layout import type_layouts
from refimpl.graph.operands import apart
from refimpl.graph.params import as_floats
from refimpl.graph.refusal import Bools, Judge, in_all
from spec.names import Op, Type

__all__ = ["OpGroup", "Tensors"]


@attrs.frozen(eq=False)
class Tensors:
    """The results, or the operands of one slot, of m nodes."""

    table: TensorTable
    index: NDArray[np.int32]
    """(m,)"""

    @cached_property
    def type(self) -> NDArray[np.int32]:
        """(m,)"""
        return self.table.type[self.index]

    @cached_property
    def ne(self) -> NDArray[np.int64]:
        """(m, 4)"""
        return self.table.ne[self.index]

    @cached_property
    def nb(self) -> NDArray[np.int64]:
        """(m, 4)"""
        return self.table.nb[self.index]

    @cached_property
    def begin(self) -> NDArray[np.int64]:
        """(m,) first byte in the buffer"""
        return self.table.offset[self.index]

    @cached_property
    def end(self) -> NDArray[np.int64]:
        """(m,) one past the last byte in the buffer"""
        return self.begin + self.table.nbytes[self.index]

    @cached_property
    def buffer(self) -> NDArray[np.int64]:
        """(m,)"""
        return self.table.buffer[self.index]

    def is_type(self, *types: Type) -> Bools:
        """(m,) whether the type is one of these"""
        good = np.zeros(len(self.index), np.bool_)
        for type in types:
            good |= self.type == type
        return good

    def rows_packed(self) -> Bools:
        """(m,) whether the elements of a row follow each other without gaps"""
        good: Bools = (self.ne[:, 0] == 1) | (self.nb[:, 0] == type_layouts().bytes[self.type])
        return good

    def rows_apart(self) -> Bools:
        """(m,) whether no byte belongs to two neighbouring rows"""
        layouts = type_layouts()
        row = layouts.bytes[self.type] * (self.ne[:, 0] // layouts.block[self.type])
        apart: Bools = (self.ne[:, 1] == 1) | (self.nb[:, 1] >= row)
        return apart

    def packed(self) -> Bools:
        """(m,) whether all elements follow each other without gaps in logical order"""
        layouts = type_layouts()
        good = self.rows_packed()
        step = layouts.bytes[self.type] * (self.ne[:, 0] // layouts.block[self.type])
        for dim in (1, 2, 3):
            good &= (self.ne[:, dim] == 1) | (self.nb[:, dim] == step)
            step = step * self.ne[:, dim]
        return good

    def apart(self) -> Bools:
        """(m,) whether no byte belongs to two elements"""
        return apart(self.type, self.ne, self.nb)

    def same_shape(self, other: "Tensors", dims: slice = slice(0, 4)) -> Bools:
        """(m,) whether the extents agree in `dims`"""
        return in_all(self.ne[:, dims] == other.ne[:, dims])

    def is_vector(self) -> Bools:
        """(m,) whether only dimension 0 has more than one element, and those are packed"""
        return in_all(self.ne[:, 1:] == 1) & self.rows_packed()

    def same_place(self, other: "Tensors") -> Bools:
        """(m,) whether both begin at the same byte"""
        good: Bools = (self.buffer == other.buffer) & (self.begin == other.begin)
        return good

    def disjoint(self, other: "Tensors") -> Bools:
        """(m,) whether no byte lies between the first and last bytes of both"""
        good: Bools = (self.buffer != other.buffer) | (self.end <= other.begin) | (other.end <= self.begin)
        return good


@attrs.frozen(eq=False)
class OpGroup:
    """m nodes of one op."""

    judge: Judge
    table: TensorTable
    op: Op
    nodes: NDArray[np.int32]
    """(m,)"""

    @cached_property
    def dst(self) -> Tensors:
        """The results."""
        return Tensors(self.table, self.nodes)

    @property
    def params(self) -> NDArray[np.int32]:
        """(m, 16) op_params words"""
        return self.table.params[self.nodes]

    def floats(self, *words: int) -> NDArray[np.float32]:
        """(m, words) parameters that are floats"""
        return as_floats(np.ascontiguousarray(self.params[:, words]))

    def src(self, slot: int) -> Tensors:
        """An operand that every node must have; raises GraphError if one has none."""
        index = self.table.src[self.nodes, slot]
        self.require(index != ABSENT, f"src[{slot}] is missing")
        return Tensors(self.table, index)

    def having(self, slot: int) -> "OpGroup":
        """The nodes that have an optional operand."""
        return attrs.evolve(self, nodes=self.nodes[self.table.src[self.nodes, slot] != ABSENT])

    def lacking(self, slot: int) -> "OpGroup":
        """The nodes that do without an optional operand."""
        return attrs.evolve(self, nodes=self.nodes[self.table.src[self.nodes, slot] == ABSENT])

    def where(self, chosen: Bools) -> "OpGroup":
        """The chosen nodes."""
        return attrs.evolve(self, nodes=self.nodes[chosen])

    def require(self, good: Bools, what: str) -> None:
        """Raise GraphError with the op's clause, `what`, and all operands in words, unless all of `good` (m,) holds."""
        clause = f"OP-{self.op.name}"
        self.judge.require(good, GraphError, clause, lambda i: f"{what}; {self._operands(i)}", self.nodes)

    def support(self, good: Bools, what: str) -> None:
        """Raise UnsupportedError unless all of `good` (m,) holds: legal perhaps, but nothing here computes it."""
        self.judge.require(good, UnsupportedError, "GRAPH-19", lambda i: what, self.nodes)

    def _operands(self, entry: int) -> str:
        node = int(self.nodes[entry])
        sources = [(f"src[{slot}]", int(index)) for slot, index in enumerate(self.table.src[node]) if index != ABSENT]
        words = [
            f"{role} {Type(int(self.table.type[index])).name} ne {self.table.ne[index].tolist()}"
            f" nb {self.table.nb[index].tolist()}"
            for role, index in [("result", node), *sources]
        ]
        return f"{', '.join(words)}, parameters {self.table.params[node].tolist()}"
