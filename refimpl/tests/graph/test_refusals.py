"""Graphs that break a clause, whatever their ops: each is refused with that clause and with the name of the tensor."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from refimpl.errors import GraphError, HandleError, ProtocolError, RegionError, UnsupportedError
from refimpl.graph.define import GraphBuilder
from refimpl.limits import Limits
from refimpl.tests.graph.samples import BASES, SCRATCH, Sample, T, buffer_table, layer, one_node
from refimpl.wire.tensor import RPC_TENSOR
from spec.names import Op, TensorFlag, Type

HUGE = 2**32 - 1


def put(name: str, field: str, value: Any) -> Callable[[Sample], None]:
    """Set a field of the record of that name; a tuple sets array elements as (index, value)."""

    def change(sample: Sample) -> None:
        record = sample.records[sample.index(name)]
        if isinstance(value, tuple):
            record[field][value[0]] = value[1]
        else:
            record[field] = value

    return change


def twice(sample: Sample) -> None:
    sample.records[sample.index("v")]["id"] = sample.records[sample.index("x")]["id"]


def listed_twice(sample: Sample) -> None:
    sample.nodes[3] = sample.nodes[1]


def swapped(sample: Sample) -> None:
    sample.nodes[[0, 1]] = sample.nodes[[1, 0]]


def node_zero(sample: Sample) -> None:
    sample.nodes[5] = 0


def circle_outside_the_list(sample: Sample) -> None:
    """x is a leaf that no node list names; it claims to come from the result."""
    sample.records[sample.index("x")]["src"][0] = sample.records[sample.index("v")]["id"]


def itself(sample: Sample) -> None:
    record = sample.records[sample.index("v")]
    record["src"][1] = record["id"]


def outside_its_view(sample: Sample) -> None:
    """`attended` is a view; 32 bytes on it is still in the buffer but not in what it views."""
    sample.records[sample.index("attended")]["data"] += 32


def view_elsewhere(sample: Sample) -> None:
    record = sample.records[sample.index("attended")]
    record["view_src"] = sample.records[sample.index("wq")]["id"]


REFUSED: dict[str, tuple[Callable[[Sample], None], type[ProtocolError], str]] = {
    "id 0": (put("wq", "id", 0), GraphError, "GRAPH-5"),
    "two records of one id": (twice, GraphError, "GRAPH-5"),
    "node id 0": (node_zero, GraphError, "GRAPH-6"),
    "a node listed twice": (listed_twice, GraphError, "GRAPH-6"),
    "a source that is no record": (put("v", "src", (0, 999)), GraphError, "GRAPH-7"),
    "a view source that is no record": (put("attended", "view_src", 999), GraphError, "GRAPH-7"),
    "a node before what it reads": (swapped, GraphError, "GRAPH-8"),
    "a circle through records that are not listed": (circle_outside_the_list, GraphError, "GRAPH-8"),
    "a node that reads itself": (itself, GraphError, "GRAPH-9"),
    "an op beyond the table": (put("v", "op", 101), GraphError, "GRAPH-10"),
    "an op of 32 bits": (put("x", "op", HUGE), GraphError, "GRAPH-10"),
    "CUSTOM": (put("v", "op", Op.CUSTOM), GraphError, "GRAPH-10"),
    "MAP_CUSTOM1": (put("v", "op", Op.MAP_CUSTOM1), GraphError, "GRAPH-10"),
    "an op without a kernel": (put("v", "op", Op.CUMSUM), UnsupportedError, "GRAPH-19"),
    "a type beyond the table": (put("x", "type", 43), RegionError, "TENSOR-2"),
    "a type of 32 bits": (put("x", "type", HUGE), RegionError, "TENSOR-2"),
    "a withdrawn type": (put("x", "type", 4), RegionError, "TENSOR-3"),
    "2^63 elements": (put("x", "ne", (slice(4), HUGE)), RegionError, "TENSOR-5"),
    "a span that would wrap 64 bits": (put("x", "nb", (slice(4), HUGE)), RegionError, "REGION-1"),
    "elements over the limit": (put("x", "ne", (slice(0, 2), 1 << 24)), RegionError, "TENSOR-15"),
    "half a block": (put("wq", "ne", (0, 100)), RegionError, "TENSOR-6"),
    "an unknown buffer": (put("x", "buffer", 0xDEAD), HandleError, "HANDLE-7"),
    "an address without a buffer": (put("x", "buffer", 0), GraphError, "GRAPH-14"),
    "data before the buffer": (put("x", "data", BASES[SCRATCH] - 32), RegionError, "REGION-1"),
    "data 0 in a buffer": (put("x", "data", 0), RegionError, "REGION-1"),
    "data at the end of the address space": (put("x", "data", 2**64 - 32), RegionError, "REGION-1"),
    "data over the end of the buffer": (put("cache_v", "data", BASES[SCRATCH] - 32), RegionError, "REGION-1"),
    "a view outside what it views": (outside_its_view, RegionError, "GRAPH-31"),
    "a view of another buffer": (view_elsewhere, RegionError, "GRAPH-31"),
    "an odd stride": (put("x", "nb", (1, 513)), GraphError, "GRAPH-32"),
    "blocks with gaps": (put("wq", "nb", (0, 20)), GraphError, "GRAPH-32"),
    "a result that overlaps itself": (put("v", "nb", (1, 4)), GraphError, "GRAPH-33"),
    "a result of stride 0": (put("v", "nb", (0, 0)), GraphError, "GRAPH-33"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_broken_graph_is_refused_with_its_clause(case: str) -> None:
    change, error, clause = REFUSED[case]
    sample = layer(True)
    sample.build()
    with pytest.raises(error) as caught:
        sample.changed(change).build()
    assert caught.value.clause == clause


def test_a_refusal_names_tensor_op_and_value() -> None:
    with pytest.raises(GraphError) as caught:
        layer(True).changed(put("v", "op", 150)).build()
    assert "'v'" in caught.value.detail
    assert "150" in caught.value.detail
    with pytest.raises(UnsupportedError, match="CUMSUM"):
        layer(True).changed(put("v", "op", Op.CUMSUM)).build()


def test_a_name_cannot_put_control_characters_into_a_message() -> None:
    hostile = layer(True).changed(put("v", "name", b"\x1b[31m\nred\xff"))
    hostile.records[int(np.flatnonzero(hostile.records["op"] == Op.MUL_MAT)[2])]["op"] = 150
    with pytest.raises(GraphError) as caught:
        hostile.build()
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize(("limits", "what"), [(Limits(graph_nodes=5), "nodes"), (Limits(graph_tensors=5), "tensors")])
def test_counts_over_a_limit_are_refused(limits: Limits, what: str) -> None:
    with pytest.raises(GraphError, match=what) as caught:
        layer(True).build(limits)
    assert caught.value.clause == "GRAPH-2"


def test_a_tensor_over_the_byte_limit_is_refused() -> None:
    with pytest.raises(RegionError) as caught:
        layer(True).build(Limits(tensor_bytes=4000))
    assert caught.value.clause == "TENSOR-15"


def test_no_nodes_and_no_tensors_are_legal() -> None:
    nothing = Sample(np.zeros(0, np.uint64), np.zeros(0, RPC_TENSOR), buffer_table({}))
    assert len(nothing.build().nodes) == 0
    assert nothing.build().handles == ()


def test_a_node_list_without_records_is_refused() -> None:
    with pytest.raises(GraphError) as caught:
        Sample(np.ones(1, np.uint64), np.zeros(0, RPC_TENSOR), buffer_table({})).build()
    assert caught.value.clause == "GRAPH-6"


def test_nodes_without_the_flag_without_effect_or_without_elements_do_not_run() -> None:
    sample = one_node(Op.SCALE, T(Type.F32, (4,)), [T(Type.F32, (4,))])
    assert len(sample.build().nodes) == 1
    for field, value in (("flags", 0), ("op", Op.VIEW), ("op", Op.NONE)):
        assert len(sample.changed(put("node", field, value)).build().nodes) == 0
    empty = one_node(Op.SCALE, T(Type.F32, (4, 0)), [T(Type.F32, (4, 0))])
    assert len(empty.build().nodes) == 0


def test_setting_no_rows_does_not_run() -> None:
    srcs = [T(Type.F32, (4, 0)), T(Type.I64, (0,)), T(Type.F16, (4, 6))]
    assert len(one_node(Op.SET_ROWS, T(Type.F16, (4, 6)), srcs, alias=2).build().nodes) == 0


def test_a_tensor_without_elements_may_point_anywhere() -> None:
    empty = one_node(Op.ADD, T(Type.F32, (4, 0)), [T(Type.F32, (4, 0)), T(Type.F32, (4,))])
    for address in (0, 1, BASES[SCRATCH] + int(empty.buffers.sizes[0]), 2**64 - 1):
        assert len(empty.changed(put("node", "data", address)).build().nodes) == 0


def elsewhere(index: int) -> Callable[[Sample], None]:
    def change(sample: Sample) -> None:
        sample.records[index]["buffer"] = sample.records[index]["data"] = 0

    return change


def test_what_lives_elsewhere_can_be_viewed_but_not_computed_with() -> None:
    view = one_node(Op.VIEW, T(Type.F32, (4,)), [T(Type.F32, (4,))])
    assert len(view.changed(elsewhere(0)).changed(elsewhere(1)).build().nodes) == 0
    node = one_node(Op.SCALE, T(Type.F32, (4,)), [T(Type.F32, (4,))])
    for index in (0, 1):
        with pytest.raises(GraphError) as caught:
            node.changed(elsewhere(index)).build()
        assert caught.value.clause == "GRAPH-14"


def test_a_cast_may_name_itself_as_its_target() -> None:
    def cast(sample: Sample) -> None:
        sample.records[-1]["src"][1] = sample.records[-1]["id"]

    sample = one_node(Op.CPY, T(Type.F16, (4,)), [T(Type.F32, (4,)), T(Type.F16, (4,))], alias=1)
    assert len(sample.changed(cast).build().nodes) == 1


def test_an_operand_without_elements_is_refused() -> None:
    with pytest.raises(GraphError) as caught:
        one_node(Op.MUL_MAT, T(Type.F32, (3, 2)), [T(Type.F32, (0, 3)), T(Type.F32, (0, 2))]).build()
    assert caught.value.clause == "GRAPH-18"


def test_records_that_do_not_run_may_stand_for_any_op() -> None:
    sample = one_node(Op.SCALE, T(Type.F32, (4,)), [T(Type.F32, (4,))])
    sample.records[0]["op"], sample.records[0]["flags"] = Op.CUMSUM, TensorFlag.COMPUTE
    assert len(sample.build().nodes) == 1


LINKS = 100_000


def chain(backwards: bool) -> Sample:
    """A chain of SCALE nodes, each reading the one before it; records forwards or backwards."""
    b = GraphBuilder()
    x = b.leaf("x", Type.F32, (4,))
    b.place(x, SCRATCH, BASES[SCRATCH])
    b.scale(x, 1.0)
    b.plan_memory(32)
    b.place_intermediates(SCRATCH, BASES[SCRATCH] + 32)
    _, pair = b.message()
    records = np.repeat(pair, [1, LINKS])
    records["id"] = np.arange(1, LINKS + 2)
    records["src"][1:, 0] = records["id"][:-1]
    nodes = records["id"][1:].copy()
    return Sample(nodes, records[::-1].copy() if backwards else records, buffer_table({SCRATCH: (BASES[SCRATCH], 64)}))


@pytest.mark.parametrize("backwards", [False, True])
def test_a_long_chain_is_checked_in_time_and_without_recursion(backwards: bool) -> None:
    sample = chain(backwards)
    start = perf_counter()
    assert len(sample.build().nodes) == LINKS
    assert perf_counter() - start < 5


def test_a_circle_at_the_end_of_a_long_chain_is_found() -> None:
    sample = chain(False)
    sample.records["src"][0, 0] = sample.records["id"][-1]
    with pytest.raises(GraphError) as caught:
        sample.build()
    assert caught.value.clause == "GRAPH-8"
