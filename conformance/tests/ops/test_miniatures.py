"""A server that computes rightly passes, one that computes wrongly fails its own cases and no others."""

import pytest
import trio
import trio.testing

from conformance.judge.verdict import Verdict
from conformance.tests.ops.asking import OP_CASES, verdicts
from conformance.tests.ops.computing import Computing
from conformance.tests.ops.wrong import WRONG

ASKED = {case_id: case for case_id, case in OP_CASES.items() if case.clause.id != "OP-CORE"}


@pytest.fixture(scope="module")
def of_the_right_one() -> dict[str, Verdict]:
    """Case > verdict of the right server."""
    return trio.run(verdicts, Computing, ASKED.values(), clock=trio.testing.MockClock(autojump_threshold=0))


def test_what_the_right_one_does_not_compute_is_unsupported_and_the_rest_passes(
    of_the_right_one: dict[str, Verdict],
) -> None:
    assert set(of_the_right_one.values()) == {Verdict.PASS, Verdict.UNSUPPORTED}
    assert of_the_right_one["OP-ADD/same-extents"] is Verdict.PASS
    assert of_the_right_one["OP-ROPE/normal-f32"] is Verdict.UNSUPPORTED


@pytest.mark.parametrize("session", WRONG, ids=lambda session: session.__name__)
async def test_a_wrong_one_fails_its_own_cases_alone(
    session: type[Computing], of_the_right_one: dict[str, Verdict], autojump_clock: trio.testing.MockClock
) -> None:
    asked = {case_id for case_id, verdict in of_the_right_one.items() if verdict is Verdict.PASS}
    found = await verdicts(session, (ASKED[case_id] for case_id in sorted(asked)))
    failed = {case_id for case_id, verdict in found.items() if verdict is not Verdict.PASS}
    assert {found[case_id] for case_id in failed} == {Verdict.FAIL}
    assert failed == {case_id for case_id in asked if case_id in WRONG[session] or clause_of(case_id) in WRONG[session]}


def clause_of(case_id: str) -> str:
    return case_id.partition("/")[0] + "/"


async def test_an_op_of_the_core_that_is_not_computed_is_a_failure(autojump_clock: trio.testing.MockClock) -> None:
    core = [case for case in OP_CASES.values() if case.clause.id == "OP-CORE"]
    found = await verdicts(Computing, core)
    lacking = {case_id for case_id, verdict in found.items() if verdict is Verdict.FAIL}
    assert lacking == {
        *("OP-CORE/rope-normal-f32", "OP-CORE/rope-neox-f32", "OP-CORE/flash-attn-ext-cache"),
        *("OP-CORE/soft-max-mask-f32", "OP-CORE/glu-swiglu-two-operands"),
    }
    assert {case.level for case in core} == {"SHOULD"}
