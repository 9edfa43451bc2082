"""The report for programs: everything, as frozen classes that stand for JSON. This module is the schema.

Rules
- A file is one `Document`: an object with exactly the fields below, in this order. Verdicts are words (verdict.py says
  which, and what they mean); bytes are hexadecimal.
- `format` names the schema. A change that a reader of the old one could trip over gives it another number; reading
  refuses a file of another format, of unknown fields, or with fields missing.
- It holds what a report needs of the clauses, so that it can be shown by a later edition of the specification.
- Of every piece of a connection it has the first bytes, as many as the judge records (peer.RECORD_BYTES).
"""

import json
from pathlib import Path

import attrs
import cattrs

from conformance.judge.codec import Codec
from conformance.judge.peer import Recorded
from conformance.judge.verdict import Outcome, Report, Verdict
from conformance.judge.words import Spoken
from conformance.report.evidence import said

__all__ = [
    "FORMAT",
    "BadDocument",
    "ClauseSentence",
    "Connection",
    "Document",
    "Entry",
    "Piece",
    "document",
    "read_json",
    "write_json",
]

FORMAT = "refimpl-conformance/1"


class BadDocument(Exception):
    """A file that is not a result of refimpl-conformance; the text says why."""


@attrs.frozen(kw_only=True)
class Piece:
    """Something that went over a connection. sent: by the judge; size: in bytes, of which `hex` has the first."""

    sent: bool
    size: int
    hex: str
    words: tuple[str, ...]
    """the requests in it, or the reply that it is, in words"""
    note: str


@attrs.frozen(kw_only=True)
class Connection:
    """One connection of a case, from its first piece to its last."""

    name: str
    pieces: tuple[Piece, ...]

    def spoken(self) -> tuple[Spoken, ...]:
        """The pieces, as other reports show them."""
        return tuple(Spoken(Recorded(p.sent, p.size, bytes.fromhex(p.hex), p.note), p.words) for p in self.pieces)


@attrs.frozen(kw_only=True)
class Entry:
    """One case and how it ended. expected, came: empty where there is nothing to tell; foreseen: of --expect-fail."""

    id: str
    clause: str
    family: str
    level: str
    title: str
    ordinary: bool
    verdict: Verdict
    expected: str
    came: str
    seconds: float
    upstream: str
    foreseen: tuple[Verdict, ...]
    connections: tuple[Connection, ...]


@attrs.frozen(kw_only=True)
class ClauseSentence:
    """A clause that cases of this document ask about."""

    id: str
    level: str
    text: str


@attrs.frozen(kw_only=True)
class Document:
    """One run. began: ISO 8601; seed: null for the order of the prose; cut_short: why cases are missing, else empty."""

    format: str
    testee: str
    version: str
    began: str
    seconds: float
    seed: int | None
    notes: tuple[str, ...]
    cut_short: str
    clauses: tuple[ClauseSentence, ...]
    entries: tuple[Entry, ...]

    def count(self, verdict: Verdict, level: str | None = None) -> int:
        """How many cases ended so, of one level or of all."""
        return sum(entry.verdict is verdict and level in (None, entry.level) for entry in self.entries)


def document(report: Report, codec: Codec) -> Document:
    """The report, with bytes put into words."""
    clauses = {outcome.case.clause.id: outcome.case.clause for outcome in report.outcomes}
    return Document(
        format=FORMAT,
        testee=report.testee,
        version=report.version,
        began=report.began,
        seconds=round(report.seconds, 3),
        seed=report.seed,
        notes=report.notes,
        cut_short=report.cut_short,
        clauses=tuple(ClauseSentence(id=c.id, level=c.level, text=c.text) for c in clauses.values()),
        entries=tuple(_entry(outcome, codec) for outcome in report.outcomes),
    )


def _entry(outcome: Outcome, codec: Codec) -> Entry:
    case = outcome.case
    return Entry(
        id=case.id,
        clause=case.clause.id,
        family=case.family,
        level=case.level,
        title=case.title,
        ordinary=case.ordinary,
        verdict=outcome.verdict,
        expected=outcome.expected,
        came=outcome.came,
        seconds=round(outcome.seconds, 3),
        upstream=case.upstream,
        foreseen=outcome.foreseen,
        connections=tuple(
            Connection(name=name, pieces=tuple(_piece(spoken) for spoken in said(codec, outcome, name)))
            for name in outcome.record
        ),
    )


def _piece(spoken: Spoken) -> Piece:
    piece = spoken.piece
    return Piece(sent=piece.sent, size=piece.size, hex=piece.data.hex(), words=spoken.words, note=piece.note)


def write_json(whole: Document, path: Path) -> None:
    """Write a document."""
    path.write_text(json.dumps(cattrs.unstructure(whole), indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> Document:
    """Read a document; raises BadDocument."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    try:
        raw = json.loads(path.read_text("utf-8"))
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise BadDocument(f"{path} is no result of refimpl-conformance in the format {FORMAT}")
        return converter.structure(raw, Document)
    except (OSError, ValueError) as error:
        raise BadDocument(f"{path}: {error}") from error
    except cattrs.BaseValidationError as errors:
        raise BadDocument(f"{path}: {'; '.join(cattrs.transform_error(errors))}") from errors
