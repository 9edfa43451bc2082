"""All cases about clients, in order."""

from collections.abc import Mapping

from conformance.client.case import ClientCase
from conformance.client.cases import entry, replies, values
from conformance.client.observed import cache, graphs, memory, placing, stream, tensors

__all__ = ["CASES", "chosen"]

SECTIONS = (stream, entry, replies, values, memory, placing, tensors, cache, graphs)


def _joined() -> Mapping[str, ClientCase]:
    cases: dict[str, ClientCase] = {}
    for section in SECTIONS:
        if twice := cases.keys() & section.CASES.keys():
            raise ValueError(f"two sections have the case {min(twice)}")
        cases.update(section.CASES)
    return cases


CASES = _joined()
"""cases by id"""


def chosen(only: tuple[str, ...], skip: tuple[str, ...], levels: tuple[str, ...]) -> tuple[ClientCase, ...]:
    """The cases whose id begins with one of `only` (all when it is empty) and with none of `skip`, at these levels."""
    return tuple(
        case
        for case in CASES.values()
        if (not only or _begins(case.id, only)) and not _begins(case.id, skip) and case.level in levels
    )


def _begins(case_id: str, names: tuple[str, ...]) -> bool:
    """A name is a family (HELLO), a clause (HELLO-4), a case (HELLO-4/major-0) or the beginning of a slug."""
    clause = case_id.partition("/")[0]
    family = clause.partition("-")[0]
    return any(name in (family, clause) or ("/" in name and case_id.startswith(name)) for name in names)
