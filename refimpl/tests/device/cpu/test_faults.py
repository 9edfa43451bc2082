"""An index outside its table ends the run with the tensor's name and the index; the next run knows nothing of it."""

import re

import numpy as np
import pytest

from refimpl.device.cpu import CpuDevice
from refimpl.device.protocol import Program
from refimpl.errors import ComputeFault, UnsupportedError
from refimpl.graph.define import GraphBuilder, Rope
from refimpl.tests.device.cpu.stage import Stage, activations
from refimpl.tests.graph.samples import SCRATCH, T, one_node
from spec.names import Glu, Op, RopeMode, Type, Unary

F32, F16, Q4_0, Q8_0, I32, IQ4_NL = Type.F32, Type.F16, Type.Q4_0, Type.Q8_0, Type.I32, Type.IQ4_NL
ROWS, COLUMNS = 7, 20
MANY = 1000
"""rows that no thread would fetch alone"""


class Lookup:
    """Rows of a table by index, doubled."""

    def __init__(self, stage: Stage, indices: int = 3) -> None:
        self.stage, self.b = stage, GraphBuilder()
        b = self.b
        self.table, self.indices = b.leaf("table", F32, (COLUMNS, ROWS)), b.leaf("indices", I32, (indices,))
        self.found = b.named(b.get_rows(self.table, self.indices), "found")
        self.doubled = b.output(b.scale(self.found, 2.0))
        stage.lay(b, self.table, self.indices)
        self.program: Program = stage.compile(b)
        self.data = activations(0, ROWS, COLUMNS)
        stage.write(b, self.table, self.data)

    def run(self, *indices: int) -> None:
        self.stage.write(self.b, self.indices, np.array(indices, np.int32))
        self.stage.run(self.program)

    def assert_right(self, *indices: int) -> None:
        self.run(*indices)
        got = self.stage.floats(self.b, self.doubled)
        np.testing.assert_array_equal(got, 2 * self.data[list(indices)].reshape(-1))


@pytest.mark.parametrize("bad", [ROWS, -1, 1 << 30, -(1 << 31)])
@pytest.mark.parametrize("at", [0, 2])
def test_a_fault_names_the_tensor_and_the_index(stage: Stage, bad: int, at: int) -> None:
    lookup = Lookup(stage)
    indices = [6, 0, 3]
    indices[at] = bad
    with pytest.raises(ComputeFault) as caught:
        lookup.run(*indices)
    assert re.search(rf"'found'.* index {bad} of 7 rows", str(caught.value))
    assert caught.value.clause == "GRAPH-20"


def test_the_next_run_is_clean(stage: Stage) -> None:
    lookup = Lookup(stage)
    for bad in (7, 8):
        with pytest.raises(ComputeFault, match=f"index {bad} of"):
            lookup.run(0, bad, 1)
        lookup.assert_right(6, 0, 6)


def test_a_fault_is_not_another_programs(stage: Stage) -> None:
    lookup, other = Lookup(stage), Lookup(stage)
    with pytest.raises(ComputeFault):
        lookup.run(0, 0, -7)
    other.assert_right(1, 2, 3)


def test_of_many_faults_one_is_reported_whole(stage: Stage) -> None:
    """Its index and its limit belong together, whichever thread comes first."""
    lookup = Lookup(stage, MANY)
    with pytest.raises(ComputeFault) as caught:
        lookup.run(*range(100, 100 + MANY))
    found = re.search(r"'found'.* index (\d+) of 7 rows", str(caught.value))
    assert found
    assert 100 <= int(found[1]) < 100 + MANY


def test_rows_set_outside_their_table_are_a_fault_of_the_node_that_sets_them(stage: Stage) -> None:
    b = GraphBuilder()
    target, rows, indices = b.leaf("cache", F16, (8, 5)), b.leaf("rows", F32, (8, 2)), b.leaf("where", Type.I64, (2,))
    b.named(b.set_rows(target, rows, indices), "stored")
    stage.lay(b, target, rows, indices)
    program = stage.compile(b)
    stage.write(b, indices, np.array([0, 1 << 40], np.int64))
    with pytest.raises(ComputeFault, match=rf"'stored'.* index {1 << 40} of 5 rows"):
        stage.run(program)
    stage.write(b, indices, np.array([0, 4], np.int64))
    stage.run(program)


def test_a_fault_ends_the_run_before_the_steps_that_wait_for_it(stage: Stage) -> None:
    lookup = Lookup(stage, MANY)
    lookup.assert_right(*[1] * MANY)
    before = lookup.stage.read(lookup.b, lookup.doubled)
    with pytest.raises(ComputeFault):
        lookup.run(*[2] * (MANY - 1), 99)
    assert lookup.stage.read(lookup.b, lookup.doubled) == before


X = T(F32, (32, 3, 2))
ROPE = Rope(n_dims=8, mode=RopeMode.NORMAL).params()

UNSUPPORTED = {
    "ADD (F32, F16) -> F16": (Op.ADD, T(F16, (8,)), [T(F32, (8,)), T(F16, (8,))], ()),
    "UNARY (I32) -> I32": (Op.UNARY, T(I32, (8,)), [T(I32, (8,))], (Unary.ABS,)),
    "MUL (F32, F16) -> F32": (Op.MUL, X, [X, T(F16, (32, 3, 2))], ()),
    "CPY (F32, IQ4_NL) -> IQ4_NL": (Op.CPY, T(IQ4_NL, (32, 2)), [T(F32, (32, 2)), T(IQ4_NL, (32, 2))], ()),
    "GLU (F16, F16) -> F16, kind SWIGLU_OAI": (Op.GLU, T(F16, (8,)), [T(F16, (8,))] * 2, (Glu.SWIGLU_OAI,)),
    "MUL_MAT (Q4_0, F16) -> F32": (Op.MUL_MAT, T(F32, (16, 3)), [T(Q4_0, (32, 16)), T(F16, (32, 3))], ()),
    "MUL_MAT (Q4_0, Q8_0) -> F32": (Op.MUL_MAT, T(F32, (16, 3)), [T(Q4_0, (32, 16)), T(Q8_0, (32, 3))], ()),
    "MUL_MAT (F16, F16) -> F32": (Op.MUL_MAT, T(F32, (16, 3)), [T(F16, (32, 16)), T(F16, (32, 3))], ()),
    "MUL_MAT (IQ4_NL, F32) -> F32": (Op.MUL_MAT, T(F32, (16, 3)), [T(IQ4_NL, (32, 16)), T(F32, (32, 3))], ()),
    "GET_ROWS (IQ4_NL, I32) -> F32": (Op.GET_ROWS, T(F32, (32, 1)), [T(IQ4_NL, (32, 16)), T(I32, (1,))], ()),
    "SET_ROWS (F32, I32, IQ4_NL) -> IQ4_NL": (
        Op.SET_ROWS,
        T(IQ4_NL, (32, 4)),
        [T(F32, (32, 1)), T(I32, (1,)), T(IQ4_NL, (32, 4))],
        (),
    ),
    "ROPE (F32, I32) -> F32, mode MROPE": (
        Op.ROPE,
        T(F32, (8, 2, 3)),
        [T(F32, (8, 2, 3)), T(I32, (12,))],
        (*ROPE[:2], int(RopeMode.MROPE), *ROPE[3:], 2, 2, 0, 0),
    ),
}
ALIASES = {Op.CPY: 1, Op.SET_ROWS: 2}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_no_kernel_computes_is_refused_by_op_types_and_tensor(device: CpuDevice, what: str) -> None:
    op, dst, srcs, params = UNSUPPORTED[what]
    sample = one_node(op, dst, srcs, params, ALIASES.get(op))
    allocation = device.allocate(int(sample.buffers.sizes[0]))
    with pytest.raises(UnsupportedError) as caught:
        device.compile(sample.build(), {SCRATCH: allocation})
    assert str(caught.value).startswith("GRAPH-19: ")
    assert str(caught.value).endswith(f"'node': the CPU device has no kernel for {what}")
    device.release(allocation)
