"""Tensor records and graphs out of the bodies of requests."""

from collections.abc import Iterator

import attrs

from conformance.client.hostile.conversation import Asked
from conformance.judge.codec import Codec, Value, number

__all__ = ["RECORD", "Graph", "Record", "fields_of", "graph_of", "record_of", "records_of"]

RECORD = "rpc_tensor"
NODE_ID_BYTES = 8
COUNT_BYTES = 4


@attrs.frozen(kw_only=True)
class Record:
    """A tensor record, read."""

    raw: bytes
    id: int
    type: int
    buffer: int
    ne: tuple[int, ...]
    nb: tuple[int, ...]
    op: int
    flags: int
    src: tuple[int, ...]
    view_src: int
    view_offs: int
    data: int
    name: bytes

    @property
    def elements(self) -> int:
        """Product of the extents."""
        product = 1
        for extent in self.ne:
            product *= extent
        return product

    @property
    def references(self) -> tuple[int, ...]:
        """Ids of the records that it names."""
        return tuple(each for each in (*self.src, self.view_src) if each)

    def span(self, codec: Codec) -> int:
        """Bytes from the first to the last one (TENSOR-4); 0 for a type that the dialect does not have."""
        kind = codec.dialect.types.get(self.type)
        if kind is None or self.elements == 0:
            return 0
        row = kind.bytes + (self.ne[0] - 1) * self.nb[0]
        if kind.block > 1:
            row = self.ne[0] * self.nb[0] // kind.block
        return row + sum((self.ne[dim] - 1) * self.nb[dim] for dim in range(1, len(self.ne)))

    def __str__(self) -> str:
        name = self.name.split(b"\0")[0].decode("utf-8", "replace")
        return f"tensor {name!r}" if name else f"tensor {self.id:#x}"


@attrs.frozen(kw_only=True)
class Graph:
    """GRAPH_COMPUTE, read. rest: bytes behind the last record; negative where it is not whole."""

    device: int
    uid: int
    nodes: tuple[int, ...]
    tensors: tuple[Record, ...]
    rest: int

    @property
    def by_id(self) -> dict[int, Record]:
        """Records by id."""
        return {record.id: record for record in self.tensors}


def fields_of(codec: Codec, asked: Asked) -> dict[str, Value]:
    """The fixed part of a request; empty when it has none, or not all of it is there."""
    struct = codec.dialect.command(asked.command).request
    if struct is None or len(asked.body) < codec.size(struct):
        return {}
    return codec.unpack(struct, asked.body[: codec.size(struct)])


def records_of(codec: Codec, asked: Asked) -> Iterator[Record]:
    """Every record of a request, those of a graph and absent ones included."""
    size = codec.size(RECORD)
    for value in fields_of(codec, asked).values():
        if isinstance(value, bytes) and value and len(value) % size == 0:
            yield from (record_of(codec, value[at : at + size]) for at in range(0, len(value), size))
    if asked.command == "GRAPH_COMPUTE":
        yield from graph_of(codec, asked).tensors


def graph_of(codec: Codec, asked: Asked) -> Graph:
    """A graph, as far as its body goes."""
    body, fixed, size = asked.body, codec.fixed_bytes(asked.command), codec.size(RECORD)
    values = fields_of(codec, asked)
    device, uid, n_nodes = (_number(values.get(name, 0)) for name in ("device", "uid", "n_nodes"))
    counted = fixed + n_nodes * NODE_ID_BYTES
    n_tensors = number(body[counted : counted + COUNT_BYTES])
    begin = counted + COUNT_BYTES
    return Graph(
        device=device,
        uid=uid,
        nodes=tuple(
            number(body[at : at + NODE_ID_BYTES]) for at in range(fixed, min(counted, len(body)), NODE_ID_BYTES)
        ),
        tensors=tuple(record_of(codec, body[at : at + size]) for at in _whole(begin, n_tensors, size, len(body))),
        rest=len(body) - begin - n_tensors * size,
    )


def _whole(begin: int, count: int, size: int, end: int) -> range:
    """Where the records begin that are there in whole."""
    return range(begin, begin + min(count, max(0, end - begin) // size) * size, size)


def record_of(codec: Codec, raw: bytes) -> Record:
    """One record."""
    values = codec.unpack(RECORD, raw)
    name = values["name"]
    return Record(
        raw=raw,
        id=_number(values["id"]),
        type=_number(values["type"]),
        buffer=_number(values["buffer"]),
        ne=_numbers(values["ne"]),
        nb=_numbers(values["nb"]),
        op=_number(values["op"]),
        flags=_number(values["flags"]),
        src=_numbers(values["src"]),
        view_src=_number(values["view_src"]),
        view_offs=_number(values["view_offs"]),
        data=_number(values["data"]),
        name=name if isinstance(name, bytes) else b"",
    )


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _numbers(value: Value) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else ()
