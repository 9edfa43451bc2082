"""What the model says of bytes: served for certain, allowed to be refused, or a violation, and by which clause."""

import struct
from collections.abc import Callable

import numpy as np
import pytest

from conformance.fuzz.acting import Actor
from conformance.fuzz.make.requests import base_of, cleared, whole
from conformance.fuzz.model.catalogue import HANDLERS
from conformance.fuzz.model.ruling import Ruling
from conformance.fuzz.model.session import World
from conformance.fuzz.request import Field, Nodes, Packing, Record, Ref, Request
from conformance.judge.codec import SIZE_BYTES
from spec.load import load

SIZE = 1024
BASE = 1 << 40
COMPUTE = 16
TOP = 1 << 64

Said = int | Ref | bytes | tuple[int, ...]


class Bench:
    """A greeted connection with a buffer, whose server is this test."""

    def __init__(self, version: str = "7.0.0") -> None:
        self.dialect = load().dialect(version)
        self.world = World(self.dialect)
        self.packing = Packing(self.dialect, self.world.structs)
        self.actor = Actor(self.world, self.packing, "a")
        self.session = self.actor.session
        self.rule(Request(command="HELLO"))
        self.buffer("a.0", 7)

    def buffer(self, name: str, handle: int) -> None:
        (alloc,) = self.rule(Request(command="ALLOC_BUFFER", fields={"device": 0, "size": SIZE}))
        assert alloc.settle is not None
        alloc.settle(handle.to_bytes(SIZE_BYTES, "little") + SIZE.to_bytes(SIZE_BYTES, "little"))
        (base,) = self.rule(base_of(name))
        assert base.settle is not None
        base.settle((BASE + handle * SIZE).to_bytes(SIZE_BYTES, "little"))
        self.rule(cleared(name, 0))

    def rule(self, request: Request) -> list[Ruling]:
        return self.session.feed(self.packing.message(request).filled(self.session.places))

    def kind(self, request: Request) -> tuple[str, str]:
        (ruling,) = self.rule(request)
        return ruling.kind, ruling.expected.clause

    def record(self, id_: int = 1, at: int = 0, /, **said: Said) -> dict[str, Said]:
        plain: dict[str, Said] = {"id": id_, "buffer": Ref("a.0"), "ne": (4, 1, 1, 1), "nb": (4, 16, 16, 16)}
        return {**plain, "data": Ref("a.0", base=True, add=at), **said}

    def put(self, at: int, data: bytes, kind: str = "F32") -> None:
        number, width = self.dialect.type(kind).number, self.dialect.type(kind).bytes
        count = len(data) // width
        tensor = self.record(1, at, type=number, ne=(count, 1, 1, 1), nb=(width, *(len(data),) * 3))
        self.rule(request("SET_TENSOR", data, tensor=tensor))

    def bytes(self, at: int, size: int) -> bytes | None:
        """What a GET_TENSOR has to answer; None where it is not known."""
        tensor = self.record(1, at, type=self.dialect.type("I8").number, ne=(size, 1, 1, 1), nb=(1, size, size, size))
        (ruling,) = self.rule(request("GET_TENSOR", tensor=tensor, size=size))
        due = ruling.expected.due
        assert due is not None
        return None if due.care else due.data

    def graph(self, *records: Record, ids: tuple[int, ...] | None = None) -> Request:
        listed = tuple(int(str(each["id"])) for each in records if each.get("op")) if ids is None else ids
        nodes = Nodes(ids=listed, records=records)
        uid = {"uid": 1} if self.world.has_uids else {}
        return Request(command="GRAPH_COMPUTE", fields={"device": 0, "n_nodes": len(listed), **uid}, graph=nodes)

    def node(self, op: str, id_: int, at: int, *srcs: int, **said: Said) -> dict[str, Said]:
        src = (*srcs, *(0,) * (10 - len(srcs)))
        return self.record(id_, at, op=self.dialect.op(op).number, flags=COMPUTE, src=src, **said)


def request(command: str, tail: bytes = b"", /, **fields: Field) -> Request:
    return Request(command=command, fields=fields, tail=tail)


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


@pytest.mark.parametrize("version", load().versions)
def test_every_command_of_a_dialect_has_a_handler_and_no_other(version: str) -> None:
    names = {command.name for command in load().dialect(version).commands.values()}
    assert names <= HANDLERS.keys()
    assert HANDLERS.keys() - names <= {"SET_TENSOR_2D", "GET_TENSOR_2D", "COMM_INIT", "COMM_ALLREDUCE", "COMM_FREE"}


@pytest.mark.parametrize(
    ("said", "offset", "size", "told"),
    [
        ({}, 0, 16, ("serve", "")),
        ({}, 1, 16, ("close", "REGION-2")),
        ({}, TOP - 8, 16, ("close", "REGION-2")),
        ({"data": Ref("a.0", base=True, add=SIZE - 16)}, 0, 16, ("serve", "")),
        ({"data": Ref("a.0", base=True, add=SIZE - 15)}, 0, 0, ("close", "REGION-1")),
        ({"data": Ref("a.0", base=True, add=-1)}, 0, 1, ("close", "REGION-1")),
        ({"data": Ref("a.0", base=True, add=SIZE), "ne": (0, 1, 1, 1)}, 0, 0, ("serve", "")),
        ({"nb": ((1 << 32) - 1,) * 4, "ne": (2, 1, 1, 1)}, 0, 1, ("close", "REGION-1")),
        ({"buffer": 0}, 0, 16, ("close", "REGION-5")),
        ({"buffer": 8}, 0, 16, ("close", "HANDLE-2")),
        ({"type": 43}, 0, 16, ("close", "TENSOR-2")),
        ({"type": 4}, 0, 16, ("close", "TENSOR-2")),
        ({"ne": ((1 << 31),) * 3 + (1,), "nb": (0, 0, 0, 0)}, 0, 1, ("close", "TENSOR-5")),
        ({"id": 0}, 0, 16, ("may", "TENSOR-8")),
        ({"type": 2, "ne": (33, 1, 1, 1), "nb": (18, 36, 36, 36)}, 0, 18, ("may", "TENSOR-6")),
    ],
)
def test_regions(said: Record, offset: int, size: int, told: tuple[str, str]) -> None:
    bench = Bench()
    assert bench.kind(request("GET_TENSOR", tensor={**bench.record(), **said}, offset=offset, size=size)) == told


def test_what_is_written_is_read_and_what_nobody_wrote_is_not_known() -> None:
    bench = Bench()
    bench.put(64, floats(1, 2, 3, 4))
    assert bench.bytes(64, 16) == floats(1, 2, 3, 4)
    bench.buffer("a.1", 9)
    fresh = Bench()
    fresh.session.owned[7].known[100] = False
    assert fresh.bytes(64, 64) is None
    assert fresh.bytes(0, 100) == bytes(100)


def test_a_freed_handle_and_another_connections_are_violations() -> None:
    bench = Bench()
    bench.buffer("a.1", 9)
    assert bench.kind(Request(command="FREE_BUFFER", fields={"handle": Ref("a.1")})) == ("serve", "")
    assert bench.kind(cleared("a.1", 1)) == ("close", "HANDLE-2")
    assert bench.rule(cleared("a.0", 1)) == []


def test_a_size_that_is_not_the_commands_is_seen_in_the_head_alone() -> None:
    bench = Bench()
    (ruling,) = bench.session.feed(bytes([bench.dialect.command("GET_ALIGNMENT").number]) + (5).to_bytes(8, "little"))
    assert ruling.expected.clause == "FRAME-5"
    bench = Bench()
    (ruling,) = bench.session.feed(
        bytes([bench.dialect.command("SET_TENSOR").number]) + (1 << 63).to_bytes(8, "little")
    )
    assert ruling.expected.clause == "FRAME-7"


def test_what_a_wrong_size_leaves_over_is_the_next_request() -> None:
    bench = Bench()
    short = request("SET_TENSOR", bytes(16), tensor=bench.record()).saying("declares less", declared=305)
    first, second = bench.rule(short)
    assert (first.expected.command, first.kind) == ("SET_TENSOR", "serve")
    assert (second.expected.command, second.expected.clause) == ("ALLOC_BUFFER", "FRAME-5")


def test_arithmetic_is_followed_bit_by_bit() -> None:
    bench = Bench()
    bench.put(0, floats(1, 2, 3, 4))
    bench.put(64, floats(10, 20, 30, 40))
    bench.put(128, struct.pack("<2i", 1, 0), "I32")
    records = [
        bench.record(1, 0),
        bench.record(2, 64),
        bench.node("ADD", 3, 192, 1, 2),
        bench.node("MUL", 4, 256, 3, 3),
    ]
    assert bench.kind(bench.graph(*records)) == ("serve", "")
    assert bench.bytes(192, 16) == floats(11, 22, 33, 44)
    assert bench.bytes(256, 16) == floats(121, 484, 1089, 1936)
    table = bench.record(5, 0, ne=(2, 2, 1, 1), nb=(4, 8, 16, 16))
    ids = bench.record(6, 128, type=bench.dialect.type("I32").number, ne=(2, 1, 1, 1), nb=(4, 8, 8, 8))
    rows = bench.node("GET_ROWS", 7, 320, 5, 6, ne=(2, 2, 1, 1), nb=(4, 8, 16, 16))
    assert bench.kind(bench.graph(table, ids, rows)) == ("serve", "")
    assert bench.bytes(320, 16) == floats(3, 4, 1, 2)


def test_rows_are_scattered_and_of_a_row_that_is_written_twice_it_is_open_what_remains() -> None:
    bench = Bench()
    bench.put(0, floats(1, 2, 3, 4, 5, 6))
    bench.put(64, struct.pack("<3q", 2, 0, 2), "I64")
    rows = bench.record(1, 0, ne=(2, 3, 1, 1), nb=(4, 8, 24, 24))
    ids = bench.record(2, 64, type=bench.dialect.type("I64").number, ne=(3, 1, 1, 1), nb=(8, 24, 24, 24))
    to = bench.record(3, 128, ne=(2, 3, 1, 1), nb=(4, 8, 24, 24))
    node = bench.node("SET_ROWS", 4, 128, 1, 2, 3, ne=(2, 3, 1, 1), nb=(4, 8, 24, 24), view_src=3)
    assert bench.kind(bench.graph(rows, ids, to, node)) == ("serve", "")
    assert bench.bytes(128, 16) == floats(3, 4, 0, 0)
    assert bench.bytes(144, 8) is None


def test_an_index_out_of_range_is_a_violation_when_it_is_read() -> None:
    bench = Bench()
    bench.put(128, struct.pack("<2i", 1, 2), "I32")
    table = bench.record(1, 0, ne=(2, 2, 1, 1), nb=(4, 8, 16, 16))
    ids = bench.record(2, 128, type=bench.dialect.type("I32").number, ne=(2, 1, 1, 1), nb=(4, 8, 8, 8))
    rows = bench.node("GET_ROWS", 3, 320, 1, 2, ne=(2, 2, 1, 1), nb=(4, 8, 16, 16))
    assert bench.kind(bench.graph(table, ids, rows)) == ("close", "GRAPH-20")


def test_an_op_that_is_not_followed_may_be_refused_and_leaves_its_result_unknown_and_nothing_else() -> None:
    bench = Bench()
    node = bench.node("SIN", 2, 64, 1)
    assert bench.kind(bench.graph(bench.record(1), node)) == ("may", "GRAPH-19")
    assert bench.bytes(64, 16) is None
    assert bench.bytes(0, 64) == bytes(64)
    assert bench.bytes(80, 64) == bytes(64)


Change = Callable[[Bench, list[dict[str, Said]]], Request]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda b, r: b.graph(*r, ids=(3, 3)), ("close", "GRAPH-6")),
        (lambda b, r: b.graph(*r, ids=(3, 4)), ("close", "GRAPH-6")),
        (lambda b, r: b.graph(*r, r[0]), ("close", "GRAPH-5")),
        (lambda b, r: b.graph(r[0], r[2]), ("close", "GRAPH-7")),
        (lambda b, r: b.graph(r[0], r[1], {**r[2], "src": (3, 2) + (0,) * 8}), ("close", "GRAPH-8")),
        (lambda b, r: b.graph({**r[0], "src": (3,) + (0,) * 9}, r[1], r[2]), ("close", "GRAPH-8")),
        (lambda b, r: b.graph(r[0], r[1], {**r[2], "op": 101}), ("close", "GRAPH-10")),
        (lambda b, r: b.graph(r[0], {**r[1], "buffer": 0}, r[2]), ("close", "GRAPH-14")),
        (lambda b, r: b.graph(r[0], {**r[1], "buffer": 0, "data": 0}, r[2]), ("close", "GRAPH-14")),
        (lambda b, r: b.graph(r[0], r[1], {**r[2], "src": (1,) + (0,) * 9}), ("close", "GRAPH-18")),
        (lambda b, r: b.graph(r[0], {**r[1], "ne": (3, 1, 1, 1)}, r[2]), ("close", "GRAPH-18")),
        (lambda b, r: b.graph(r[0], r[1], {**r[2], "nb": (0, 16, 16, 16)}), ("close", "GRAPH-33")),
        (lambda b, r: b.graph(r[0], r[1], {**r[2], "nb": (8, 32, 32, 32)}), ("may", "GRAPH-19")),
        (lambda b, r: b.graph(r[0], r[1], {**r[2], "data": Ref("a.0", base=True, add=8)}), ("may", "GRAPH-16")),
        (lambda b, r: b.graph(r[0], r[1], {**r[2], "flags": 0}), ("serve", "")),
        (lambda b, r: b.graph(r[0], {**r[1], "ne": (0, 1, 1, 1)}, r[2]), ("close", "GRAPH-18")),
    ],
)
def test_graphs(change: Change, told: tuple[str, str]) -> None:
    bench = Bench()
    records = [bench.record(1, 0), bench.record(2, 64), bench.node("ADD", 3, 128, 1, 2)]
    assert bench.kind(change(bench, records)) == told


@pytest.mark.parametrize("version", load().versions)
def test_a_graph_runs_again_until_its_buffer_is_freed_and_may_be_forgotten_when_another_is(version: str) -> None:
    bench = Bench(version)
    again = Request(command="GRAPH_RECOMPUTE", fields={"device": 0, **({"uid": 1} if bench.world.has_uids else {})})
    records = [bench.record(1, 0), bench.record(2, 64), bench.node("ADD", 3, 128, 1, 2)]
    for name, handle in (("a.1", 9), ("a.2", 11)):
        bench.buffer(name, handle)
    assert bench.kind(bench.graph(*records)) == ("serve", "")
    bench.put(0, floats(1, 1, 1, 1))
    assert bench.kind(again) == ("serve", "")
    assert bench.bytes(128, 16) == floats(1, 1, 1, 1)
    bench.rule(Request(command="FREE_BUFFER", fields={"handle": Ref("a.1")}))
    assert bench.kind(again) == ("may", "GRAPH-24")
    bench.rule(Request(command="FREE_BUFFER", fields={"handle": Ref("a.0")}))
    assert bench.kind(again) == ("close", "GRAPH-23")


def test_every_byte_of_a_buffer_can_be_asked_for() -> None:
    bench = Bench()
    values = np.arange(SIZE // 4, dtype="<f4").tobytes()
    bench.put(0, values)
    (ruling,) = bench.rule(whole(bench.actor.scene(), "a.0", SIZE))
    assert ruling.expected.due is not None
    assert ruling.expected.due.data == values
