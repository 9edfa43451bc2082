"""Every clause id that the code quotes is one that the specification has."""

import re
from collections.abc import Iterator
from pathlib import Path

import refimpl
from spec.prose import clauses

ROOT = Path(refimpl.__file__).parent
FAMILIES = sorted({clause.family for clause in clauses().values()})
QUOTED = re.compile(rf"\b(?:{'|'.join(FAMILIES)})-(?:\d+|[A-Z][A-Z0-9_]+)\b")


def quoted() -> Iterator[tuple[str, str]]:
    """(file:line, clause id) for every id in the sources."""
    for path in sorted(ROOT.rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            for match in QUOTED.finditer(line):
                yield f"{path.relative_to(ROOT)}:{number}", match[0]


def test_quoted_clauses_exist() -> None:
    found = list(quoted())
    assert found, "the code quotes no clause at all"
    assert [f"{where}: {clause}" for where, clause in found if clause not in clauses()] == []
