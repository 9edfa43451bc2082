"""The contract lets the right backend through and stops each of the wrong ones, in every op where they can err."""

from collections.abc import Callable, Iterator
from functools import cache

import attrs
import numpy as np
import pytest

from refimpl.errors import ComputeFault
from refimpl.kernels import contract
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import AS_IS, case, dim, empty, normal, store
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.evaluate import DEFINITIONS, evaluate
from refimpl.kernels.oracle.mul_mat import MATVEC
from refimpl.kernels.oracle.views import Values, block_bytes, byte_index, reals
from refimpl.kernels.tolerance import tolerance_of
from spec.names import Op, Type

Wrong = Callable[[Case, int], None]

OPS = tuple(DEFINITIONS)
NO_VALUES = {Op.ARANGE, Op.FILL}
"""ops that read no element of a source"""
EQUAL_ROWS = {Op.SUM, Op.ARANGE, Op.FILL}
"""ops whose results have one row, or the same one again and again"""


@cache
def cases() -> tuple[Case, ...]:
    return tuple(contract.cases())


def cases_of(op: Op) -> Iterator[Case]:
    return (made for made in cases() if made.op == op)


def write(dst: Operand, made: Case, values: Values) -> None:
    """`values` into dst; into a block format from sources of the same format, or quantised where they are new."""
    form = FORMATS[dst.type]
    if form.block == 1:
        store(dst, values)
        return
    source = made.srcs[0]
    if source is not None and FORMATS[source.type].block == 1 and form.encode is not None:
        fresh = (reals(dst) != values).reshape(-1, form.block).any(axis=1)
        index = byte_index(dst).reshape(-1, form.bytes)[fresh]
        dst.data[index] = form.encode(values.astype(np.float32).reshape(-1, form.block)[fresh])
        return
    parts = [block_bytes(source) for source in made.srcs if source is not None]
    moved = np.concatenate(parts, axis=3 - made.params[0]) if made.op == Op.CONCAT else parts[0]
    index = byte_index(dst)
    dst.data[index] = moved.reshape(index.shape)


def right(made: Case, threads: int) -> None:
    write(made.dst, made, evaluate(made))


def zeros(made: Case, threads: int) -> None:
    made.dst.data[byte_index(made.dst)] = 0


def one_row_late(made: Case, threads: int) -> None:
    write(made.dst, made, np.roll(evaluate(made), 1, axis=2))


def last_row_missing(made: Case, threads: int) -> None:
    index = byte_index(made.dst)
    before = made.dst.data[index[:, :, -1:]]
    right(made, threads)
    made.dst.data[index[:, :, -1:]] = before


def last_column_missing(made: Case, threads: int) -> None:
    index = byte_index(made.dst)
    before = made.dst.data[index[:, :, :, -1:]]
    right(made, threads)
    made.dst.data[index[:, :, :, -1:]] = before


def one_value_off(made: Case, threads: int) -> None:
    """By one per cent of the largest, in one place."""
    values = evaluate(made)
    finite = np.where(np.isfinite(values), np.abs(values), 0)
    if finite.max(initial=0) > 0:
        values[np.unravel_index(finite.argmax(), values.shape)] *= 1.01
    write(made.dst, made, values)


def all_values_off(made: Case, threads: int) -> None:
    """By half a per cent: no single one stands out."""
    write(made.dst, made, evaluate(made) * 1.005)


def packed(operand: Operand) -> Operand:
    """The operand read as if its rows followed one another."""
    return attrs.evolve(operand, nb=empty(operand.type, operand.ne, AS_IS).nb)


def blind_to_source_strides(made: Case, threads: int) -> None:
    srcs = tuple(None if source is None else packed(source) for source in made.srcs)
    right(attrs.evolve(made, srcs=srcs), threads)


def blind_to_offsets(made: Case, threads: int) -> None:
    srcs = tuple(None if source is None else attrs.evolve(source, offset=contract.STRIP) for source in made.srcs)
    right(attrs.evolve(made, srcs=srcs), threads)


def blind_to_dst_strides(made: Case, threads: int) -> None:
    values = evaluate(made)
    write(packed(made.dst), made, values)


def one_byte_after(made: Case, threads: int) -> None:
    right(made, threads)
    made.dst.data[byte_index(made.dst).max(initial=0) + 1] ^= 1


def one_byte_before(made: Case, threads: int) -> None:
    right(made, threads)
    made.dst.data[made.dst.offset - 1] ^= 1


def scratch_in_a_source(made: Case, threads: int) -> None:
    right(made, threads)
    for source in made.srcs:
        if source is not None and source.data is not made.dst.data:
            source.data[source.offset] ^= 1


def wrong_with_many_threads(made: Case, threads: int) -> None:
    (one_row_late if threads > 4 else right)(made, threads)


def stopped(backend: Wrong, op: Op, threads: int = 1) -> bool:
    """Whether some case of `op` stops `backend`; a mistake may also run its oracle out of bounds."""
    for made in cases_of(op):
        try:
            contract.check(backend, made, threads)
        except (contract.ContractViolation, ValueError, IndexError):
            return True
    return False


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_the_oracle_keeps_its_own_contract(op: Op) -> None:
    for made in cases_of(op):
        contract.check(right, made, 1)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@pytest.mark.parametrize(
    "backend",
    [zeros, one_row_late, last_row_missing, last_column_missing, one_byte_after, one_byte_before, scratch_in_a_source],
    ids=lambda backend: backend.__name__,
)
def test_a_gross_mistake_is_stopped_in_every_op(backend: Wrong, op: Op) -> None:
    if (backend, op) in [(one_row_late, same) for same in EQUAL_ROWS] + [(scratch_in_a_source, Op.ARANGE)]:
        assert not stopped(backend, op)
    else:
        assert stopped(backend, op)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
@pytest.mark.parametrize("backend", [one_value_off, all_values_off], ids=lambda backend: backend.__name__)
def test_a_small_mistake_is_stopped_in_every_op(backend: Wrong, op: Op) -> None:
    assert stopped(backend, op)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_strides_and_offsets_of_sources_matter_in_every_op(op: Op) -> None:
    assert stopped(blind_to_source_strides, op) is (op not in NO_VALUES)
    assert stopped(blind_to_offsets, op) is (op not in NO_VALUES)


@pytest.mark.parametrize("op", [Op.CPY, Op.SET_ROWS, Op.ADD, Op.MUL, Op.SCALE, Op.RMS_NORM, Op.MUL_MAT, Op.ROPE])
def test_strides_of_dst_matter(op: Op) -> None:
    assert stopped(blind_to_dst_strides, op)


def test_a_mistake_that_needs_many_threads_is_stopped() -> None:
    assert not stopped(wrong_with_many_threads, Op.MUL_MAT, threads=1)
    assert stopped(wrong_with_many_threads, Op.MUL_MAT, threads=max(contract.THREADS))


@pytest.mark.parametrize("type_", MATVEC, ids=lambda t: t.name)
def test_a_weight_row_taken_for_its_neighbour_is_stopped_in_every_type(type_: Type) -> None:
    def shifted(made: Case, threads: int) -> None:
        write(made.dst, made, np.roll(evaluate(made), 1, axis=3))

    for made in cases_of(Op.MUL_MAT):
        weights = made.srcs[0]
        if weights is not None and weights.type == type_ and made.dst.ne[0] > 1 and "zeros" not in made.label:
            if 0 in made.dst.ne:
                continue
            with pytest.raises(contract.ContractViolation):
                contract.check(shifted, made)


def test_zeros_are_stopped_wherever_something_else_is_expected() -> None:
    for made in cases():
        expected = evaluate(made)
        if np.any(expected != 0):
            with pytest.raises(contract.ContractViolation):
                contract.check(zeros, made)


def test_truncation_to_f16_is_stopped() -> None:
    def truncating(made: Case, threads: int) -> None:
        source = made.srcs[0]
        assert source is not None
        values = block_bytes(source).view("<f4").astype(np.float64).reshape(-1)
        near = values.astype(np.float16)
        above = np.abs(near.astype(np.float64)) > np.abs(values)
        store(made.dst, np.where(above, np.nextafter(near, np.float16(0)), near).reshape(1, 1, 1, -1))

    with np.errstate(over="ignore", under="ignore"):
        edges = [made for made in cases_of(Op.CPY) if made.label == "F32 to F16 edges of F16"]
        assert len(edges) == 1
        with pytest.raises(contract.ContractViolation):
            contract.check(truncating, edges[0])


def test_fault_cases_want_a_compute_fault() -> None:
    def faulting(made: Case, threads: int) -> None:
        raise ComputeFault("GRAPH-1", "row out of range")

    def faulting_after_a_wild_write(made: Case, threads: int) -> None:
        made.dst.data[made.dst.offset - 1] ^= 1
        raise ComputeFault("GRAPH-1", "row out of range")

    faults = contract.fault_cases()
    assert {made.op for made in faults} == {Op.GET_ROWS, Op.SET_ROWS, Op.ADD_ID, Op.MUL_MAT_ID}
    for made in faults:
        contract.check_fault(faulting, made)
        with pytest.raises(contract.ContractViolation, match="wrote outside dst"):
            contract.check_fault(faulting_after_a_wild_write, made)
        with pytest.raises(contract.ContractViolation, match="not reported"):
            contract.check_fault(lambda made, threads: None, made)
        with pytest.raises(IndexError):
            evaluate(made)


def test_what_a_backend_raises_passes_through_with_the_case_named() -> None:
    def broken(made: Case, threads: int) -> None:
        raise ZeroDivisionError

    made = next(cases_of(Op.ROPE))
    with pytest.raises(ZeroDivisionError) as caught:
        contract.check(broken, made)
    assert "ROPE" in caught.value.__notes__[0]


def test_a_violation_says_where_what_and_how_far() -> None:
    src = store(empty(Type.F32, dim(2, 2)), np.array([1.0, 2, 3, 4]).reshape(1, 1, 2, 2))
    made = case(Op.ADD, "two by two", (src, src), empty(Type.F32, dim(2, 2)))

    def off(trial: Case, threads: int) -> None:
        values = evaluate(trial)
        values[0, 0, 1, 0] = 7
        store(trial.dst, values)

    with pytest.raises(contract.ContractViolation) as caught:
        contract.check(off, made, 2)
    message = str(caught.value)
    for part in (
        "ADD 'two by two' with 2 threads",
        "src0 F32 ne [2, 2, 1, 1]",
        "(0, 1, 0, 0)",
        "expected 6, got 7",
        "bound",
    ):
        assert part in message


def test_a_wild_write_is_placed_relative_to_its_operand() -> None:
    made = case(Op.CONT, "", (normal(np.random.default_rng(0), Type.F32, dim(3)),), empty(Type.F32, dim(3)))
    with pytest.raises(contract.ContractViolation, match=r"1 bytes, the first one \+12 bytes from the start of dst"):
        contract.check(one_byte_after, made)


def test_the_callers_case_is_left_alone() -> None:
    made = next(cases_of(Op.ADD))
    before = made.dst.data.copy()
    contract.check(right, made)
    np.testing.assert_array_equal(made.dst.data, before)


def test_a_guarded_copy_keeps_aliases_and_alignment() -> None:
    for made in cases():
        copy = contract.guarded(made)
        for source, moved in zip(made.srcs, copy.srcs, strict=True):
            if source is None or moved is None:
                assert source is moved
                continue
            assert (moved.data is copy.dst.data) == (source.data is made.dst.data)
            assert (moved.data.ctypes.data + moved.offset - source.offset) % 64 == 0


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second, other = contract.cases(1), contract.cases(1), contract.cases(2)
    for one, same in zip(first, second, strict=True):
        assert (one.op, one.label) == (same.op, same.label)
        assert (one.params == same.params).all()
        for a, b in zip((*one.srcs, one.dst), (*same.srcs, same.dst), strict=True):
            assert (a is b is None) or (a is not None and b is not None and a.data.tobytes() == b.data.tobytes())
    assert any((a.data != b.data).any() for a, b in zip(sources(first), sources(other), strict=True))


def sources(made: list[Case]) -> list[Operand]:
    return [one.srcs[0] for one in made if one.srcs and one.srcs[0] is not None]


def test_every_case_has_a_tolerance_and_every_definition_has_cases() -> None:
    for made in cases():
        assert tolerance_of(made).nmse >= 0
    assert {made.op for made in cases()} == set(DEFINITIONS)


def test_labels_tell_the_cases_of_an_op_apart() -> None:
    seen: set[tuple[object, ...]] = set()
    for made in cases():
        key = (made.op, made.label, *[source and (source.type, source.ne, source.nb) for source in made.srcs])
        assert key not in seen, key
        seen.add(key)
