"""Bytes <-> messages for one dialect.

Rules:
- A request is a head (command byte, body size), a fixed part and perhaps a tail; a reply is a head (body size) and a
  body. Layouts come from spec/data through layout.py.
- Bulk bytes are never handled: their size is in the head, and whoever has them writes or reads them.
- Sizes are Python integers and are compared before anything is stored or converted.
- Bytes behind a graph's last record are tolerated and dropped (GRAPH-3).
- FrameError is the peer's fault; ValueError is ours: a message that this dialect cannot carry.
"""

from typing import Any

import attrs
import numpy as np

from refimpl.errors import FrameError
from refimpl.limits import Limits
from refimpl.wire.layout import N_TENSORS, NODE_IDS, REPLY_HEAD, REQUEST_HEAD, Layout
from refimpl.wire.messages import REPLIES, REQUESTS, GraphCompute, Reply, Request, TensorData
from refimpl.wire.tensor import RPC_TENSOR
from spec.dialect import CommandDef, Dialect
from spec.names import Command

__all__ = ["Codec"]

NOT_IN_STRUCT = frozenset({"size", "nodes", "tensors", "body"})
"""attributes of requests that the head or the tail carries"""


def _values(message: Request | Reply) -> dict[str, Any]:
    """Attribute name > value; not attrs.asdict, which would copy records."""
    return {field.name: getattr(message, field.name) for field in attrs.fields(type(message))}


@attrs.frozen
class _Shape:
    """What the codec knows about one command of the dialect."""

    tail: str | None
    """what follows the fixed part: "bytes", "graph" or nothing"""
    request: Layout
    reply: Layout | None
    bounds: tuple[int, int]
    request_class: type[Request]
    reply_class: type[Reply] | None
    """None: not answered"""
    absent: tuple[str, ...]
    """attributes of the request class that this dialect lacks; they are 0"""


def _shape(dialect: Dialect, definition: CommandDef, limits: Limits) -> _Shape:
    command = Command(definition.number)
    layout = Layout(dialect.structs[definition.request] if definition.request else None)
    carried = NOT_IN_STRUCT.union(layout.names)
    request_class = REQUESTS[command]
    if definition.reply == "empty":
        raise ValueError(f"protocol {dialect.name} answers {command.name} with an empty frame: no message class for it")
    reply_struct = definition.reply if definition.reply not in (None, "bytes") else None
    return _Shape(
        definition.tail,
        layout,
        Layout(dialect.structs[reply_struct]) if reply_struct else None,
        _bounds(definition, layout.size, limits),
        request_class,
        REPLIES[command] if definition.answered else None,
        tuple(field.name for field in attrs.fields(request_class) if field.name not in carried),
    )


def _bounds(definition: CommandDef, fixed: int, limits: Limits) -> tuple[int, int]:
    """Smallest and largest body of a request."""
    if definition.tail == "bytes":
        return fixed, fixed + limits.tensor_bytes
    if definition.tail == "graph":
        largest = limits.graph_nodes * NODE_IDS.itemsize + limits.graph_tensors * RPC_TENSOR.itemsize
        return fixed + N_TENSORS.size, min(fixed + N_TENSORS.size + largest, limits.graph_bytes)
    return fixed, fixed


class Codec:
    """The messages of one dialect. Immutable after construction; one instance may serve any number of connections."""

    def __init__(self, dialect: Dialect, limits: Limits) -> None:
        self.dialect = dialect
        self._limits = limits
        self._shapes = {number: _shape(dialect, definition, limits) for number, definition in dialect.commands.items()}

    def request_bounds(self, command: int) -> tuple[int, int]:
        """Smallest and largest body that a request may declare; FrameError (FRAME-4) for an unknown command byte."""
        return self._shape(command).bounds

    def check_known(self, command: int) -> None:
        """FrameError (FRAME-4) for a command byte that the dialect does not have."""
        self._shape(command)

    def check_size(self, command: int, size: int) -> None:
        """Refuse a body size on the strength of the 9-byte head alone: FrameError FRAME-4 or FRAME-5."""
        low, high = self._shape(command).bounds
        if not low <= size <= high:
            allowed = f"{low}" if low == high else f"{low} to {high}"
            raise FrameError("FRAME-5", f"{Command(command).name} declares a body of {size} bytes; allowed: {allowed}")

    def has_bulk(self, command: int) -> bool:
        """Whether bulk bytes, perhaps none of them, follow the fixed part of the request."""
        return self._shape(command).tail == "bytes"

    def fixed_bytes(self, command: int, size: int) -> int:
        """How many of the `size` body bytes must be there to decode the request: all but bulk."""
        shape = self._shape(command)
        return shape.request.size if shape.tail == "bytes" else size

    def has_reply(self, request: Request) -> bool:
        """Whether this dialect answers the request."""
        return self._shape(request.command).reply_class is not None

    def reply_size(self, request: Request) -> int:
        """Body size that the reply to `request` must have."""
        shape = self._shape(request.command)
        if request.reply_bytes is not None:
            return request.reply_bytes
        return shape.reply.size if shape.reply else 0

    def decode_request(self, command: int, body: bytes, payload: int = 0) -> Request:
        """`body`: the request without bulk; `payload`: how many bulk bytes the head declares behind it.

        Raises FrameError when the body contradicts its own counts. `body` is kept: records are views of it.
        """
        shape = self._shape(command)
        if len(body) < shape.request.size:
            raise FrameError("FRAME-5", f"{Command(command).name} has {len(body)} of {shape.request.size} bytes")
        values = shape.request.unpack(body)
        for name in shape.absent:
            values[name] = 0
        if shape.tail == "graph":
            return self._decode_graph(values, body, shape.request.size)
        if shape.tail == "bytes":
            values.setdefault("size", payload)
        request = shape.request_class(**values)
        if request.payload_bytes != payload:
            raise FrameError(
                "STRIDED-4", f"{Command(command).name} carries {payload} bytes, not {request.payload_bytes}"
            )
        return request

    def encode_request(self, request: Request) -> bytes:
        """Head and body, without bulk bytes; the head's size counts them. ValueError if the dialect cannot carry it."""
        shape = self._shapes.get(request.command)
        if shape is None:
            raise ValueError(f"protocol {self.dialect.name} has no {request.command.name}")
        values = _values(request)
        for name in shape.absent:
            if values[name]:
                raise ValueError(
                    f"protocol {self.dialect.name} cannot carry {name} = {values[name]} of {request.command.name}"
                )
        tail = b""
        if isinstance(request, GraphCompute):
            values["n_nodes"] = len(request.nodes)
            tail = self._encode_graph_tail(request)
        body = shape.request.pack(values) + tail
        return REQUEST_HEAD.pack(request.command, len(body) + request.payload_bytes) + body

    def decode_reply(self, request: Request, body: bytes) -> Reply:
        """The reply to `request` from its whole body; bulk replies have no body to decode and are TensorData."""
        shape = self._shape(request.command)
        if request.reply_bytes is not None:
            return TensorData(request.reply_bytes)
        if shape.reply is None or shape.reply_class is None or len(body) != shape.reply.size:
            raise FrameError("FRAME-6", f"{request.command.name} is not answered with {len(body)} bytes")
        return shape.reply_class(**shape.reply.unpack(body))

    def encode_reply(self, reply: Reply) -> bytes:
        """Head and body, without bulk bytes; the head's size counts them."""
        if isinstance(reply, TensorData):
            return REPLY_HEAD.pack(reply.size)
        shape = self._shapes.get(reply.command)
        if shape is None or shape.reply is None:
            raise ValueError(f"protocol {self.dialect.name} does not answer {reply.command.name}")
        return REPLY_HEAD.pack(shape.reply.size) + shape.reply.pack(_values(reply))

    def answers(self, request: Request, reply: Reply) -> bool:
        """Whether `reply` is what `request` may be answered with: its class, and its length where that is bulk."""
        if isinstance(reply, TensorData):
            return reply.size == request.reply_bytes
        return type(reply) is self._shape(request.command).reply_class

    def _shape(self, command: int) -> _Shape:
        try:
            return self._shapes[command]
        except KeyError:
            raise FrameError("FRAME-4", f"command byte {command} is unknown in protocol {self.dialect.name}") from None

    def _decode_graph(self, values: dict[str, Any], body: bytes, fixed: int) -> GraphCompute:
        n_nodes = values.pop("n_nodes")
        if n_nodes > self._limits.graph_nodes:
            raise FrameError("GRAPH-2", f"{n_nodes} nodes are over limits.graph_nodes = {self._limits.graph_nodes}")
        counted = fixed + n_nodes * NODE_IDS.itemsize
        if counted + N_TENSORS.size > len(body):
            raise FrameError("GRAPH-2", f"{n_nodes} nodes do not fit a body of {len(body)} bytes")
        (n_tensors,) = N_TENSORS.unpack_from(body, counted)
        if n_tensors > self._limits.graph_tensors:
            raise FrameError(
                "GRAPH-2", f"{n_tensors} tensors are over limits.graph_tensors = {self._limits.graph_tensors}"
            )
        start = counted + N_TENSORS.size
        if start + n_tensors * RPC_TENSOR.itemsize > len(body):
            raise FrameError(
                "GRAPH-2", f"{n_nodes} nodes and {n_tensors} tensors do not fit a body of {len(body)} bytes"
            )
        return GraphCompute(
            device=values["device"],
            uid=values["uid"],
            nodes=np.frombuffer(body, NODE_IDS, n_nodes, fixed),
            tensors=np.frombuffer(body, RPC_TENSOR, n_tensors, start),
            body=body,
        )

    def _encode_graph_tail(self, request: GraphCompute) -> bytes:
        if request.tensors.dtype != RPC_TENSOR:
            raise ValueError(f"tensors holds {request.tensors.dtype}, not RPC_TENSOR")
        nodes = np.asarray(request.nodes, NODE_IDS).tobytes()
        return nodes + N_TENSORS.pack(len(request.tensors)) + request.tensors.tobytes()
