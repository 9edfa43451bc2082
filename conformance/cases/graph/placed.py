"""A graph in a buffer: its records and messages by a dialect, and the conversations that run it or have it refused.

Rules
- All tensors lie in one buffer, SLOT bytes apart at least.
- A record's id is its place among the records, from 1, unless the tensor says another; a node that says another id is
  listed under that.
"""

import functools
import struct
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from conformance.cases.graph.build import Graph, Param, Tensor
from conformance.cases.talk import Buffer, allocate, get, greet, put, refused
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import MAIN, End, Mismatch, Receive, Reply, Send, Silence, Talk, require
from spec.dialect import TypeDef
from spec.schema import ParamEntry

__all__ = [
    "COUNT_BYTES",
    "ID_BYTES",
    "SLOT",
    "Placed",
    "again",
    "changed",
    "closed_or_served",
    "compute_flag",
    "computed",
    "equals",
    "message",
    "placed",
    "refuses",
    "results",
    "strides",
    "tail",
    "tolerates",
    "uid",
    "uploaded",
]

SLOT = 256
"""tensors begin at multiples of this many bytes of their buffer: every known device aligns to a divisor of it"""
DIMENSIONS = 4
WORD = 4
ID_BYTES = 8
COUNT_BYTES = 4
PARAM_FORMATS = {"i32": "<i", "f32": "<f", "u64": "<Q"}


def strides(kind: TypeDef, ne: Sequence[int]) -> tuple[int, ...]:
    """Byte strides of a tensor without gaps."""
    steps = [kind.bytes, kind.bytes * (ne[0] // kind.block)]
    for extent in ne[1:-1]:
        steps.append(steps[-1] * extent)
    return tuple(steps)


def _span(kind: TypeDef, ne: Sequence[int], nb: Sequence[int]) -> int:
    """TENSOR-4."""
    if 0 in ne:
        return 0
    row = kind.bytes + (ne[0] - 1) * nb[0] if kind.block == 1 else ne[0] * nb[0] // kind.block
    return row + sum((extent - 1) * step for extent, step in zip(ne[1:], nb[1:], strict=True))


@attrs.frozen(eq=False)
class Placed:
    """A graph in a buffer of a connection: its records and messages, by the codec's dialect."""

    codec: Codec
    graph: Graph
    buffer: Buffer

    @property
    def size(self) -> int:
        """Bytes that the buffer has to have."""
        return self._places[1]

    def nbytes(self, tensor: Tensor) -> int:
        """Bytes of a tensor, gaps included."""
        kind = self.codec.dialect.type(tensor.type)
        ne = _extents(tensor)
        return _span(kind, ne, tensor.nb or strides(kind, ne))

    def place(self, tensor: Tensor) -> int:
        """Where the tensor begins in the buffer."""
        return self._places[0][tensor]

    @functools.cached_property
    def _places(self) -> tuple[dict[Tensor, int], int]:
        places: dict[Tensor, int] = {}
        end = 0
        for tensor in self.graph.tensors:
            home = tensor.lies_in
            places[tensor] = end if home is None else places[home] + tensor.at
            if home is None:
                end += -(-max(self.nbytes(tensor), 1) // SLOT) * SLOT
        return places, end

    def records(self) -> tuple[bytes, ...]:
        """The records, in order."""
        places, _ = self._places
        ids = {tensor: at for at, tensor in enumerate(self.graph.tensors, 1)}
        return tuple(self._record(tensor, ids, places) for tensor in self.graph.tensors)

    def record(self, tensor: Tensor) -> bytes:
        """The record of one tensor."""
        return self.records()[self.graph.tensors.index(tensor)]

    def _record(self, tensor: Tensor, ids: Mapping[Tensor, int], places: Mapping[Tensor, int]) -> bytes:
        codec, dialect = self.codec, self.codec.dialect
        slots = dialect.structs["rpc_tensor"].field("src").count
        srcs = [0 if source is None else ids[source] for source in tensor.srcs]
        values: dict[str, Value] = {
            "id": ids[tensor],
            "type": dialect.type(tensor.type).number,
            "buffer": self.buffer.handle,
            "ne": _extents(tensor),
            "nb": tensor.nb or strides(dialect.type(tensor.type), _extents(tensor)),
            "op": dialect.op(tensor.op).number,
            "op_params": _words(codec, tensor),
            "flags": compute_flag(codec) if tensor.executes else 0,
            "src": (*srcs, *(0,) * (slots - len(srcs))),
            "view_src": 0 if tensor.lies_in is None else ids[tensor.lies_in],
            "view_offs": tensor.at,
            "data": self.buffer.base + places[tensor],
        }
        return codec.pack("rpc_tensor", {**values, **tensor.said})

    def node_ids(self) -> tuple[int, ...]:
        """The node list."""
        return self._listed(self.records())

    def _listed(self, records: Sequence[bytes]) -> tuple[int, ...]:
        by_tensor = dict(zip(self.graph.tensors, records, strict=True))
        return tuple(self.codec.read("rpc_tensor", "id", by_tensor[tensor]) for tensor in self.graph.nodes)

    def message(self, name: int = 1, device: int = 0) -> bytes:
        """The GRAPH_COMPUTE request; name: the graph's uid, where the dialect has one."""
        records = self.records()
        return message(self.codec, self._listed(records), records, name, device)


def message(codec: Codec, ids: Sequence[int], records: Sequence[bytes], name: int = 1, device: int = 0) -> bytes:
    """GRAPH_COMPUTE of any node ids and any records."""
    return codec.request(
        "GRAPH_COMPUTE", tail(ids, records), device=device, n_nodes=len(ids), **uid(codec, "GRAPH_COMPUTE", name)
    )


def tail(ids: Sequence[int], records: Sequence[bytes]) -> bytes:
    """What follows the fixed part (GRAPH-1)."""
    listed = b"".join(each.to_bytes(ID_BYTES, "little") for each in ids)
    return listed + len(records).to_bytes(COUNT_BYTES, "little") + b"".join(records)


def uid(codec: Codec, command: str, name: int) -> dict[str, Value]:
    """The field uid, where the command has one (GRAPH-25)."""
    struct = codec.dialect.command(command).request or ""
    return {"uid": name} if any(field.name == "uid" for field in codec.dialect.structs[struct].fields) else {}


def again(codec: Codec, name: int = 1, device: int = 0) -> bytes:
    """GRAPH_RECOMPUTE."""
    return codec.request("GRAPH_RECOMPUTE", device=device, **uid(codec, "GRAPH_RECOMPUTE", name))


def _extents(tensor: Tensor) -> tuple[int, ...]:
    return (*tensor.ne, *(1,) * (DIMENSIONS - len(tensor.ne)))


def compute_flag(codec: Codec) -> int:
    """The flag of a node that executes (GRAPH-12)."""
    return next(entry.value for entry in codec.dialect.enums["TensorFlag"].values if entry.name == "COMPUTE")


def _words(codec: Codec, tensor: Tensor) -> bytes:
    """op_params, by the words and types that spec/data gives to the op's parameters."""
    known = {param.name: param for param in codec.dialect.op(tensor.op).params}
    words = bytearray(codec.dialect.structs["rpc_tensor"].field("op_params").size)
    for name, value in tensor.params.items():
        packed = _packed(known[name], value)
        words[known[name].word * WORD : known[name].word * WORD + len(packed)] = packed
    return bytes(words)


def _packed(param: ParamEntry, value: Param) -> bytes:
    values = value if isinstance(value, tuple) else (value,)
    return b"".join(struct.pack(PARAM_FORMATS[param.type], each) for each in values)


def placed(codec: Codec, wanted: Graph, on: str = MAIN) -> Talk[Placed]:
    """On a greeted connection: allocate what the graph needs, upload the bytes of its leaves."""
    size = Placed(codec, wanted, Buffer(0, 0, 0)).size
    there = Placed(codec, wanted, (yield from allocate(codec, size, on)))
    yield from uploaded(there, on)
    return there


def uploaded(there: Placed, on: str = MAIN) -> Talk[None]:
    """SET_TENSOR of every tensor that has bytes."""
    for tensor, record in zip(there.graph.tensors, there.records(), strict=True):
        if tensor.data:
            yield from put(there.codec, record, tensor.data, on=on)


def results(there: Placed, on: str = MAIN) -> Talk[tuple[bytes, ...]]:
    """GET_TENSOR of every result."""
    bodies = []
    for tensor in there.graph.results:
        bodies.append((yield from get(there.codec, there.record(tensor), there.nbytes(tensor), on=on)))
    return tuple(bodies)


def computed(codec: Codec, wanted: Graph, on: str = MAIN) -> Talk[tuple[bytes, ...]]:
    """Greet, place the graph, run it, and read its results."""
    yield from greet(codec, on)
    there = yield from placed(codec, wanted, on)
    yield Send(there.message(), on)
    return (yield from results(there, on))


def changed(codec: Codec, record: bytes, **fields: Value) -> bytes:
    """A record with fields said otherwise."""
    return codec.pack("rpc_tensor", {**codec.unpack("rpc_tensor", record), **fields})


def refuses(make: Callable[[Codec], Graph], codec: Codec) -> Talk[None]:
    """The graph has to close the connection, unanswered."""
    yield from greet(codec)
    there = yield from placed(codec, make(codec))
    yield from refused(codec, there.message())


def tolerates(make: Callable[[Codec], Graph], codec: Codec) -> Talk[None]:
    """The graph may close the connection, and it may run: one of both has to happen."""
    yield from greet(codec)
    there = yield from placed(codec, make(codec))
    yield Send(there.message())
    yield from closed_or_served(codec)


def closed_or_served(codec: Codec, on: str = MAIN) -> Talk[None]:
    """Either is right, but one of them has to happen: the connection is closed, or goes on."""
    yield Send(codec.request("DEVICE_COUNT"), on)
    answer = yield Receive(on)
    is_served = isinstance(answer, Reply) and answer.declared == codec.size("device_count_rsp")
    if not is_served and not (isinstance(answer, End) and not answer.rest):
        raise Mismatch("the connection closed, or going on", str(answer), silent=isinstance(answer, Silence))


def equals(body: bytes, wanted: NDArray[np.float32]) -> None:
    """The result has to be these numbers exactly; Mismatch otherwise."""
    came = np.frombuffer(body, np.float32)
    require(bool((came == wanted.ravel()).all()), str(wanted.tolist()), came.tolist())
