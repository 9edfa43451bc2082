"""A node of one op over operands laid out by hand, and others that differ from it in one thing."""

from collections.abc import Sequence

import attrs

from refimpl.tests.graph.samples import T, one_node
from spec.names import Op

__all__ = ["Node"]


@attrs.frozen
class Node:
    """A node of one op; `but` makes a similar one."""

    op: Op
    dst: T
    srcs: tuple[T | None, ...]
    params: Sequence[int] = ()
    alias: int | None = None

    def build(self) -> int:
        """Check it and return how many nodes run."""
        sample = one_node(self.op, self.dst, self.srcs, self.params, self.alias)
        return len(sample.build().nodes)

    def but(self, dst: T | None = None, params: Sequence[int] | None = None, **srcs: T | None) -> "Node":
        """src0=... to src4=... replace operands."""
        replaced = list(self.srcs) + [None] * 5
        for slot, tensor in srcs.items():
            replaced[int(slot.removeprefix("src"))] = tensor
        return attrs.evolve(
            self, dst=dst or self.dst, srcs=tuple(replaced), params=self.params if params is None else params
        )
