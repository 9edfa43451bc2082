"""Every clause id that the code quotes is one that the specification has."""

import re
from collections.abc import Iterator

from refimpl.tests.project.tree import sources
from spec.prose import clauses

FAMILIES = sorted({clause.family for clause in clauses().values()})
QUOTED = re.compile(rf"\b(?:{'|'.join(FAMILIES)})-(?:\d+|[A-Z][A-Z0-9_]+(?:-[A-Z]+)*)\b")
PLANTED = "spec"
"""its tests quote ids that do not exist, to see them found"""


def quoted() -> Iterator[tuple[str, str]]:
    """(file:line, clause id) for every id in the sources."""
    for source in sources():
        if source.path.parts[0] != PLANTED:
            for number, line in enumerate(source.text.splitlines(), start=1):
                yield from ((f"{source}:{number}", match[0]) for match in QUOTED.finditer(line))


def test_quoted_clauses_exist() -> None:
    found = list(quoted())
    assert found, "the code quotes no clause at all"
    assert [f"{where}: {clause}" for where, clause in found if clause not in clauses()] == []
