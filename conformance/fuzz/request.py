"""A request by names, before it is bytes: fields as in spec/data, buffers named and not numbered.

Rules
- `Ref` stands wherever a handle or a base would: it becomes a number when the server has said which. All other values
  are numbers, runs of numbers or bytes; whatever does not fit its field is cut to it.
- A request says nothing twice: counts and the declared size follow from the rest unless they are said otherwise.
- Requests are values: a mutation makes another one.
"""

from collections.abc import Mapping
from typing import cast

import attrs

from conformance.fuzz.layout import Layout, Number
from conformance.fuzz.script import Fill, Message
from conformance.judge.codec import HEAD_BYTES, SIZE_BYTES
from spec.dialect import Dialect

__all__ = ["TENSOR", "Field", "Fields", "Nodes", "Packing", "Record", "Ref", "Request"]

TENSOR = "rpc_tensor"
ID_BYTES = 8
COUNT_BYTES = 4
TOP = 1 << 64


@attrs.frozen
class Ref:
    """The handle (`base` False) or the base of a buffer, plus a number."""

    buffer: str
    base: bool = False
    add: int = 0


Scalar = int | Ref
Record = Mapping[str, Scalar | bytes | tuple[int, ...]]
"""a tensor record: field > value"""
Field = Scalar | bytes | tuple[int, ...] | Record | tuple[Record, ...]
Fields = Mapping[str, Field]


@attrs.frozen(kw_only=True, eq=False)
class Nodes:
    """What follows the fixed part of GRAPH_COMPUTE; n_tensors None: as many as there are."""

    ids: tuple[int, ...]
    records: tuple[Record, ...]
    n_tensors: int | None = None


@attrs.frozen(kw_only=True, eq=False)
class Request:
    """One request. number: another command byte; declared: another size; cut: bytes of the body that are left away."""

    command: str
    fields: Fields = attrs.field(factory=dict)
    tail: bytes = b""
    graph: Nodes | None = None
    number: int | None = None
    declared: int | None = None
    cut: int = 0
    words: tuple[str, ...] = ()
    """what was mutated, for people"""

    def saying(self, words: str, **changes: object) -> "Request":
        """The request with attributes changed, and why."""
        return attrs.evolve(self, words=(*self.words, words), **changes)  # type: ignore[arg-type]

    @property
    def mutated(self) -> bool:
        """Whether anything was."""
        return bool(self.words)


class Packing:
    """Makes messages of requests, by one dialect."""

    def __init__(self, dialect: Dialect, structs: Mapping[str, Layout]) -> None:
        self._dialect = dialect
        self._structs = structs
        self._commands = {command.name: command for command in dialect.commands.values()}

    @property
    def probe(self) -> Message:
        """A DEVICE_COUNT: who answers it has served what was before."""
        return self.message(Request(command="DEVICE_COUNT"))

    def message(self, request: Request) -> Message:
        """The bytes of a request, and where buffers are named in them."""
        fills: list[Fill] = []
        body = self._body(request, fills)
        if request.cut:
            body = body[: max(len(body) - request.cut, 0)]
        declared = len(body) if request.declared is None else request.declared
        number = self._commands[request.command].number if request.number is None else request.number
        head = bytes([number]) + (declared % TOP).to_bytes(SIZE_BYTES, "little")
        kept = tuple(fill for fill in fills if fill.at + fill.width <= HEAD_BYTES + len(body))
        return Message(head + body, kept)

    def _body(self, request: Request, fills: list[Fill]) -> bytes:
        struct = self._commands[request.command].request
        parts = [self._struct(self._structs[struct], request.fields, HEAD_BYTES, fills)] if struct else []
        if request.graph is not None:
            parts.append(self._nodes(request.graph, HEAD_BYTES + len(parts[0]), fills))
        return b"".join(parts) + request.tail

    def _nodes(self, nodes: Nodes, at: int, fills: list[Fill]) -> bytes:
        ids = b"".join((each % TOP).to_bytes(ID_BYTES, "little") for each in nodes.ids)
        count = len(nodes.records) if nodes.n_tensors is None else nodes.n_tensors
        layout, begin = self._structs[TENSOR], at + len(ids) + COUNT_BYTES
        records = [
            self._struct(layout, record, begin + index * layout.size, fills)
            for index, record in enumerate(nodes.records)
        ]
        return b"".join((ids, count.to_bytes(COUNT_BYTES, "little"), *records))

    def _struct(self, layout: Layout, fields: Fields, at: int, fills: list[Fill]) -> bytes:
        return layout.pack({name: self._number(layout, name, value, at, fills) for name, value in fields.items()})

    def _number(self, layout: Layout, name: str, value: Field, at: int, fills: list[Fill]) -> Number:
        place = at + layout.field(name).offset
        if isinstance(value, Ref):
            fills.append(Fill(place, value.buffer, value.base, value.add))
            return 0
        if isinstance(value, Mapping):
            return self._struct(self._structs[TENSOR], value, place, fills)
        if isinstance(value, tuple) and value and isinstance(value[0], Mapping):
            tensor = self._structs[TENSOR]
            packed = [self._struct(tensor, each, place + i * tensor.size, fills) for i, each in enumerate(value)]
            return b"".join(packed).ljust(layout.field(name).size, b"\0")
        return cast(Number, value)
