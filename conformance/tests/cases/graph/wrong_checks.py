"""Servers that check one thing of a graph wrongly before it runs, with the cases that have to find it."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.cases.graph import bounds
from conformance.judge.codec import Value
from conformance.tests.cases.graph.records import Record, Records
from conformance.tests.cases.graph.server import GraphSession, Prepared
from conformance.tests.cases.miniature.world import Dead, Refused
from conformance.tests.cases.wrong.entry import Wrong, crashes, fails
from spec.dialect import OpDef

__all__ = ["WRONG"]

TOP = 1 << 64


class AnswersEmptyGraphs(GraphSession):
    async def act(self, name: str, values: Mapping[str, Value], tail: bytes) -> bytes | None:
        reply = await super().act(name, values, tail)
        return b"" if name == "GRAPH_COMPUTE" and values["n_nodes"] == 0 else reply


class WrapsCounts(GraphSession):
    """Counts are taken modulo 2^29, as if their sizes were 32 bits wide."""

    def on_graph_compute(self, tail: bytes, device: int, n_nodes: int, uid: int = 1) -> None:
        super().on_graph_compute(tail, device, n_nodes % (1 << 29), uid)


class DiesOfTrailingBytes(GraphSession):
    def parsed(self, tail: bytes, n_nodes: int) -> tuple[tuple[int, ...], tuple[Record, ...]] | None:
        if len(tail) % 4:
            raise Dead("a record that ends behind the message") if len(tail) == 4 + 8 + 2 * 296 + 3 else Refused
        return super().parsed(tail, n_nodes)


class AnyDeviceRuns(GraphSession):
    def device_exists(self, name: str, device: object) -> bool:
        return name.startswith("GRAPH") or device == 0


class TakesIdZero(GraphSession):
    def is_new(self, number: int, found: Records) -> bool:
        return number not in found


class TakesTheFirstOfTwo(GraphSession):
    def by_id(self, records: Iterable[Record]) -> Records:
        found: Records = {}
        for record in records:
            self.check(record.number("id") != 0)
            found.setdefault(record.number("id"), record)
        return found


class RunsTwice(GraphSession):
    def check_once(self, ids: tuple[int, ...]) -> None:
        pass


class DiesOfNodeZero(GraphSession):
    def check_nodes(self, ids: tuple[int, ...], records: Records) -> None:
        if 0 in ids:
            raise Dead("null pointer")
        super().check_nodes(ids, records)


class TakesDanglingOperands(GraphSession):
    """What nothing reads is not looked up."""

    def check_references(self, record: Record, records: Records) -> None:
        read = record.numbers("src")[:2] if self.is_running(record) else ()
        self.check(all(other in records for other in (*read, record.number("view_src")) if other))
        self.check(self.op_of(record) is not None)


class TakesDanglingViews(GraphSession):
    def check_references(self, record: Record, records: Records) -> None:
        self.check(all(other in records for other in record.numbers("src") if other))
        self.check(self.op_of(record) is not None)


class TakesAnyOrder(GraphSession):
    def is_in_order(self, number: int, others: set[int], place: dict[int, int]) -> bool:
        return number not in others


class TakesCircles(GraphSession):
    def check_circles(self, edges: dict[int, set[int]]) -> None:
        pass


class KnowsNoCasts(GraphSession):
    def edges(self, number: int, record: Record) -> set[int]:
        return set(record.references)


class ReadsItself(GraphSession):
    def edges(self, number: int, record: Record) -> set[int]:
        return set(record.references) - {number}


class Recurses(GraphSession):
    def is_admitted(self, records: int) -> bool:
        if records > 10_000:
            raise Dead("stack overflow")
        return super().is_admitted(records)


class SkipsUnknownOps(GraphSession):
    """Only what runs needs to have an op."""

    def check_references(self, record: Record, records: Records) -> None:
        self.check(all(other in records for other in record.references))


class SkipsFunctions(GraphSession):
    def is_acceptable(self, op: OpDef) -> bool:
        return True


class NeedsEverythingHere(GraphSession):
    def may_be_elsewhere(self, record: Record) -> bool:
        return False


class TakesAddressesWithoutBuffer(GraphSession):
    def may_be_elsewhere(self, record: Record) -> bool:
        return True


class TrustsIdleLeaves(GraphSession):
    """Only what a node names has to lie in its buffer."""

    def check_nodes(self, ids: tuple[int, ...], records: Records) -> None:
        super().check_nodes(ids, records)
        self.named = {number for record in records.values() for number in record.references} | set(ids)

    def check_place(self, record: Record) -> None:
        if record.number("id") in self.named:
            super().check_place(record)


class AddsViewOffsets(GraphSession):
    """Where a view lies is worked out again from its source."""

    def prepared(self, tail: bytes, n_nodes: int) -> Prepared:
        ids, records = super().prepared(tail, n_nodes)
        return ids, {number: self.moved(record, records) for number, record in records.items()}

    def moved(self, record: Record, records: Records) -> Record:
        source = records.get(record.number("view_src"))
        if source is None:
            return record
        fields = {**record.fields, "data": source.number("data") + record.number("view_offs")}
        return Record(self.codec.pack("rpc_tensor", fields), fields)


class WrapsSpans(GraphSession):
    def summed(self, size: int) -> int:
        return size % TOP


class DiesOfTypes(GraphSession):
    def is_typed(self, op: OpDef, slot: int, record: Record) -> bool:
        if not super().is_typed(op, slot, record) and op.name == "MUL_MAT":
            raise Dead("no such kernel")
        return super().is_typed(op, slot, record)


class TakesMissingOperands(GraphSession):
    def sources(self, op: OpDef, record: Record, records: Records) -> list[Record]:
        slots = record.numbers("src")[: len(op.operands)]
        if op.name == "ADD" and any(slots):
            return [records[number or max(slots)] for number in slots]
        return super().sources(op, record, records)


class TakesAnyResult(GraphSession):
    """SQR fills whatever it is given."""

    def fit_sqr(self, result: Record, x: Record) -> None:
        self.check(self.kind(result).name == self.kind(x).name == "F32")

    def op_sqr(self, result: NDArray[Any], x: NDArray[Any]) -> None:
        result[...] = np.resize(x * x, result.shape)


class TakesAnyType(GraphSession):
    """SQR writes numbers of any size."""

    def fit_sqr(self, result: Record, x: Record) -> None:
        self.check(result.ne == x.ne)


class DiesOfViewsOutside(GraphSession):
    def check_view(self, record: Record, records: Records) -> None:
        source = records.get(record.number("view_src"))
        if source is None or source.is_elsewhere:
            return
        begin = record.number("data") - source.number("data")
        if not 0 <= begin <= self.span(source.data) - self.span(record.data):
            raise Dead("assertion failed")


class DiesOfOddStrides(GraphSession):
    def is_whole(self, record: Record) -> bool:
        if not super().is_whole(record):
            raise Dead("assertion failed")
        return True


class OverlapsResults(GraphSession):
    def is_apart(self, record: Record) -> bool:
        return True


UNKNOWN = ("first-unknown", "150", "2-31", "all-ones")
WHERE = ("node", "idle-node", "record")
FUNCTIONS = ("map-custom1", "map-custom2", "map-custom3", "custom")
OF_LEAVES = [name for name in bounds.CASES if name.partition("/")[2].startswith("leaf-")]


def _of(clause: str, *words: str) -> tuple[str, ...]:
    return tuple(f"{clause}/{word}" for word in words)


WRONG: Mapping[type[GraphSession], Wrong] = {
    AnswersEmptyGraphs: fails("GRAPH-6/nothing", "GRAPH-6/no-nodes", "GRAPH-23/empty-again"),
    WrapsCounts: fails("GRAPH-2/node-count-wraps"),
    DiesOfTrailingBytes: crashes("GRAPH-3/behind-the-last-record"),
    AnyDeviceRuns: fails(*_of("GRAPH-4", "compute-device-count", "compute-last-number", "recompute-device-count")),
    TakesIdZero: fails("GRAPH-5/idle-id-zero"),
    TakesTheFirstOfTwo: fails("GRAPH-5/same-idle-id"),
    RunsTwice: fails("GRAPH-6/listed-twice"),
    DiesOfNodeZero: crashes("GRAPH-6/node-zero", "GRAPH-6/node-zero-alone"),
    TakesDanglingOperands: fails("GRAPH-7/src-not-read", "GRAPH-7/src-of-a-leaf"),
    TakesDanglingViews: fails("GRAPH-7/view-of-a-node", "GRAPH-7/view-of-a-leaf"),
    TakesAnyOrder: fails("GRAPH-8/operand-later"),
    TakesCircles: fails(*_of("GRAPH-8", "two-in-a-circle-one-listed", "three-in-a-circle", "leaves-in-a-circle")),
    KnowsNoCasts: fails("GRAPH-9/cast"),
    ReadsItself: fails(*_of("GRAPH-9", "reads-itself", "view-of-itself", "leaf-of-itself")),
    Recurses: crashes("GRAPH-27/shorter-chain", "GRAPH-27/chain-of-nodes"),
    SkipsUnknownOps: fails(*(f"GRAPH-10/{op}-in-{where}" for op in UNKNOWN for where in WHERE)),
    SkipsFunctions: fails(*(f"GRAPH-10/{op}-without-flag" for op in FUNCTIONS)),
    NeedsEverythingHere: fails("GRAPH-14/elsewhere-unread"),
    TakesAddressesWithoutBuffer: fails("GRAPH-14/leaf-address-without-buffer"),
    TrustsIdleLeaves: fails(*OF_LEAVES),
    AddsViewOffsets: fails("GRAPH-15/offset-is-not-added"),
    WrapsSpans: fails("GRAPH-28/leaf-span-wraps-2-64"),
    DiesOfViewsOutside: crashes(*_of("GRAPH-31", "behind-its-source", "half-outside", "in-another-buffer")),
    DiesOfOddStrides: crashes(*(name for name in bounds.CASES if name.startswith("GRAPH-32/"))),
    OverlapsResults: fails(*(name for name in bounds.OVERLAPPING)),
    DiesOfTypes: crashes("GRAPH-19/rare-type"),
    TakesMissingOperands: fails("GRAPH-18/add-operands-missing"),
    TakesAnyResult: fails("GRAPH-18/sqr-extents"),
    TakesAnyType: fails("GRAPH-18/sqr-result-type"),
}
"""each server, the verdict that it gets, and the cases that give it"""
