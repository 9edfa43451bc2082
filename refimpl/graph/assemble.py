"""The part of building a graph that does not depend on the op: tensors, nodes, memory, and the message.

Rules:
- A tensor is made once and never changed. Its id is a serial number, not an address.
- Nodes run in the order in which they were made; an operand is always older than its reader, so that order is
  topological and the records of a message stand in post-order.
- A view owns no memory: it lies where its root lies, at `view_offs`.
- Leaves and what else outlives a run are placed by the caller; all other results are intermediates, for which one
  buffer is enough.

What goes wrong here is the caller's own mistake, hence ValueError and no ProtocolError.
"""

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.graph.layout import Shape, is_contiguous, natural_strides, span
from refimpl.graph.memory import Lifetime, plan
from refimpl.wire.tensor import GGML_MAX_DIMS, GGML_MAX_NAME, RPC_TENSOR, TensorRecords
from spec.names import Op, TensorFlag, Type

__all__ = ["Assembler", "Layout", "Tensor", "shape_of"]


def shape_of(ne: Sequence[int]) -> Shape:
    """One to four extents, filled up with 1. ValueError for anything else."""
    if not 1 <= len(ne) <= GGML_MAX_DIMS or min(ne) < 0:
        raise ValueError(f"{list(ne)}: a tensor has one to four extents, none of them negative")
    full = [*ne, 1, 1, 1]
    return full[0], full[1], full[2], full[3]


@attrs.frozen(eq=False, kw_only=True)
class Tensor:
    """One tensor of a graph under construction; two are equal only if they are the same object."""

    id: int
    """serial number from 1"""
    type: Type
    ne: Shape
    nb: Shape
    op: Op = Op.NONE
    params: tuple[int, ...] = ()
    """op_params words from the first; those left out are 0"""
    srcs: "tuple[Tensor | None, ...]" = attrs.field(default=(), repr=False)
    view_src: "Tensor | None" = attrs.field(default=None, repr=False)
    """the root of a view: a tensor that is itself no view"""
    view_offs: int = 0
    """first byte inside the root"""
    cast: bool = False
    """a message names the node itself behind its operands, as ggml has it in a copy that converts"""

    @property
    def root(self) -> "Tensor":
        """The tensor whose memory this one uses: itself, unless it is a view."""
        return self.view_src or self

    @property
    def nbytes(self) -> int:
        """Bytes from its first to its last byte."""
        return span(self.type, self.ne, self.nb)

    @property
    def elements(self) -> int:
        """Number of elements."""
        return self.ne[0] * self.ne[1] * self.ne[2] * self.ne[3]

    @property
    def contiguous(self) -> bool:
        """Whether its elements lie without gaps in logical order."""
        return is_contiguous(self.type, self.ne, self.nb)


@attrs.frozen
class Layout:
    """How a view looks at its source: extents, byte strides, and the byte of the source at which it begins."""

    ne: Shape
    nb: Shape
    offset: int = 0


@attrs.frozen
class _Place:
    handle: int
    address: int


class Assembler:
    """Tensors and nodes of one graph. GraphBuilder in define.py adds a method for each op."""

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self._names: dict[Tensor, str] = {}
        self._outputs: set[Tensor] = set()
        self._places: dict[Tensor, _Place] = {}
        self._offsets: dict[Tensor, int] = {}
        self._intermediates: _Place | None = None

    @property
    def nodes(self) -> tuple[Tensor, ...]:
        """What a run executes, in order."""
        return tuple(tensor for tensor in self._tensors if tensor.op != Op.NONE)

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """Weights, caches and inputs, in the order they were made."""
        return tuple(tensor for tensor in self._tensors if tensor.op == Op.NONE)

    def leaf(self, name: str, type: Type, ne: Sequence[int]) -> Tensor:
        """A tensor that the graph reads, or writes through a view, but does not make. ValueError for a bad shape."""
        shape = shape_of(ne)
        made = Tensor(id=self._next_id(), type=type, ne=shape, nb=natural_strides(type, shape))
        return self.named(self._add(made), name)

    def named(self, tensor: Tensor, name: str) -> Tensor:
        """Give `tensor` a name for messages, on both ends; returns it."""
        self._names[tensor] = name
        return tensor

    def name_of(self, tensor: Tensor) -> str:
        """The name that `tensor` was given, or nothing."""
        return self._names.get(tensor, "")

    def graft(self, node: Tensor, srcs: "Sequence[Tensor | None]", root: Tensor | None = None) -> Tensor:
        """A copy of a node of another graph that reads `srcs` of this one; `root` is the source of a view."""
        return self._add(attrs.evolve(node, id=self._next_id(), srcs=tuple(srcs), view_src=root))

    def output(self, tensor: Tensor) -> Tensor:
        """Keep `tensor`'s memory to the end of the run, so that it can be read afterwards; returns it."""
        self._outputs.add(tensor)
        self._offsets = {}
        return tensor

    def place(self, tensor: Tensor, handle: int, address: int) -> None:
        """Put a leaf, or a result that shall stay, at `address` (base plus offset) in buffer `handle`."""
        if tensor.view_src is not None:
            raise ValueError(f"{self.label(tensor)} is a view: it lies where its root lies")
        self._places[tensor] = _Place(handle, address)
        self._offsets.pop(tensor, None)

    def plan_memory(self, alignment: int) -> int:
        """Lay all intermediates into one buffer and return the bytes that it needs.

        Each starts at a multiple of `alignment`. Memory is used again as soon as no later node reads it;
        that of an output never is.
        """
        step = {tensor: index for index, tensor in enumerate(self.nodes)}
        last = dict(step)
        for tensor, index in step.items():
            for used in (tensor, *tensor.srcs):
                if used is not None:
                    last[used.root] = max(index, last.get(used.root, 0))
        for tensor in self._outputs:
            last[tensor.root] = len(step)
        owners = [tensor for tensor in step if tensor.view_src is None and tensor not in self._places]
        layout = plan([Lifetime(tensor.nbytes, step[tensor], last[tensor]) for tensor in owners], alignment)
        self._offsets = dict(zip(owners, layout.offsets, strict=True))
        return layout.total

    def place_intermediates(self, handle: int, base: int) -> None:
        """Put what `plan_memory` laid out into the buffer `handle`, whose first address is `base`."""
        self._intermediates = _Place(handle, base)

    def address_of(self, tensor: Tensor) -> tuple[int, int]:
        """Buffer handle and address of a tensor. ValueError if it has no place yet."""
        root = tensor.root
        place = self._places.get(root)
        if place is not None:
            return place.handle, place.address + tensor.view_offs
        if self._intermediates is None or root not in self._offsets:
            raise ValueError(f"{self.label(root)} has no memory: place it, or plan_memory and place_intermediates")
        return self._intermediates.handle, self._intermediates.address + self._offsets[root] + tensor.view_offs

    def label(self, tensor: Tensor) -> str:
        """A tensor in words."""
        name = self._names.get(tensor, "")
        return f"tensor {tensor.id} '{name}' ({tensor.op.name} {tensor.type.name} {list(tensor.ne)})"

    def message(self) -> tuple[NDArray[np.uint64], TensorRecords]:
        """Node ids (n,) in execution order and the records (t,) that they need, operands first.

        Every node has the COMPUTE flag; use_count is the number of times that nodes read the tensor. ValueError if a
        tensor has no place yet.
        """
        nodes = self.nodes
        reads = [source for node in nodes for source in node.srcs if source is not None]
        needed = {*nodes, *reads, *(tensor.root for tensor in reads), *(node.root for node in nodes)}
        listed = [tensor for tensor in self._tensors if tensor in needed]
        records = np.zeros(len(listed), RPC_TENSOR)
        records["use_count"] = self._use_counts(listed, reads)
        for record, tensor in zip(records, listed, strict=True):
            self._fill(record, tensor)
        return np.array([node.id for node in nodes], np.uint64), records

    def _use_counts(self, listed: list[Tensor], reads: list[Tensor]) -> list[int]:
        counts = dict.fromkeys(listed, 0)
        for tensor in reads:
            counts[tensor] += 1
        return list(counts.values())

    def _fill(self, record: np.void, tensor: Tensor) -> None:
        for field in ("id", "type", "ne", "op", "view_offs"):
            record[field] = getattr(tensor, field)
        record["nb"] = [stride & 0xFFFF_FFFF for stride in tensor.nb]
        record["buffer"], record["data"] = self.address_of(tensor)
        record["op_params"][: len(tensor.params)] = tensor.params
        srcs = (*tensor.srcs, tensor) if tensor.cast else tensor.srcs
        record["src"][: len(srcs)] = [source.id if source else 0 for source in srcs]
        record["view_src"] = tensor.view_src.id if tensor.view_src else 0
        record["name"] = self._names.get(tensor, "").encode()[: GGML_MAX_NAME - 1]
        record["flags"] = (TensorFlag.COMPUTE if tensor.op != Op.NONE else 0) | (
            TensorFlag.OUTPUT if tensor in self._outputs else 0
        )

    def _result(
        self,
        op: Op,
        type: Type,
        ne: Sequence[int],
        srcs: Sequence[Tensor | None],
        params: Sequence[int] = (),
        cast: bool = False,
    ) -> Tensor:
        """A node with memory of its own, contiguous."""
        shape = shape_of(ne)
        made = Tensor(
            id=self._next_id(),
            type=type,
            ne=shape,
            nb=natural_strides(type, shape),
            op=op,
            params=tuple(params),
            srcs=tuple(srcs),
            cast=cast,
        )
        return self._add(made)

    def _view(
        self, op: Op, source: Tensor, layout: Layout, srcs: Sequence[Tensor] = (), params: Sequence[int] = ()
    ) -> Tensor:
        """A node that looks at `source`'s memory; `srcs` are its operands, `source` itself if there are none given."""
        made = Tensor(
            id=self._next_id(),
            type=source.type,
            ne=layout.ne,
            nb=layout.nb,
            op=op,
            srcs=tuple(srcs) or (source,),
            params=tuple(params),
            view_src=source.root,
            view_offs=source.view_offs + layout.offset,
        )
        if made.elements and made.view_offs + made.nbytes > source.root.nbytes:
            raise ValueError(f"{self.label(made)} leaves the {source.root.nbytes} bytes of {self.label(source.root)}")
        return self._add(made)

    def _next_id(self) -> int:
        return self._tensors[-1].id + 1 if self._tensors else 1

    def _add(self, tensor: Tensor) -> Tensor:
        self._tensors.append(tensor)
        self._offsets = {}
        return tensor
