"""The CPU device keeps the kernel contract: every case and every fault, with each number of threads.

What a case's oracle says is worked out once for all numbers of threads.
"""

from functools import cache

import pytest

from refimpl.device.cpu import lower
from refimpl.kernels import contract
from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.evaluate import DEFINITIONS, evaluate
from refimpl.tests.kernels.cpu_backend import run_case
from spec.names import Op

READING_INDICES = (Op.GET_ROWS, Op.SET_ROWS, Op.ADD_ID, Op.MUL_MAT_ID)

expected = cache(evaluate)


@cache
def cases() -> tuple[Case, ...]:
    return tuple(contract.cases())


@pytest.fixture(autouse=True, params=[0, lower.SMALL], ids=["shared", "as in use"])
def _small_steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases are small: in use most of them are computed by one thread."""
    monkeypatch.setattr(lower, "SMALL", request.param)
    monkeypatch.setattr(contract, "evaluate", expected)


@pytest.mark.parametrize("threads", contract.THREADS)
@pytest.mark.parametrize("op", DEFINITIONS, ids=lambda op: op.name)
def test_every_case_is_computed(op: Op, threads: int) -> None:
    for case in cases():
        if case.op == op:
            contract.check(run_case, case, threads)


@pytest.mark.parametrize("threads", contract.THREADS)
@pytest.mark.parametrize("op", READING_INDICES, ids=lambda op: op.name)
def test_every_index_outside_its_table_is_reported(op: Op, threads: int) -> None:
    faults = [case for case in contract.fault_cases() if case.op == op]
    assert faults
    for case in faults:
        contract.check_fault(run_case, case, threads)


def test_no_other_op_reads_indices_that_can_be_wrong() -> None:
    assert {case.op for case in contract.fault_cases()} == set(READING_INDICES)
