"""For every command with a reply: what is wrong with a reply whatever it says, and what is strange but right.

Rules
- Every wrong reply is asked about twice: whether the client ends with an error, which it must, and whether the error
  names endpoint and command (CLIENT-4). The second case has the same name under its own clause.
- A reply that comes twice, or a frame that nobody awaits behind one, is seen by a client that looks at what it has
  before it asks again (FRAME-6).
"""

import attrs

from conformance.client.case import Ask, ClientCase, ClientSection
from conformance.client.hostile.deeds import (
    Act,
    AtReply,
    AtRequest,
    Behind,
    Claim,
    Deed,
    Fall,
    Interrupted,
    Intrusion,
    Resized,
    Slowly,
    Where,
)
from conformance.client.questions import errs, names, notices, works
from spec.load import load
from spec.schema import CommandEntry

__all__ = ["CASES", "declare"]

SECTION = ClientSection()
LATE_SECONDS = 0.05
HUGE = {"2-31": 1 << 31, "2-63": 1 << 63, "2-64-1": (1 << 64) - 1}


@attrs.frozen
class _Wrong:
    """Something that every reply can have: clause and slug of its case, in words, what is done."""

    clause: str
    slug: str
    words: str
    act: Act


WRONG = (
    _Wrong("FRAME-6", "one-short", "is a byte too short", Resized(-1)),
    _Wrong("FRAME-6", "one-long", "is a byte too long", Resized(1)),
    _Wrong("FRAME-6", "declares-0", "declares 0 bytes", Claim(0)),
    *(_Wrong("CLIENT-1", f"declares-{slug}", f"declares {size} bytes", Claim(size)) for slug, size in HUGE.items()),
    _Wrong("FRAME-6", "twice", "comes twice", Behind.ITSELF),
    _Wrong("FRAME-6", "unasked", "is followed by a frame that nobody awaits", Behind.STRANGER),
    _Wrong("CLIENT-2", "closed", "does not come: the connection is closed", Interrupted(Where.BEFORE, Fall.CLOSES)),
    _Wrong("CLIENT-2", "closed-inside", "ends in its middle", Interrupted(Where.INSIDE, Fall.CLOSES)),
    _Wrong("CLIENT-2", "reset", "does not come: the connection is reset", Interrupted(Where.BEFORE, Fall.RESETS)),
    _Wrong("CLIENT-2", "reset-inside", "is broken off in its middle", Interrupted(Where.INSIDE, Fall.RESETS)),
    _Wrong("CLIENT-3", "silent", "does not come", Interrupted(Where.BEFORE, Fall.SILENT)),
    _Wrong("CLIENT-3", "silent-inside", "stops in its middle", Interrupted(Where.INSIDE, Fall.SILENT)),
)
RIGHT = (
    _Wrong("FRAME-1", "byte-by-byte", "comes byte by byte", Slowly(byte_by_byte=True)),
    _Wrong("CLIENT-3", "late", f"comes {LATE_SECONDS:g} s late", Slowly(LATE_SECONDS)),
)


def declare(section: ClientSection, case_id: str, title: str, deed: Deed, command: str, asks: Ask = errs) -> None:
    """Add a case about a wrong deed, and its twin about the message, which names `command`."""
    entry = next((entry for entry in load().commands if entry.name == command), None)
    needs = command if isinstance(deed, AtReply | AtRequest) else ""
    since, until = (entry.since, entry.until) if entry else (None, None)
    message = names(command)
    if _shows_later(deed):
        asks, message = notices(asks), notices(message)
    common = ClientCase(id=case_id, title=title, deed=deed, asks=asks, needs=needs, since=since, until=until)
    section.add(common)
    slug = case_id.partition("/")[2]
    section.add(attrs.evolve(common, id=f"CLIENT-4/{slug}", title=f"{title}: the message", asks=message))


def _shows_later(deed: Deed) -> bool:
    """Whether a client sees nothing of it before it awaits another reply."""
    if isinstance(deed, AtRequest):
        return deed.intrusion is not Intrusion.STOPS_READING
    return isinstance(deed, AtReply) and isinstance(deed.act, Behind)


def _slug(command: str) -> str:
    return command.lower().replace("_", "-")


def _is_answered(entry: CommandEntry) -> bool:
    """In the described versions that have it."""
    found = [load().dialect(version).commands.get(entry.number) for version in load().versions]
    return any(command is not None and command.answered for command in found)


def _declare_all() -> None:
    for entry in load().commands:
        if not _is_answered(entry):
            _declare_intrusion(entry)
            continue
        for wrong in WRONG:
            title = f"The reply to {entry.name} {wrong.words}"
            case_id = f"{wrong.clause}/{_slug(entry.name)}-{wrong.slug}"
            declare(SECTION, case_id, title, AtReply(entry.name, wrong.act), entry.name)
        for right in RIGHT:
            SECTION.add(
                ClientCase(
                    id=f"{right.clause}/{_slug(entry.name)}-{right.slug}",
                    title=f"The reply to {entry.name} {right.words}, and is right",
                    deed=AtReply(entry.name, right.act),
                    asks=works,
                    needs=entry.name,
                    ordinary=True,
                    since=entry.since,
                    until=entry.until,
                )
            )


def _declare_intrusion(entry: CommandEntry) -> None:
    """A server of a time when every command was answered, and one that refuses the command."""
    slug, title = _slug(entry.name), f"{entry.name} is answered with an empty frame"
    declare(SECTION, f"FRAME-6/{slug}-answered", title, AtRequest(entry.name, Intrusion.EMPTY_ANSWER), entry.name)
    refused = ClientCase(
        id=f"CLIENT-2/{slug}-refused",
        title=f"{entry.name} is refused: the connection is closed, and a later command finds it so",
        deed=AtRequest(entry.name, Intrusion.REFUSED),
        asks=notices(errs),
        needs=entry.name,
        since=entry.since,
        until=entry.until,
    )
    SECTION.add(refused)
    SECTION.add(attrs.evolve(refused, id=f"FRAME-14/{slug}-refused", asks=notices(names(entry.name))))


_declare_all()
CASES = SECTION.cases
