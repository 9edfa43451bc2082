"""What every kernel backend promises, as functions that test anyone's implementation.

A backend is called with a case and a number of threads. It leaves in dst what the oracle says, within the tolerance
table; it writes no byte outside dst's elements: not around the memory, not in the gaps between strided rows, not in
its sources (unless dst lies on one of them). A case without elements is legal and writes nothing. An index outside
its table ends in ComputeFault, with the same promise about bytes.

The backend gets a copy of the case in which every array stands between two strips of canary bytes; operands that
shared memory share it in the copy as well.
"""

from collections.abc import Callable, Iterator

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ComputeFault
from refimpl.kernels.cases.catalogue import every_case, every_fault
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.evaluate import evaluate
from refimpl.kernels.oracle.views import Values, byte_index, reals
from refimpl.kernels.tolerance import EXACT, Tolerance, tolerance_of
from spec.names import Op

__all__ = ["SEED", "THREADS", "Backend", "ContractViolation", "cases", "check", "check_fault", "fault_cases", "guarded"]

Backend = Callable[[Case, int], None]

SEED = 20240514
THREADS = (1, 2, 5)
"""thread counts under which a backend is to be checked: one, the usual, and more than there is work for"""

UNORDERED = (Op.TOP_K,)
"""ops whose rows may come in any order"""

CANARY = 0xA5
STRIP = 4096  # bytes on either side; a multiple of every alignment, so that offsets keep theirs


class ContractViolation(AssertionError):
    """A backend broke the contract; the message names the case, the place, what was expected and what is there."""


def cases(seed: int = SEED) -> list[Case]:
    """Every case of the contract; the same seed gives the same bytes."""
    return list(every_case(seed))


def fault_cases(seed: int = SEED) -> list[Case]:
    """Cases with an index outside its table, for `check_fault`."""
    return list(every_fault(seed))


def guarded(case: Case) -> Case:
    """A copy of `case` whose arrays stand between canaries, 64-byte aligned; shared arrays stay shared."""
    copies: dict[int, NDArray[np.uint8]] = {}

    def moved(operand: Operand) -> Operand:
        if id(operand.data) not in copies:
            copies[id(operand.data)] = _between_canaries(operand.data)
        return attrs.evolve(operand, data=copies[id(operand.data)], offset=operand.offset + STRIP)

    srcs = tuple(None if operand is None else moved(operand) for operand in case.srcs)
    return attrs.evolve(case, srcs=srcs, dst=moved(case.dst), params=case.params.copy())


def _between_canaries(data: NDArray[np.uint8], alignment: int = 64) -> NDArray[np.uint8]:
    room = np.full(data.size + 2 * STRIP + alignment, CANARY, np.uint8)
    start = -room.ctypes.data % alignment
    copy = room[start : start + data.size + 2 * STRIP]
    copy[STRIP : STRIP + data.size] = data
    return copy


def check(backend: Backend, case: Case, threads: int = 1) -> None:
    """Run `case` on `backend` and hold it to the oracle.

    Raises ContractViolation; what the backend raises passes through, with a note.
    """
    expected = evaluate(case)
    trial = guarded(case)
    before = _snapshots(trial)
    try:
        backend(trial, threads)
    except Exception as error:
        error.add_note(f"while running {_headline(case, threads)}")
        raise
    _check_bytes(trial, before, threads)
    _check_values(trial, expected, threads)


def check_fault(backend: Backend, case: Case, threads: int = 1) -> None:
    """Run a case of `fault_cases`.

    The backend must raise ComputeFault and keep to dst's bytes. Raises ContractViolation.
    """
    trial = guarded(case)
    before = _snapshots(trial)
    try:
        backend(trial, threads)
    except ComputeFault:
        _check_bytes(trial, before, threads)
        return
    raise ContractViolation(f"{_headline(case, threads)}: an index outside the table was not reported as ComputeFault")


def _operands(case: Case) -> Iterator[Operand]:
    yield from (operand for operand in case.srcs if operand is not None)
    yield case.dst


def _snapshots(case: Case) -> dict[int, NDArray[np.uint8]]:
    """Bytes of every array, by identity."""
    return {id(operand.data): operand.data.copy() for operand in _operands(case)}


def _check_bytes(case: Case, before: dict[int, NDArray[np.uint8]], threads: int) -> None:
    for operand in _operands(case):
        changed = operand.data != before[id(operand.data)]
        if operand.data is case.dst.data:
            changed[byte_index(case.dst).reshape(-1)] = False
        if changed.any():
            at = int(np.flatnonzero(changed)[0])
            raise ContractViolation(
                f"{_headline(case, threads)}: wrote outside dst, {int(changed.sum())} bytes, the first one"
                f" {at - operand.offset:+d} bytes from the start of {_name(case, operand)}"
            )


def _check_values(case: Case, expected: Values, threads: int) -> None:
    got, tolerance = reals(case.dst), tolerance_of(case)
    if expected.shape != got.shape:
        raise ContractViolation(
            f"{_headline(case, threads)}: the oracle says shape {expected.shape}, dst has {got.shape}"
        )
    if expected.size == 0:
        return
    if case.op in UNORDERED:
        expected, got = np.sort(expected, axis=-1), np.sort(got, axis=-1)
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    finite = np.isfinite(expected) & np.isfinite(got)
    error = np.where(same, 0.0, np.inf)
    error[finite] = np.abs(got[finite] - expected[finite])
    bound = _bounds(expected, tolerance)
    excess = error - bound
    if (excess > 0).any():
        worst = np.unravel_index(int(np.argmax(excess)), excess.shape)
        raise ContractViolation(
            f"{_headline(case, threads)}: {int((excess > 0).sum())} of {got.size} elements are off, worst at"
            f" (i0, i1, i2, i3) = {tuple(int(i) for i in worst[::-1])}:"
            f" expected {expected[worst]:.9g}, got {got[worst]:.9g}, bound {bound[worst]:.3g}"
        )
    power = float((expected[finite] ** 2).sum())
    nmse = float((error[finite] ** 2).sum()) / power if power else 0.0
    if nmse > tolerance.nmse:
        raise ContractViolation(f"{_headline(case, threads)}: NMSE {nmse:.3g}, bound {tolerance.nmse:.3g}")


def _bounds(expected: Values, tolerance: Tolerance) -> Values:
    """Largest error allowed for each element."""
    if tolerance == EXACT:
        return np.zeros_like(expected)
    finite = np.where(np.isfinite(expected), expected, 0.0)
    rms = float(np.sqrt((finite**2).mean()))
    return np.asarray(tolerance.element * np.maximum(np.abs(finite), rms))


def _name(case: Case, operand: Operand) -> str:
    if operand is case.dst:
        return "dst"
    return f"src{next(slot for slot, other in enumerate(case.srcs) if other is operand)}"


def _headline(case: Case, threads: int) -> str:
    shapes = ", ".join(f"{_name(case, o)} {o.type.name} ne {list(o.ne)} nb {list(o.nb)}" for o in _operands(case))
    return f"{case.op.name} '{case.label}' with {threads} threads ({shapes})"
