"""Every clause that wire/ and session/ quote to a peer stands in the prose of the specification."""

import re
from pathlib import Path

import refimpl
import spec

CITED = re.compile(r"\b([A-Z]+-\d+)\b")
STATED = re.compile(r"^\*\*([A-Z]+-\d+)\*\*", re.MULTILINE)


def clauses(pattern: re.Pattern[str], folder: Path, glob: str) -> set[str]:
    """Ids that match in the files of a folder."""
    return {found for file in folder.glob(glob) for found in pattern.findall(file.read_text(encoding="utf-8"))}


def test_clauses_cited_in_wire_and_session_are_stated_in_the_prose() -> None:
    stated = clauses(STATED, Path(spec.__path__[0]) / "text", "*.md")
    root = Path(refimpl.__path__[0])
    cited = clauses(CITED, root / "wire", "*.py") | clauses(CITED, root / "session", "*.py")
    assert len(cited) > 10
    assert cited <= stated
