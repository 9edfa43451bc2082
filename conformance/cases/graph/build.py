"""Small graphs as values. What they are on the wire, and the conversation that runs one, stand in placed.py.

    x = held(np.arange(12, dtype=np.float32).reshape(3, 4))       # a leaf with its bytes
    y = node("ADD", "F32", (4, 3), x, x)                          # an op's result
    (body,) = yield from computed(codec, graph(y))                # its bytes after the run

Rules
- A tensor is a value compared by identity; it names types, ops and parameters by their names in spec/data, so the same
  value stands for a record in every dialect that has them.
- Whatever a record holds can be said otherwise: `said` replaces fields by name, after everything else is worked out.
- A view, and a result that is written `onto` another tensor, lie where that one lies; every other tensor has a place of
  its own. Extents are given fastest first, as on the wire; numpy's shapes are the reverse.
"""

from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from conformance.judge.codec import Value

__all__ = ["Graph", "Param", "Tensor", "graph", "held", "leaf", "node", "view"]

TYPES_OF_ARRAYS = {
    "float32": "F32",
    "float16": "F16",
    "float64": "F64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
}

Param = int | float | tuple[int, ...]


@attrs.frozen(kw_only=True, eq=False)
class Tensor:
    """One record: `data` is uploaded before the run; `nb` None means without gaps; `lies_in` is its view_src."""

    type: str
    ne: tuple[int, ...]
    op: str = "NONE"
    srcs: tuple["Tensor | None", ...] = ()
    params: Mapping[str, Param] = attrs.field(factory=dict)
    nb: tuple[int, ...] | None = None
    lies_in: "Tensor | None" = None
    at: int = 0
    """bytes from the beginning of `lies_in`"""
    data: bytes = b""
    executes: bool = False
    """whether it carries the flag COMPUTE"""
    said: Mapping[str, Value] = attrs.field(factory=dict)

    def saying(self, **fields: Value) -> "Tensor":
        """The same tensor with record fields said otherwise: another value, to be used in its stead."""
        return attrs.evolve(self, said={**self.said, **fields})


def leaf(kind: str, ne: Sequence[int], data: bytes = b"") -> Tensor:
    """A tensor that holds `data`, or whatever its memory holds."""
    return Tensor(type=kind, ne=tuple(ne), data=data)


def held(array: NDArray[np.generic]) -> Tensor:
    """A leaf with an array's elements, type and extents; array (..., n1, n0)."""
    return leaf(TYPES_OF_ARRAYS[array.dtype.name], array.shape[::-1] or (1,), np.ascontiguousarray(array).tobytes())


def node(
    op: str,
    kind: str,
    ne: Sequence[int],
    *srcs: Tensor | None,
    params: Mapping[str, Param] | None = None,
    onto: Tensor | None = None,
) -> Tensor:
    """A result that is computed: slot i of the operands is srcs[i]; `onto` makes it share the bytes of that tensor."""
    return Tensor(type=kind, ne=tuple(ne), op=op, srcs=srcs, params=params or {}, lies_in=onto, executes=True)


def view(of: Tensor, ne: Sequence[int], nb: Sequence[int] | None = None, at: int = 0, op: str = "VIEW") -> Tensor:
    """Some bytes of a tensor as another one, by VIEW, RESHAPE, PERMUTE or TRANSPOSE; it carries COMPUTE."""
    places = None if nb is None else tuple(nb)
    return Tensor(type=of.type, ne=tuple(ne), op=op, srcs=(of,), nb=places, lies_in=of, at=at, executes=True)


@attrs.frozen(kw_only=True, eq=False)
class Graph:
    """Records in order, and which of them make up the node list, in order; results: what is read after the run."""

    tensors: tuple[Tensor, ...]
    nodes: tuple[Tensor, ...]
    results: tuple[Tensor, ...]

    def id_of(self, tensor: Tensor) -> int:
        """The id that the tensor's record has unless it says otherwise: its place among the records, from 1."""
        return self.tensors.index(tensor) + 1

    def replacing(self, old: Tensor, new: Tensor) -> "Graph":
        """The same graph with another record in the place of one; references to the old one mean the new one."""
        instead: dict[Tensor, Tensor] = {}
        for tensor in self.tensors:
            instead[tensor] = new if tensor is old else _referring(tensor, instead)
        return Graph(
            tensors=tuple(instead.values()),
            nodes=tuple(instead[tensor] for tensor in self.nodes),
            results=tuple(instead[tensor] for tensor in self.results),
        )


def _referring(tensor: Tensor, instead: Mapping[Tensor, Tensor]) -> Tensor:
    """The tensor itself when nothing that it refers to has been replaced."""
    srcs = tuple(other and instead.get(other, other) for other in tensor.srcs)
    home = tensor.lies_in and instead.get(tensor.lies_in, tensor.lies_in)
    if srcs == tensor.srcs and home is tensor.lies_in:
        return tensor
    return attrs.evolve(tensor, srcs=srcs, lies_in=home)


def graph(*wanted: Tensor, nodes: Sequence[Tensor] | None = None) -> Graph:
    """The graph that computes these: they and all that they refer to, operands first.

    The node list has every record with an op but NONE, as clients send it, unless it is given.
    """
    tensors = _closure(wanted)
    listed = tuple(tensor for tensor in tensors if tensor.op != "NONE") if nodes is None else tuple(nodes)
    return Graph(tensors=tensors, nodes=listed, results=wanted)


def _closure(wanted: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """Depth first without recursion: a chain may be long."""
    seen: dict[Tensor, None] = {}
    open_ = [(tensor, False) for tensor in reversed(tuple(wanted))]
    while open_:
        tensor, is_ready = open_.pop()
        if is_ready:
            seen[tensor] = None
        elif tensor not in seen:
            open_.append((tensor, True))
            open_ += [(other, False) for other in reversed(_referred(tensor)) if other not in seen]
    return tuple(seen)


def _referred(tensor: Tensor) -> tuple[Tensor, ...]:
    return tuple(other for other in (*tensor.srcs, tensor.lies_in) if other is not None)
