"""Every op has samples, every clause about ops has a case, and a sample is the same whenever it is made."""

import numpy as np
import pytest

from conformance.cases.graph.build import leaf
from conformance.cases.graph.placed import Placed
from conformance.cases.ops.in_place import in_place
from conformance.cases.ops.listed import ENTRIES, sample_graphs
from conformance.cases.ops.sample import Book, Expected, onto, within
from conformance.cases.ops.tolerance import EXACT, TOLERANCES, Tolerance
from conformance.cases.talk import Buffer
from conformance.judge.codec import Codec
from conformance.tests.ops.asking import OP_CASES
from spec.load import load
from spec.prose import clauses

DIALECT = load().dialect(load().versions[-1])
SAMPLED = {op.name for op in DIALECT.ops if not op.never_accepted}


def test_every_op_that_may_be_accepted_has_a_sample_and_a_tolerance() -> None:
    assert {entry.op for entry in ENTRIES.values()} == SAMPLED
    assert TOLERANCES.keys() == SAMPLED


def test_every_clause_about_ops_has_a_case() -> None:
    about = {clause.id for clause in clauses().values() if clause.family == "OP"}
    assert about - {case.clause.id for case in OP_CASES.values()} == set()


def test_every_op_that_may_write_onto_an_operand_is_asked_to() -> None:
    marked = {op.name for op in DIALECT.ops if op.in_place}
    assert marked - {entry.op for entry in ENTRIES.values() if entry.slug == "in-place"} == set()
    assert list(in_place(ENTRIES.values())) == []


def test_there_is_a_graph_for_each_op_with_that_op_in_it() -> None:
    graphs = dict(sample_graphs())
    assert graphs.keys() == SAMPLED
    for op, graph in graphs.items():
        assert op in {tensor.op for tensor in graph.tensors}


@pytest.mark.parametrize(
    "name", ["MUL_MAT/q4-k-matrix", "ARGSORT/ascending", "FLASH_ATTN_EXT/sinks", "SSM_SCAN/groups"]
)
def test_a_sample_is_the_same_whenever_it_is_made(name: str) -> None:
    one, two = ENTRIES[name].sample(), ENTRIES[name].sample()
    assert [tensor.data for tensor in one.graph.tensors] == [tensor.data for tensor in two.graph.tensors]
    for first, second in zip(one.expected, two.expected, strict=True):
        assert np.array_equal(first.want, second.want, equal_nan=True)


def test_samples_are_small_and_their_results_are_those_that_are_read() -> None:
    for entry in ENTRIES.values():
        sample = entry.sample()
        assert sample.graph.results == tuple(each.tensor for each in sample.expected), entry.name
        assert Placed(Codec(DIALECT), sample.graph, Buffer(0, 0, 0)).size < 1 << 20, entry.name


def held_to(want: list[float], tolerance: Tolerance, kind: str = "F32") -> Expected:
    values = np.array(want).reshape(1, 1, 1, -1)
    return within(leaf(kind, (len(want),)), values, tolerance)


def said(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


def test_exact_means_exact() -> None:
    expected = held_to([1.0, -np.inf, np.inf], EXACT)
    assert expected.complaint(said(1.0, -np.inf, np.inf)) is None
    assert expected.complaint(said(1.0 + 2.0**-23, -np.inf, np.inf)) is not None


def test_another_infinity_and_a_number_for_one_are_wrong() -> None:
    expected = held_to([1.0, -np.inf], Tolerance(relative=0.5, of_all=0.5, reason="wide"))
    assert expected.complaint(said(1.0, np.inf)) is not None
    assert expected.complaint(said(1.0, -3e38)) is not None
    assert expected.complaint(said(np.nan, -np.inf)) is not None


def test_a_complaint_names_the_worst_element_and_counts() -> None:
    expected = held_to([1.0, 2.0, 4.0], Tolerance(relative=0.01, reason="narrow"))
    complaint = expected.complaint(said(1.0, 2.5, 6.0))
    assert complaint is not None
    assert complaint[0].startswith("4 within 0.04")
    assert "at [2, 0, 0, 0]" in complaint[0]
    assert complaint[1] == "6; 2 of 3 elements are wrong"


def test_many_small_deviations_are_too_much_together() -> None:
    expected = held_to([1.0] * 8, Tolerance(relative=0.1, nmse=1e-4, reason="wide for one, narrow for all"))
    assert expected.complaint(said(*[1.05] + [1.0] * 7)) is not None
    assert expected.complaint(said(*[1.005] * 8)) is None


def test_rows_in_any_order_are_sets() -> None:
    expected = Expected(
        tensor=leaf("F32", (3,)), want=np.array([[[[3.0, 1, 2]]]]), off_by=np.zeros((1, 1, 1, 3)), any_order=True
    )
    assert expected.complaint(said(1, 2, 3)) is None
    assert expected.complaint(said(1, 2, 2)) is not None


def test_a_sample_stands_once() -> None:
    book = Book()
    book.add("ADD", "x", "t", ENTRIES["ADD/same-extents"].make)
    with pytest.raises(ValueError, match="two samples"):
        book.add("ADD", "x", "t", ENTRIES["ADD/same-extents"].make)


def test_a_result_moved_onto_an_operand_has_its_place() -> None:
    sample = ENTRIES["ADD/same-extents"].sample()
    (node,) = sample.graph.results
    operand = node.srcs[0]
    assert operand is not None
    moved = onto(sample, operand)
    there = Placed(Codec(DIALECT), moved.graph, Buffer(0, 0, 0))
    assert there.place(moved.graph.results[0]) == there.place(operand)
