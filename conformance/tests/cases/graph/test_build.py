"""Graphs as values become the records and messages that spec/data describes."""

import struct

import numpy as np
import pytest

from conformance.cases.graph.build import Graph, Tensor, graph, held, leaf, node, view
from conformance.cases.graph.placed import SLOT, Placed, again, changed, message, refuses, strides, tail, tolerates, uid
from conformance.cases.talk import Buffer
from conformance.judge.codec import Codec
from conformance.judge.steps import End, Mismatch, Reply, Send
from spec.load import load

OLD, NEW = (Codec(load().dialect(version)) for version in ("7.0.0", "8.0.0"))
THERE = Buffer(handle=77, size=4096, base=1 << 20)
NUMBERS = np.arange(6, dtype=np.float32).reshape(2, 3)


def summed() -> Graph:
    x = held(NUMBERS)
    return graph(node("ADD", "F32", (3, 2), x, x))


def fields(whole: Graph, tensor: Tensor, codec: Codec = OLD) -> dict[str, object]:
    return dict(codec.unpack("rpc_tensor", Placed(codec, whole, THERE).record(tensor)))


def test_a_leaf_says_type_extents_and_strides() -> None:
    whole = summed()
    said = fields(whole, whole.tensors[0])
    assert (said["id"], said["type"], said["ne"], said["nb"]) == (1, 0, (3, 2, 1, 1), (4, 12, 24, 24))
    assert (said["buffer"], said["data"], said["op"], said["flags"]) == (77, 1 << 20, 0, 0)


def test_a_node_says_its_op_its_operands_and_that_it_executes() -> None:
    whole = summed()
    said = fields(whole, whole.tensors[1])
    assert (said["op"], said["flags"], said["src"]) == (OLD.dialect.op("ADD").number, 16, (1, 1, *(0,) * 8))
    assert said["data"] == (1 << 20) + SLOT


def test_an_op_has_the_number_that_the_dialect_gives() -> None:
    whole = graph(node("GLU", "F32", (4,), leaf("F32", (4,)), leaf("F32", (4,))))
    for codec in (OLD, NEW):
        assert fields(whole, whole.tensors[2], codec)["op"] == codec.dialect.op("GLU").number


def test_parameters_stand_in_the_words_and_types_of_the_data() -> None:
    whole = graph(node("SOFT_MAX", "F32", (4,), leaf("F32", (4,)), params={"scale": 0.5, "max_bias": 8.0}))
    assert struct.unpack_from("<2f", record_bytes(whole), 56) == (0.5, 8.0)
    whole = graph(node("PAD", "F32", (4,), leaf("F32", (4,)), params={"pads": (1, 2, 3, 4, 5, 6, 7, -8)}))
    assert struct.unpack_from("<9i", record_bytes(whole), 56) == (1, 2, 3, 4, 5, 6, 7, -8, 0)


def record_bytes(whole: Graph) -> bytes:
    return Placed(OLD, whole, THERE).records()[-1]


def test_a_parameter_that_the_op_does_not_have_is_a_fault_of_the_case() -> None:
    with pytest.raises(KeyError):
        record_bytes(graph(node("ADD", "F32", (4,), leaf("F32", (4,)), params={"scale": 1.0})))


def test_blocks_are_counted_by_the_length_of_a_block() -> None:
    kind = OLD.dialect.type("Q4_0")
    assert strides(kind, (64, 3, 2, 1)) == (18, 36, 108, 216)
    whole = graph(leaf("Q4_0", (64, 3)))
    assert Placed(OLD, whole, THERE).nbytes(whole.tensors[0]) == 108


def test_a_view_lies_in_its_source_and_takes_no_place() -> None:
    x = held(NUMBERS)
    part = view(x, (3,), at=12)
    whole = graph(part, leaf("F32", (1,)))
    there = Placed(OLD, whole, THERE)
    assert fields(whole, part)["data"] == (1 << 20) + 12
    assert (fields(whole, part)["view_src"], fields(whole, part)["view_offs"]) == (1, 12)
    assert there.size == 2 * SLOT


def test_a_view_of_a_view_lies_where_both_offsets_add_up_to() -> None:
    x = held(NUMBERS)
    whole = graph(view(view(x, (3,), at=12), (1,), at=8))
    assert fields(whole, whole.results[0])["data"] == (1 << 20) + 20


def test_a_result_onto_another_tensor_shares_its_bytes() -> None:
    target = leaf("F32", (3,))
    whole = graph(node("CPY", "F32", (3,), leaf("F32", (3,)), target, onto=target))
    assert fields(whole, whole.results[0])["data"] == fields(whole, target)["data"]


def test_whatever_is_said_otherwise_comes_last() -> None:
    x = held(NUMBERS).saying(type=99, data=5).saying(data=6)
    said = fields(graph(x), x)
    assert (said["type"], said["data"], said["buffer"]) == (99, 6, 77)


def test_records_stand_operands_first_and_nodes_are_what_has_an_op() -> None:
    x = held(NUMBERS)
    y = node("SQR", "F32", (3, 2), x)
    z = node("ADD", "F32", (3, 2), y, x)
    whole = graph(z)
    assert whole.tensors == (x, y, z)
    assert whole.nodes == (y, z)
    assert [whole.id_of(tensor) for tensor in (x, y, z)] == [1, 2, 3]


def test_a_chain_may_be_longer_than_the_stack_is_deep() -> None:
    x = leaf("F32", (1,))
    for _ in range(5000):
        x = node("SQR", "F32", (1,), x)
    assert len(graph(x).tensors) == 5001


def test_a_record_can_be_replaced_and_its_readers_read_the_new_one() -> None:
    x = held(NUMBERS)
    y = node("SQR", "F32", (3, 2), x)
    whole = graph(node("ADD", "F32", (3, 2), y, x))
    other = leaf("F32", (9,))
    new = whole.replacing(x, other)
    assert new.tensors[0] is other
    assert new.tensors[1].srcs == (other,)
    assert new.tensors[2].srcs == (new.tensors[1], other)
    assert new.nodes == new.results[:0] + new.tensors[1:]
    assert whole.tensors[1].srcs == (x,)


def test_what_does_not_refer_to_a_replaced_record_stays_itself() -> None:
    x, y = held(NUMBERS), held(NUMBERS)
    total = node("ADD", "F32", (3, 2), x, y)
    assert graph(total).replacing(y, leaf("F32", (3, 2))).tensors[0] is x


def test_the_message_is_ids_count_and_records() -> None:
    there = Placed(OLD, summed(), THERE)
    sent = there.message()
    size = OLD.size("rpc_tensor")
    assert sent[0] == OLD.dialect.command("GRAPH_COMPUTE").number
    assert struct.unpack_from("<QIIQI", sent, 1) == (4 + 4 + 8 + 4 + 2 * size, 0, 1, 2, 2)
    assert sent[-2 * size :] == b"".join(there.records())


def test_a_node_that_says_another_id_is_listed_under_that() -> None:
    whole = summed()
    said = whole.replacing(whole.tensors[1], whole.tensors[1].saying(id=900))
    assert Placed(OLD, said, THERE).node_ids() == (900,)


def test_uids_are_sent_where_the_dialect_has_them() -> None:
    assert uid(OLD, "GRAPH_COMPUTE", 5) == {}
    assert uid(NEW, "GRAPH_COMPUTE", 5) == {"uid": 5}
    assert len(again(NEW, 5)) == len(again(OLD, 5)) + 8
    assert message(NEW, (), (), name=5)[9 + 4 : 9 + 12] == (5).to_bytes(8, "little")


def test_the_tail_of_nothing_is_a_count_of_nothing() -> None:
    assert tail((), ()) == bytes(4)


def test_a_record_changed_afterwards_keeps_everything_else() -> None:
    there = Placed(OLD, summed(), THERE)
    before = there.records()[0]
    after = changed(OLD, before, view_offs=3)
    assert after != before
    assert changed(OLD, after, view_offs=0) == before


HELLO = Reply(28, NEW.pack("hello_rsp", {"major": 8}))
BUFFER = Reply(16, NEW.pack("alloc_buffer_rsp", {"handle": 5, "size": 4096}))
BASE = Reply(8, NEW.pack("buffer_get_base_rsp", {"base": 4096}))
COUNT = Reply(4, NEW.pack("device_count_rsp", {"count": 1}))


def carried_out(judge: object, last: Reply | End) -> None:
    """Drive a case's script with these answers."""
    talk = judge(lambda codec: summed(), NEW)  # type: ignore[operator]
    answers = iter((HELLO, BUFFER, BASE, last))
    step = next(talk)
    while True:
        try:
            step = talk.send(None if isinstance(step, Send) else next(answers))
        except StopIteration:
            return


def test_a_refusal_is_the_end_without_a_reply() -> None:
    carried_out(refuses, End())
    with pytest.raises(Mismatch):
        carried_out(refuses, COUNT)
    with pytest.raises(Mismatch):
        carried_out(refuses, End(b"\x01"))


def test_what_is_tolerated_ends_or_goes_on() -> None:
    carried_out(tolerates, End())
    carried_out(tolerates, COUNT)
    with pytest.raises(Mismatch):
        carried_out(tolerates, Reply(5, bytes(5)))
