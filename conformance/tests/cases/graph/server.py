"""The right server of graphs: it checks what graph.md asks for, and computes ADD, CONT, CPY, GET_ROWS, MUL_MAT and SQR.

Rules
- Every clause has a method, named in its docstring, so that a wrong server overrides one.
- It takes graphs of at most MOST records: what it does not compute is no slower for being long.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.judge.codec import Value
from conformance.tests.cases.graph.records import ARRAYS, Record, Records, array, parsed
from conformance.tests.cases.miniature.memory import Memory
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import Refused
from spec.dialect import OpDef, TypeDef
from spec.names import TensorFlag

__all__ = ["MOST", "GraphSession", "Prepared"]

MOST = 1000
SET_OF_UIDS = 1024
CAST_SLOT = 1

Prepared = tuple[tuple[int, ...], Records]
"""node ids, and records by id"""


class GraphSession(Session):
    """A connection."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.known: dict[int, Prepared] = {}
        self.uids: set[int] = set()

    async def act(self, name: str, values: Mapping[str, Value], tail: bytes) -> bytes | None:
        """One graph after the other; a small one takes no time at all."""
        async with self.world.device:
            return await Memory.act(self, name, values, tail)

    def on_graph_compute(self, tail: bytes, device: int, n_nodes: int, uid: int = 1) -> None:
        prepared = self.prepared(tail, n_nodes)
        if self.is_remembered(uid):
            self.remember(uid, prepared)
        self.run_graph(prepared)

    def on_graph_recompute(self, tail: bytes, device: int, uid: int = 1) -> None:
        self.run_graph(self.recalled(uid))

    def is_remembered(self, uid: int) -> bool:
        """GRAPH-25."""
        return uid != 0

    def remember(self, uid: int, prepared: Prepared) -> None:
        """GRAPH-26."""
        if uid not in self.uids and len(self.uids) >= SET_OF_UIDS:
            self.empty_the_set()
        self.uids.add(uid)
        self.known[uid] = prepared

    def empty_the_set(self) -> None:
        self.uids.clear()
        self.known.clear()

    def recalled(self, uid: int) -> Prepared:
        """GRAPH-23."""
        if uid not in self.known:
            raise Refused
        return self.known[uid]

    def forget(self, handle: int) -> None:
        """GRAPH-24."""
        self.known = {uid: each for uid, each in self.known.items() if not self.lies_in(each, handle)}

    def lies_in(self, prepared: Prepared, handle: int) -> bool:
        return any(record.number("buffer") == handle for record in prepared[1].values())

    def prepared(self, tail: bytes, n_nodes: int) -> Prepared:
        """All that can be said of a graph before it runs."""
        self.check(self.is_admitted(len(tail) // self.codec.size("rpc_tensor")))
        message = self.parsed(tail, n_nodes)
        if message is None:
            raise Refused
        ids, records = message
        by_id = self.by_id(records)
        self.check_nodes(ids, by_id)
        for record in records:
            self.check_references(record, by_id)
        self.check_order(ids, by_id)
        for record in records:
            self.check_place(record)
            self.check_view(record, by_id)
        for record in self.running(ids, by_id):
            self.check_running(record, by_id)
        return ids, by_id

    def is_admitted(self, records: int) -> bool:
        return records <= MOST

    def parsed(self, tail: bytes, n_nodes: int) -> tuple[tuple[int, ...], tuple[Record, ...]] | None:
        """GRAPH-1, 2."""
        return parsed(self.codec, tail, n_nodes)

    def by_id(self, records: Iterable[Record]) -> Records:
        """GRAPH-5."""
        found: Records = {}
        for record in records:
            self.check(self.is_new(record.number("id"), found))
            found[record.number("id")] = record
        return found

    def is_new(self, number: int, found: Records) -> bool:
        return number != 0 and number not in found

    def check_nodes(self, ids: tuple[int, ...], records: Records) -> None:
        """GRAPH-6, 10."""
        self.check(all(node in records for node in ids))
        self.check_once(ids)
        for node in ids:
            op = self.op_of(records[node])
            self.check(op is None or self.is_acceptable(op))

    def check_once(self, ids: tuple[int, ...]) -> None:
        self.check(len(set(ids)) == len(ids))

    def is_acceptable(self, op: OpDef) -> bool:
        return not op.never_accepted

    def check_references(self, record: Record, records: Records) -> None:
        """GRAPH-7, 10."""
        self.check(self.op_of(record) is not None)
        self.check(all(other in records for other in record.references))

    def op_of(self, record: Record) -> OpDef | None:
        number = record.number("op")
        return self.codec.dialect.ops[number] if number < len(self.codec.dialect.ops) else None

    def check_place(self, record: Record) -> None:
        """GRAPH-14, 15, 28."""
        size = self.span(record.data)
        if record.is_elsewhere:
            self.check(self.may_be_elsewhere(record))
        else:
            self.whole_region(record.data, size)

    def may_be_elsewhere(self, record: Record) -> bool:
        return record.number("data") == 0

    def check_view(self, record: Record, records: Records) -> None:
        """GRAPH-31 leaves it open."""

    def check_order(self, ids: tuple[int, ...], records: Records) -> None:
        """GRAPH-8, 9."""
        place = {node: at for at, node in enumerate(ids)}
        edges = {number: self.edges(number, record) for number, record in records.items()}
        for number, others in edges.items():
            self.check(self.is_in_order(number, others, place))
        self.check_circles(edges)

    def edges(self, number: int, record: Record) -> set[int]:
        """What a record refers to, a cast's own memory left out."""
        others = set(record.references)
        op = self.op_of(record)
        sources = record.numbers("src")
        if op is not None and op.name == "CPY" and sources[CAST_SLOT] == number and sources.count(number) == 1:
            others.discard(number)
        return others

    def is_in_order(self, number: int, others: set[int], place: dict[int, int]) -> bool:
        return number not in others and (
            number not in place or all(place.get(other, -1) < place[number] for other in others)
        )

    def check_circles(self, edges: dict[int, set[int]]) -> None:
        left = {number: set(others) for number, others in edges.items()}
        while ready := [number for number, others in left.items() if not others & left.keys()]:
            for number in ready:
                del left[number]
        self.check(not left)

    def running(self, ids: tuple[int, ...], records: Records) -> list[Record]:
        """GRAPH-11, 12, 13."""
        return [record for record in (records[node] for node in ids) if self.is_running(record)]

    def is_running(self, record: Record) -> bool:
        op = self.op_of(record)
        return bool(self.is_flagged(record) and op is not None and op.executes and record.elements)

    def is_flagged(self, record: Record) -> bool:
        return bool(record.number("flags") & TensorFlag.COMPUTE)

    def check_running(self, record: Record, records: Records) -> None:
        """GRAPH-14, 18, 32, 33."""
        op = self.op_of(record)
        if op is None or not hasattr(self, f"op_{op.name.lower()}"):
            raise Refused
        sources = self.sources(op, record, records)
        for each in (record, *sources):
            self.check(not each.is_elsewhere and each.elements > 0)
            self.check(self.is_whole(each))
        self.check(self.is_apart(record))
        for slot, source in enumerate(sources):
            self.check(self.is_typed(op, slot, source))
        getattr(self, f"fit_{op.name.lower()}")(record, *sources)

    def sources(self, op: OpDef, record: Record, records: Records) -> list[Record]:
        """GRAPH-18: the operands that the op requires."""
        slots = record.numbers("src")[: len(op.operands)]
        self.check(all(slots))
        return [records[number] for number in slots]

    def kind(self, record: Record) -> TypeDef:
        return self.codec.dialect.types[record.number("type")]

    def is_typed(self, op: OpDef, slot: int, record: Record) -> bool:
        """Whether the op has a kernel for the type."""
        name = self.kind(record).name
        return (name in ARRAYS and (op.operands[slot].name == "ids") == (name == "I32")) or op.name == "CONT"

    def is_whole(self, record: Record) -> bool:
        """GRAPH-32."""
        size = self.kind(record).bytes
        if self.kind(record).quantised:
            return record.nb[0] == size
        steps = [step for extent, step in zip(record.ne, record.nb, strict=True) if extent > 1]
        return all(step % size == 0 for step in (record.number("data"), *steps))

    def is_apart(self, record: Record) -> bool:
        """GRAPH-33."""
        covered = self.kind(record).bytes
        for step, extent in sorted(
            (step, extent) for step, extent in zip(record.nb, record.ne, strict=True) if extent > 1
        ):
            if step < covered:
                return False
            covered += (extent - 1) * step
        return True

    def run_graph(self, prepared: Prepared) -> None:
        """GRAPH-16, 21."""
        ids, records = prepared
        for record in self.running(ids, records):
            op = self.op_of(record)
            assert op is not None
            sources = self.sources(op, record, records)
            getattr(self, f"op_{op.name.lower()}")(self.values(record), *map(self.values, sources))

    def values(self, record: Record) -> NDArray[Any]:
        return array(self.kind(record).name, record, self.whole_region(record.data, self.span(record.data)))

    def fit_add(self, result: Record, a: Record, b: Record) -> None:
        self.check(self.is_of_extents(result, a.ne) and {self.kind(each).name for each in (result, a, b)} == {"F32"})
        self.check(all(large % small == 0 for large, small in zip(a.ne, b.ne, strict=True)))

    def is_of_extents(self, result: Record, ne: tuple[int, ...]) -> bool:
        """GRAPH-18: the shape rule."""
        return result.ne == ne

    def op_add(self, result: NDArray[Any], a: NDArray[Any], b: NDArray[Any]) -> None:
        result[...] = a + np.tile(b, [large // small for large, small in zip(a.shape, b.shape, strict=True)])

    def fit_sqr(self, result: Record, x: Record) -> None:
        self.check(self.is_of_extents(result, x.ne) and self.kind(result).name == self.kind(x).name == "F32")

    def op_sqr(self, result: NDArray[Any], x: NDArray[Any]) -> None:
        result[...] = x * x

    def fit_cont(self, result: Record, x: Record) -> None:
        self.check(result.elements == x.elements and self.kind(result) == self.kind(x))

    def op_cont(self, result: NDArray[Any], x: NDArray[Any]) -> None:
        result[...] = x.reshape(result.shape)

    def fit_cpy(self, result: Record, x: Record, to: Record) -> None:
        self.check(x.elements == to.elements and self.is_of_extents(result, to.ne))
        self.check(result.number("data") == to.number("data") and self.kind(result) == self.kind(to))

    def op_cpy(self, result: NDArray[Any], x: NDArray[Any], _to: NDArray[Any]) -> None:
        result[...] = x.reshape(result.shape)

    def fit_get_rows(self, result: Record, x: Record, ids: Record) -> None:
        self.check(self.is_of_extents(result, (x.ne[0], *ids.ne[:3])) and x.ne[2:] == ids.ne[1:3])
        self.check(ids.ne[3] == 1 and self.kind(result).name == self.kind(x).name == "F32")

    def op_get_rows(self, result: NDArray[Any], x: NDArray[Any], ids: NDArray[Any]) -> None:
        for k, j, i in np.ndindex(*ids.shape[1:]):
            result[k, j, i] = x[k, j, self.index(int(ids[0, k, j, i]), x.shape[2])]

    def index(self, value: int, extent: int) -> int:
        """GRAPH-20."""
        self.check(0 <= value < extent)
        return value

    def fit_mul_mat(self, result: Record, w: Record, x: Record) -> None:
        self.check(self.is_of_extents(result, (w.ne[1], *x.ne[1:])) and w.ne[0] == x.ne[0])
        self.check(all(large % small == 0 for large, small in zip(x.ne[2:], w.ne[2:], strict=True)))
        self.check({self.kind(each).name for each in (result, w, x)} == {"F32"})

    def op_mul_mat(self, result: NDArray[Any], w: NDArray[Any], x: NDArray[Any]) -> None:
        for dim in (0, 1):
            w = np.repeat(w, x.shape[dim] // w.shape[dim], dim)
        result[...] = np.ascontiguousarray(x) @ np.ascontiguousarray(w.swapaxes(2, 3))
