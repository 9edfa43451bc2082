"""GraphBuilder: what it sends is what stock sends, and passes every check of a server."""

from collections.abc import Callable

import attrs
import numpy as np
import pytest

from refimpl.graph.checked import TensorTable
from refimpl.graph.define import GraphBuilder, Rope, Tensor
from refimpl.graph.layout import natural_strides
from refimpl.tests.graph.samples import ALIGNMENT, T, layer, one_node
from spec.names import Op, TensorFlag, Type


@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("tokens", [1, 2, 33])
def test_a_defined_layer_passes_all_checks(flash: bool, tokens: int) -> None:
    graph = layer(flash, tokens).build()
    ops = [Op(op) for op in graph.tensors.op[graph.nodes]]
    assert (Op.FLASH_ATTN_EXT in ops) is flash
    assert ops.count(Op.SET_ROWS) == 2
    assert Op.PERMUTE not in ops


def test_records_stand_behind_what_they_refer_to() -> None:
    records = layer(True).records
    place = {int(identity): index for index, identity in enumerate(records["id"])}
    for index, record in enumerate(records):
        for reference in (*record["src"], record["view_src"]):
            assert not reference or place[int(reference)] < index


def test_every_node_has_the_compute_flag_and_no_leaf_has() -> None:
    sample = layer(True)
    flagged = sample.records["id"][(sample.records["flags"] & TensorFlag.COMPUTE) != 0]
    assert flagged.tolist() == sample.nodes.tolist()


def test_a_checked_graph_keeps_nothing_of_the_message() -> None:
    for sample in (layer(True), one_node(Op.NONE, T(Type.F32, (4,)), ())):
        table = sample.build().tensors
        for field in attrs.fields(TensorTable):
            array = getattr(table, field.name)
            assert not np.shares_memory(array, sample.records)
            assert array.flags.aligned
            assert array.flags.c_contiguous


def test_use_counts_are_the_operand_slots_that_name_a_tensor() -> None:
    records = layer(False).records
    used = records["src"][records["src"] != 0].tolist()
    assert records["use_count"].tolist() == [used.count(identity) for identity in records["id"].tolist()]
    assert records["use_count"].max() > 1


def test_no_node_writes_over_an_output_or_an_operand_that_is_still_read() -> None:
    sample = layer(False)
    graph, table = sample.build(), sample.build().tensors
    written: dict[int, tuple[int, int, int]] = {}
    for node in graph.nodes.tolist():
        if table.view_src[node] < 0:
            written[node] = (
                int(table.buffer[node]),
                int(table.offset[node]),
                int(table.offset[node] + table.nbytes[node]),
            )
    last = {node: step for step, node in enumerate(graph.nodes.tolist())}
    for step, node in enumerate(graph.nodes.tolist()):
        for source in table.src[node][table.src[node] >= 0].tolist():
            root = int(table.view_src[source]) if table.view_src[source] >= 0 else source
            last[root] = step
    last[sample.index("result")] = len(last)
    first = {node: step for step, node in enumerate(graph.nodes.tolist())}
    for one, (buffer, begin, end) in written.items():
        for other, (theirs, start, stop) in written.items():
            if one < other and buffer == theirs and begin < stop and start < end:
                assert last[one] < first[other]


def test_intermediates_are_aligned() -> None:
    sample = layer(True)
    roots = sample.records[sample.records["view_src"] == 0]
    assert (roots["data"] % ALIGNMENT == 0).all()


def test_a_view_of_a_view_names_the_root_and_adds_the_offsets() -> None:
    b = GraphBuilder()
    x = b.leaf("x", Type.F32, (8, 8))
    inner = b.view(b.view(x, (8, 4), offset=64), (4, 2), (32,), offset=16)
    assert (inner.view_src, inner.view_offs, inner.nb) == (x, 80, (4, 32, 64, 64))


def test_permuting_moves_extents_and_strides_together() -> None:
    b = GraphBuilder()
    x = b.permute(b.leaf("x", Type.F16, (2, 3, 5, 7)), (1, 2, 0, 3))
    assert x.ne == (5, 2, 3, 7)
    assert x.nb == (12, 2, 4, 60)
    assert b.transpose(x).ne == (2, 5, 3, 7)


def test_a_copy_is_a_view_of_its_target() -> None:
    b = GraphBuilder()
    target = b.leaf("target", Type.F16, (4, 2))
    copied = b.cpy(b.leaf("x", Type.F32, (8,)), target)
    assert (copied.view_src, copied.type, copied.srcs[1]) == (target, Type.F16, target)


def test_blocks_give_strides_in_whole_blocks() -> None:
    assert natural_strides(Type.Q4_0, (64, 3, 2, 1)) == (18, 36, 108, 216)
    with pytest.raises(ValueError, match="whole number of blocks"):
        GraphBuilder().leaf("w", Type.Q8_0, (33,))


def test_what_is_not_placed_is_named() -> None:
    b = GraphBuilder()
    b.scale(b.leaf("input", Type.F32, (4,)), 2.0)
    with pytest.raises(ValueError, match="has no memory"):
        b.message()
    b.plan_memory(ALIGNMENT)
    b.place_intermediates(1, 4096)
    with pytest.raises(ValueError, match="'input'"):
        b.message()


def test_float_parameters_travel_as_bit_patterns() -> None:
    b = GraphBuilder()
    x = b.rms_norm(b.leaf("x", Type.F32, (4,)), 1e-5)
    assert np.array(x.params, np.int32).view(np.float32).tolist() == [np.float32(1e-5)]


def test_operands_that_do_not_fit_are_refused_where_they_are_used() -> None:
    b = GraphBuilder()
    x, w = b.leaf("x", Type.F32, (8, 4)), b.leaf("w", Type.F32, (6, 4))
    positions = b.leaf("positions", Type.I32, (4,))
    mistakes: list[Callable[[], Tensor]] = [
        lambda: b.mul_mat(w, x),
        lambda: b.add(x, w),
        lambda: b.swiglu(x, w),
        lambda: b.reshape(x, (5, 5)),
        lambda: b.cont(x, (5, 5)),
        lambda: b.view(x, (8, 4), offset=4),
        lambda: b.permute(x, (0, 0, 1, 2)),
        lambda: b.rope(x, positions, Rope(n_dims=8)),
        lambda: b.set_rows(w, x, positions),
        lambda: b.soft_max(x, w),
        lambda: b.leaf("y", Type.F32, (1, 1, 1, 1, 1)),
    ]
    for wrong in mistakes:
        with pytest.raises(ValueError, match=r"\S"):
            wrong()


def test_a_cast_is_a_copy_that_names_itself_as_its_target() -> None:
    b = GraphBuilder()
    x = b.leaf("x", Type.F32, (8, 2))
    y = b.output(b.cast(b.permute(x, (1, 0, 2, 3)), Type.F16))
    b.place(x, 1, 0)
    b.place(y, 1, 64)
    _, records = b.message()
    record = next(record for record in records if record["id"] == y.id)
    assert (Op(record["op"]), Type(record["type"]), record["ne"].tolist()) == (Op.CPY, Type.F16, [2, 8, 1, 1])
    assert record["src"][:3].tolist() == [y.id - 1, y.id, 0]
    assert record["view_src"] == 0


def test_a_hadamard_matrix_is_told() -> None:
    b = GraphBuilder()
    w, x = b.leaf("w", Type.F32, (64, 64)), b.leaf("x", Type.F32, (64, 3))
    assert b.mul_mat(w, x, hadamard=True).params == (0, 1)
    assert b.mul_mat(w, x).params == (0, 0)
