"""Servers that run graphs wrongly, or remember the wrong ones, with the cases that have to find it."""

from collections.abc import Mapping, Sequence
from typing import Any

import trio

from conformance.judge.codec import Value
from conformance.tests.cases.graph.records import Record, Records
from conformance.tests.cases.graph.server import GraphSession, Prepared
from conformance.tests.cases.miniature.world import Dead, Refused
from conformance.tests.cases.wrong.entry import Wrong, crashes, fails, hangs
from spec.dialect import OpDef

__all__ = ["WRONG"]

NEWEST = "8.0.0"


class RunsAllRecords(GraphSession):
    def running(self, ids: tuple[int, ...], records: Records) -> list[Record]:
        return super().running(tuple(records), records)


class RunsWithoutTheFlag(GraphSession):
    def is_flagged(self, record: Record) -> bool:
        return True


class WantsNoOtherFlags(GraphSession):
    def is_flagged(self, record: Record) -> bool:
        self.check(record.number("flags") < 1 << 5)
        return super().is_flagged(record)


class ChecksWhatIsEmpty(GraphSession):
    def is_running(self, record: Record) -> bool:
        op = self.op_of(record)
        return self.is_flagged(record) and op is not None and op.executes


class ReadsFirst(GraphSession):
    """All operands are read before any node runs."""

    def run_graph(self, prepared: Prepared) -> None:
        ids, records = prepared
        running = self.running(ids, records)
        before = [
            [self.values(source).copy() for source in self.sources(self.op_named(each), each, records)]
            for each in running
        ]
        for record, values in zip(running, before, strict=True):
            getattr(self, f"op_{self.op_named(record).name.lower()}")(self.values(record), *values)

    def op_named(self, record: Record) -> OpDef:
        op = self.op_of(record)
        if op is None:
            raise Refused
        return op


class FusesWhatIsRead(GraphSession):
    """What a later node of the same message reads is not kept, whatever else is said of it."""

    def run_graph(self, prepared: Prepared) -> None:
        ids, records = prepared
        super().run_graph(prepared)
        nodes = [records[node] for node in ids]
        for at, node in enumerate(nodes):
            readers = [later for later in nodes[at + 1 :] if node.number("id") in later.numbers("src")]
            if self.is_running(node) and len(readers) == 1 and self.is_fused(node):
                self.values(node)[...] = 0

    def is_fused(self, node: Record) -> bool:
        return "use_count" in node.fields and node.number("use_count") > 0


class ReadsAnyRow(GraphSession):
    def index(self, value: int, extent: int) -> int:
        return value % extent


class DiesOfFarRows(GraphSession):
    def index(self, value: int, extent: int) -> int:
        if abs(value) > 1 << 20:
            raise Dead("segmentation fault")
        return super().index(value, extent)


class RunsLater(GraphSession):
    """A graph runs when its result is asked for."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.waiting: list[Prepared] = []

    def run_graph(self, prepared: Prepared) -> None:
        self.waiting.append(prepared)

    async def act(self, name: str, values: Mapping[str, Value], tail: bytes) -> bytes | None:
        if self.codec.dialect.command(name).answered:
            waiting, self.waiting = self.waiting, []
            for prepared in waiting:
                super().run_graph(prepared)
        return await super().act(name, values, tail)


class RunsToTheEnd(GraphSession):
    """A graph of thousands of nodes is computed, whoever has left."""

    async def act(self, name: str, values: Mapping[str, Value], tail: bytes) -> bytes | None:
        if name == "GRAPH_COMPUTE" and 900 < len(tail) // 304 < 5000:
            async with self.world.device:
                await trio.sleep(60)
        return await super().act(name, values, tail)


class RunsAgainOnOldBytes(GraphSession):
    """Operands that no node writes are read once. The first leaf of the cases' graphs is written."""

    old: Sequence[tuple[Record, bytes]] = ()

    def on_graph_compute(self, tail: bytes, device: int, n_nodes: int, uid: int = 1) -> None:
        super().on_graph_compute(tail, device, n_nodes, uid)
        _, records = self.known.get(uid, ((), {}))
        held = [record for record in records.values() if record.elements and not record.is_elsewhere]
        self.old = [(record, bytes(self.bytes_of(record))) for record in held if record.number("op") == 0]

    def on_graph_recompute(self, tail: bytes, device: int, uid: int = 1) -> None:
        for record, old in self.old[1:]:
            self.bytes_of(record)[:] = old
        super().on_graph_recompute(tail, device, uid)

    def bytes_of(self, record: Record) -> memoryview:
        return self.whole_region(record.data, self.span(record.data))


class RemembersTheFirst(GraphSession):
    def remember(self, uid: int, prepared: Prepared) -> None:
        self.known.setdefault(uid, prepared)


class RunsNothingWhereNothingIs(GraphSession):
    def recalled(self, uid: int) -> Prepared:
        return self.known.get(uid, ((), {}))


class RunsWhatIsFreed(GraphSession):
    """Results in a freed buffer are lost, and that is all."""

    def forget(self, handle: int) -> None:
        self.known = {uid: ((), {}) if self.lies_in(each, handle) else each for uid, each in self.known.items()}


class ForgetsAll(GraphSession):
    def forget(self, handle: int) -> None:
        self.known.clear()


class RemembersZero(GraphSession):
    def is_remembered(self, uid: int) -> bool:
        return True


class RemembersTheLastAlone(GraphSession):
    def remember(self, uid: int, prepared: Prepared) -> None:
        self.known = {uid: prepared}


class NeverEmpties(GraphSession):
    def empty_the_set(self) -> None:
        pass


class EmptiesForKnownOnes(GraphSession):
    def remember(self, uid: int, prepared: Prepared) -> None:
        if len(self.uids) >= 1024:
            self.empty_the_set()
        super().remember(uid, prepared)


class ForgetsToCount(GraphSession):
    def forget(self, handle: int) -> None:
        super().forget(handle)
        self.uids &= self.known.keys()


class ForgetsForZero(GraphSession):
    def is_remembered(self, uid: int) -> bool:
        if uid == 0:
            self.known.clear()
        return uid != 0


def _of(clause: str, *words: str) -> tuple[str, ...]:
    return tuple(f"{clause}/{word}" for word in words)


ANY_ROW = ("minus-one", "extent", "top", "bottom", "computed", "changed")
BEHIND = ("operand-overwritten-behind-it", "cleared-behind-it", "freed-behind-it")
FREED = ("its-buffer-freed", "its-buffer-replaced", "an-operands-buffer-freed")

WRONG: Mapping[type[GraphSession], Wrong] = {
    RunsAllRecords: fails("GRAPH-6/no-nodes", "GRAPH-11/earlier-result", "GRAPH-11/op-of-a-function"),
    RunsWithoutTheFlag: fails("GRAPH-12/without-the-flag"),
    WantsNoOtherFlags: fails("GRAPH-12/other-flags"),
    ChecksWhatIsEmpty: fails("GRAPH-13/no-elements", "GRAPH-13/whatever-it-says"),
    ReadsFirst: fails(
        "GRAPH-8/in-order",
        *_of("GRAPH-16", "in-place", "memory-used-again", "read-after"),
        "GRAPH-20/get-rows-computed",
        *_of("GRAPH-21", "read-behind-it", "operand-overwritten-behind-it", "next-graph-behind-it"),
    ),
    FusesWhatIsRead: fails("GRAPH-17/output-is-in-memory", "GRAPH-17/read-twice-is-in-memory"),
    ReadsAnyRow: fails("GRAPH-20/last-batch", *(f"GRAPH-20/get-rows-{word}" for word in ANY_ROW)),
    DiesOfFarRows: crashes("GRAPH-20/get-rows-top", "GRAPH-20/get-rows-bottom"),
    RunsLater: fails(
        *_of("GRAPH-21", *BEHIND),
        "GRAPH-23/new-bytes",
        *_of("GRAPH-24", "its-buffer-replaced", "sent-again-after-free"),
    ),
    RunsToTheEnd: hangs("GRAPH-29/left-during-a-run"),
    RunsAgainOnOldBytes: fails("GRAPH-20/get-rows-changed", "GRAPH-23/new-bytes"),
    RemembersTheFirst: fails("GRAPH-22/the-last-one"),
    RunsNothingWhereNothingIs: fails("GRAPH-23/none-remembered", "GRAPH-23/other-connection", *_of("GRAPH-24", *FREED)),
    RunsWhatIsFreed: fails(*_of("GRAPH-24", *FREED)),
    ForgetsAll: fails("GRAPH-24/unrelated-buffer-freed"),
    RemembersZero: fails("GRAPH-25/uid-zero", "GRAPH-26/zero-is-not-counted", version=NEWEST),
    ForgetsForZero: fails("GRAPH-25/uid-zero-forgets-nothing", "GRAPH-26/zero-is-not-counted", version=NEWEST),
    RemembersTheLastAlone: fails(
        "GRAPH-25/each-its-own",
        *_of("GRAPH-26", "as-many-as-the-set-holds", "a-known-uid-empties-nothing", "zero-is-not-counted"),
        version=NEWEST,
    ),
    NeverEmpties: fails(*_of("GRAPH-26", "one-more-empties-the-set", "forgotten-uids-are-counted"), version=NEWEST),
    EmptiesForKnownOnes: fails("GRAPH-26/a-known-uid-empties-nothing", version=NEWEST),
    ForgetsToCount: fails("GRAPH-26/forgotten-uids-are-counted", version=NEWEST),
}
"""each server, the verdict that it gets, and the cases that give it"""
