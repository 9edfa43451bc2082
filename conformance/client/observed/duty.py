"""How a duty becomes a case: a function that finds where a run breaks it.

Rules
- A duty yields a complaint for every place where it is not kept, none where it is. The first ones are shown.
- A duty about a command that the client never sends is not asked (`needs`).
- All duties are ordinary traffic: a working client keeps them.
"""

from collections.abc import Callable, Iterator
from itertools import islice

import attrs

from conformance.client.case import Ask, ClientCase, ClientSection, Finding, Seen
from conformance.client.observed.moments import Facts, Moment, facts_of, moments
from conformance.judge.codec import Codec
from conformance.judge.verdict import Verdict

__all__ = ["Duty", "View", "duty", "kept"]

SHOWN = 4


@attrs.frozen(eq=False)
class View:
    """An ordinary run as duties see it."""

    seen: Seen
    facts: Facts

    @property
    def codec(self) -> Codec:
        """How the bytes are read."""
        return self.seen.codec

    def moments(self, *commands: str) -> Iterator[Moment]:
        """Every request, or those with these commands; take them one by one."""
        for moment in moments(self.codec, self.seen.run.conversations):
            if not commands or moment.asked.command in commands:
                yield moment


Duty = Callable[[View], Iterator[str]]


def kept(found: Duty) -> Ask:
    """Whether a duty is kept."""

    def asks(seen: Seen) -> Finding:
        complaints = list(islice(found(View(seen, facts_of(seen.codec, seen.run.conversations))), SHOWN))
        if not complaints:
            return Finding(Verdict.PASS)
        return Finding(Verdict.FAIL, "a client that keeps this in all that it sends", "\n".join(complaints))

    return asks


def duty(section: ClientSection, case_id: str, needs: str = "HELLO") -> Callable[[Duty], Duty]:
    """Add the decorated duty as a case; the first line of its docstring is the title."""

    def declare(found: Duty) -> Duty:
        title = (found.__doc__ or "").strip().partition("\n")[0].removesuffix(".")
        section.add(ClientCase(id=case_id, title=title, asks=kept(found), needs=needs, ordinary=True))
        return found

    return declare
