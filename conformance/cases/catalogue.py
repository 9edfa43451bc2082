"""All cases, in the order of the prose."""

from collections.abc import Mapping

from conformance.cases.graph import bounds, execution, indices, messages, references, remembered, runs
from conformance.cases.graph.malformed import operands, parameters
from conformance.cases.life import cache, cache_files, company, connections, leaks, pairs
from conformance.cases.memory import buffers, handles, sizes, stale
from conformance.cases.ops import core, listed, refusals
from conformance.cases.tensors import copies, fields, records, regions, strided, transfer
from conformance.cases.wire import broken, frames, hello, order, phases
from conformance.judge.case import Case

__all__ = ["CASES", "chosen"]

SECTIONS = (
    *(hello, phases, frames, broken, order),
    *(handles, stale, buffers, sizes),
    *(fields, records, regions, transfer, copies, strided),
    *(messages, references, execution, bounds, indices, runs, remembered, operands, parameters),
    *(connections, company, leaks, pairs, cache, cache_files),
    *(listed, core, refusals),
)


def _joined() -> Mapping[str, Case]:
    cases: dict[str, Case] = {}
    for section in SECTIONS:
        if twice := cases.keys() & section.CASES.keys():
            raise ValueError(f"two sections have the case {min(twice)}")
        cases.update(section.CASES)
    return cases


CASES = _joined()
"""cases by id"""


def chosen(only: tuple[str, ...], skip: tuple[str, ...], levels: tuple[str, ...]) -> tuple[Case, ...]:
    """The cases whose id begins with one of `only` (all when it is empty) and with none of `skip`, at these levels."""
    return tuple(
        case
        for case in CASES.values()
        if (not only or _begins(case.id, only)) and not _begins(case.id, skip) and case.level in levels
    )


def _begins(case_id: str, names: tuple[str, ...]) -> bool:
    """A name is a family (HELLO), a clause (HELLO-2), a case (HELLO-2/empty) or the beginning of a slug."""
    clause = case_id.partition("/")[0]
    family = clause.partition("-")[0]
    return any(name in (family, clause) or ("/" in name and case_id.startswith(name)) for name in names)
