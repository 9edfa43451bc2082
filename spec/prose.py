"""The prose as a list of clauses: which ids exist, at which level, for which versions, and what they say.

A clause is a paragraph of text/*.md that begins with its id in bold and, in brackets, its level and the versions in
which it holds: ``**GRAPH-25** (MUST, since 8.0.0) uid names ...``.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from importlib import resources

import attrs

from spec.schema import Version, holds

__all__ = ["Clause", "clauses", "clauses_in", "texts"]

_HEAD = re.compile(
    r"^\*\*(?P<id>(?P<family>[A-Z0-9]+)-[A-Z0-9_-]+)\*\* "
    r"\((?P<level>MUST|SHOULD|MAY)(?:, since (?P<since>[0-9.]+))?(?:, until (?P<until>[0-9.]+))?\) "
)


@attrs.frozen(kw_only=True)
class Clause:
    """One numbered rule; `text` is what follows the brackets, on one line."""

    id: str
    family: str
    level: str
    since: str | None
    until: str | None
    file: str
    text: str

    def holds(self, version: Version) -> bool:
        """Whether the clause binds in that version."""
        return holds(self.since, self.until, version)


def texts() -> dict[str, str]:
    """File name > content of every prose file that is installed with this package."""
    folder = resources.files("spec") / "text"
    return {
        entry.name: entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".md")
    }


def clauses_in(file: str, text: str) -> Iterator[Clause]:
    """Clauses of one file, in order; an id that stands there twice comes twice."""
    for paragraph in re.split(r"\n\s*\n", text):
        head = _HEAD.match(paragraph)
        if head is None:
            continue
        yield Clause(
            id=head["id"],
            family=head["family"],
            level=head["level"],
            since=head["since"],
            until=head["until"],
            file=file,
            text=" ".join(paragraph[head.end() :].split()),
        )


@functools.cache
def clauses() -> Mapping[str, Clause]:
    """Every clause by id."""
    return {clause.id: clause for file, text in texts().items() for clause in clauses_in(file, text)}
