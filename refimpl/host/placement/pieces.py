"""A stage's graph cut into pieces, each for one device.

A stage has a home; without -ot all of its weights are there and the graph stays whole, as one piece. A weight that -ot
puts elsewhere takes the node that reads it along:
- a node runs where its weight is, and at home if it touches the cache;
- a node with neither runs where all of its operands were made, and at home if they were made in several places;
- views cost nothing and are made again wherever they are read.
Nodes keep their order, so that writes to the cache come before reads. Neighbours on one device make one piece; what a
later piece reads of it comes back to this process and goes out again as an input. Every piece costs a round trip.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

import attrs

from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.host.backends.packing import aligned, pack
from refimpl.model.llama import LlamaGraph
from spec.names import Op

__all__ = ["Piece", "ScratchLayout", "cut", "result_name"]

VIEWS = frozenset({Op.RESHAPE, Op.VIEW, Op.PERMUTE, Op.TRANSPOSE})


@attrs.frozen(eq=False)
class Piece:
    """A run of nodes on one device, as a graph of its own."""

    device: int
    builder: GraphBuilder
    inputs: dict[str, Tensor] = attrs.field(factory=dict)
    """inputs of the stage by their names, results of earlier pieces by `result_name`"""
    weights: dict[str, Tensor] = attrs.field(factory=dict)
    cache: dict[str, Tensor] = attrs.field(factory=dict)
    results: dict[str, Tensor] = attrs.field(factory=dict)
    """by `result_name`: what later pieces or the reader of the stage want"""


def result_name(tensor: Tensor) -> str:
    """Name of a result of a stage's graph outside its piece."""
    return f"result_{tensor.id}"


def cut(builder: GraphBuilder, graph: LlamaGraph, home: int, where: Mapping[str, int]) -> tuple[Piece, ...]:
    """Pieces in the order in which they have to run; `where` has the device of each weight that is not at home."""
    return _Cutter(builder, graph, home, where).pieces()


@attrs.frozen(eq=False)
class ScratchLayout:
    """Offsets inside a scratch block, in bytes: inputs from 0 on, then the results, then the intermediates."""

    inputs: Mapping[str, int]
    results: Mapping[str, int]
    start: int
    """first byte of the results"""
    intermediates: int
    total: int

    @classmethod
    def of(cls, piece: Piece, alignment: int) -> "ScratchLayout":
        inputs, start = _side_by_side(piece.inputs, alignment, 0)
        results, intermediates = _side_by_side(piece.results, alignment, start)
        for tensor in piece.results.values():
            piece.builder.place(tensor, 0, 0)  # anywhere but among the intermediates
        total = intermediates + piece.builder.plan_memory(alignment)
        return cls(inputs, results, start, intermediates, total)


def _side_by_side(tensors: Mapping[str, Tensor], alignment: int, start: int) -> tuple[dict[str, int], int]:
    """Offset of each tensor, one after the other from `start` on, and the first byte behind them."""
    sizes = [tensor.nbytes for tensor in tensors.values()]
    room = sum(aligned(size, alignment) for size in sizes)
    slots = pack(sizes, alignment, room).slots
    return {name: start + slot.offset for name, slot in zip(tensors, slots, strict=True)}, start + room


class _Cutter:
    """One graph on its way into pieces."""

    def __init__(self, builder: GraphBuilder, graph: LlamaGraph, home: int, where: Mapping[str, int]) -> None:
        self.builder, self.graph, self.home, self.where = builder, graph, home, where
        self.weights = {tensor: name for name, tensor in graph.weights.items()}
        self.cache = {tensor: name for name, tensor in graph.cache.items()}
        self.device: dict[Tensor, int] = {}
        """of every node that computes"""
        self.owners: dict[str, tuple[Piece, Tensor]] = {}
        """of every result"""

    def pieces(self) -> tuple[Piece, ...]:
        for node in self.builder.nodes:
            if node.op not in VIEWS:
                self.device[node] = self.device_of(node)
        pieces = [self.piece(device, list(run)) for device, run in groupby(self.device, self.device.__getitem__)]
        self.keep(result_name(self.graph.output))
        for piece in pieces:
            for name in piece.inputs.keys() & self.owners.keys():
                self.keep(name)
        return tuple(pieces)

    def device_of(self, node: Tensor) -> int:
        roots = [source.root for source in node.srcs if source is not None]
        if any(root in self.cache for root in (*roots, node.root)):
            return self.home
        for root in roots:
            if root in self.weights:
                return self.where.get(self.weights[root], self.home)
        made = {self.device[root] for root in roots if root in self.device}
        return made.pop() if len(made) == 1 else self.home

    def piece(self, device: int, nodes: Sequence[Tensor]) -> Piece:
        """A graph of these nodes and all that they read."""
        copier = _Copier(Piece(device, GraphBuilder()), self.builder, self.graph, frozenset(nodes))
        for node in nodes:
            self.owners[result_name(node)] = copier.piece, copier.copy(node)
        return copier.piece

    def keep(self, name: str) -> None:
        """Have a piece keep a result that is wanted outside."""
        piece, tensor = self.owners[name]
        piece.results[name] = piece.builder.output(tensor)


@attrs.frozen(eq=False)
class _Copier:
    """Fills one piece with copies of nodes, and of the views and leaves that they read."""

    piece: Piece
    builder: GraphBuilder
    graph: LlamaGraph
    own: frozenset[Tensor]
    """nodes that compute here; other nodes' results come in as leaves"""
    known: dict[Tensor, Tensor] = attrs.field(factory=dict)

    def copy(self, tensor: Tensor) -> Tensor:
        if tensor not in self.known:
            here = tensor in self.own or tensor.op in VIEWS
            self.known[tensor] = self.grafted(tensor) if here else self.leaf(tensor)
        return self.known[tensor]

    def grafted(self, tensor: Tensor) -> Tensor:
        srcs = [None if source is None else self.copy(source) for source in tensor.srcs]
        root = None if tensor.view_src is None else self.copy(tensor.view_src)
        return self.piece.builder.named(self.piece.builder.graft(tensor, srcs, root), self.builder.name_of(tensor))

    def leaf(self, tensor: Tensor) -> Tensor:
        name = self.builder.name_of(tensor)
        if name in self.graph.weights and self.graph.weights[name] is tensor:
            into = self.piece.weights
        elif name in self.graph.cache and self.graph.cache[name] is tensor:
            into = self.piece.cache
        else:
            into = self.piece.inputs
            name = name if self.graph.inputs.get(name) is tensor else result_name(tensor)
        into[name] = self.piece.builder.leaf(name, tensor.type, tensor.ne)
        return into[name]
