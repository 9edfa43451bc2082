"""Several results side by side: for each case, what every testee did.

Rows stand in the order of the catalogue, whatever the order in which they were asked; cases that the catalogue does
not have (of a client, of the fuzzer, of another edition) come behind, as they were found. Rows of one clause, and
clauses of one family, stand together.
"""

from collections.abc import Iterator, Mapping, Sequence

import attrs

from conformance.cases.catalogue import CASES
from conformance.judge.verdict import Verdict
from conformance.report.document import Connection, Document, Entry
from conformance.report.evidence import last_words

__all__ = ["LINE", "Group", "Matrix", "Row", "evidence_lines", "matrix", "one_line"]

LINE = 120


@attrs.frozen(kw_only=True)
class Row:
    """One case; cells: what each testee did, None where it was not asked."""

    id: str
    level: str
    title: str
    upstream: str
    cells: tuple[Entry | None, ...]

    @property
    def verdicts(self) -> tuple[Verdict | None, ...]:
        """The verdict of each testee."""
        return tuple(cell.verdict if cell else None for cell in self.cells)


@attrs.frozen(kw_only=True)
class Group:
    """The rows of one clause."""

    clause: str
    family: str
    level: str
    text: str
    rows: tuple[Row, ...]


@attrs.frozen(kw_only=True)
class Matrix:
    """names: the columns' headings, each once."""

    documents: tuple[Document, ...]
    names: tuple[str, ...]
    groups: tuple[Group, ...]

    def families(self) -> Iterator[tuple[str, tuple[Group, ...]]]:
        """Families in order, with their clauses."""
        for family in dict.fromkeys(group.family for group in self.groups):
            yield family, tuple(group for group in self.groups if group.family == family)


def matrix(documents: Sequence[Document]) -> Matrix:
    """Lay the results beside one another, in the order given."""
    cells = [{entry.id: entry for entry in one.entries} for one in documents]
    some: dict[str, Entry] = {case: entry for column in reversed(cells) for case, entry in column.items()}
    sentences = {clause.id: clause for one in documents for clause in one.clauses}
    place = {case: at for at, case in enumerate(CASES)}
    order = sorted(
        dict.fromkeys(case for column in cells for case in column), key=lambda case: place.get(case, len(place))
    )
    groups = []
    for clause in dict.fromkeys(some[case].clause for case in order):
        rows = tuple(_row(some[case], cells) for case in order if some[case].clause == clause)
        said = sentences[clause]
        family = some[rows[0].id].family
        groups.append(Group(clause=clause, family=family, level=said.level, text=said.text, rows=rows))
    return Matrix(documents=tuple(documents), names=_names(documents), groups=tuple(groups))


def _row(some: Entry, cells: Sequence[Mapping[str, Entry]]) -> Row:
    return Row(
        id=some.id,
        level=some.level,
        title=some.title,
        upstream=some.upstream,
        cells=tuple(column.get(some.id) for column in cells),
    )


def _names(documents: Sequence[Document]) -> tuple[str, ...]:
    """Testee by version, unless that is in its name; those of one name are numbered."""
    plain = [one.testee if one.version in one.testee else f"{one.testee} ({one.version})" for one in documents]
    return tuple(
        name if plain.count(name) == 1 else f"{name} #{plain[: at + 1].count(name)}" for at, name in enumerate(plain)
    )


def one_line(text: str) -> str:
    """The first line and the last one, which tell the most, each cut to a length: of the last one its end is kept."""
    lines = text.splitlines()
    if not lines:
        return ""
    first, last = lines[0], lines[-1].strip()
    first = first if len(first) <= LINE else f"{first[:LINE]} ..."
    last = last if len(last) <= LINE else f"... {last[-LINE:]}"
    return f"{first}; {last}" if len(lines) > 1 else first


def evidence_lines(connections: Sequence[Connection]) -> Iterator[str]:
    """The last bytes of the connections, as the console shows them."""
    return last_words({connection.name: connection.spoken() for connection in connections})
