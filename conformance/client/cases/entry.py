"""The beginning of a connection: servers that take it and do no more, and what HELLO is answered with."""

from collections import Counter

from conformance.client.case import ClientCase, ClientSection, Finding, Seen
from conformance.client.cases.replies import declare
from conformance.client.hostile.conversation import Conversation
from conformance.client.hostile.deeds import (
    AtAccept,
    AtReply,
    AtRequest,
    Be,
    Deed,
    Entry,
    Fall,
    Fields,
    Interrupted,
    Intrusion,
    Where,
)
from conformance.client.questions import works
from conformance.judge.verdict import Verdict

__all__ = ["CASES"]

SECTION = ClientSection()
FOREIGN_MAJOR = 99
NEWER_MINOR = 255
OTHER_PATCH = 255
GARBAGE = bytes(range(1, 25))
HELLO = "HELLO"
ANY = ""
"""where no command is to blame"""


def _hello(**changes: int | bytes) -> Deed:
    fields = tuple((name, value if isinstance(value, bytes) else Be(value)) for name, value in changes.items())
    return AtReply(HELLO, Fields(fields))


def _counted(conversations: tuple[Conversation, ...]) -> Counter[str]:
    return Counter(request.command for talk in conversations for request in talk.requests)


def _fine(case_id: str, title: str, deed: Deed) -> None:
    SECTION.add(ClientCase(id=case_id, title=title, deed=deed, asks=works, needs=HELLO, ordinary=True))


declare(SECTION, "CLIENT-3/mute", "Connections are taken, and nothing is ever said", AtAccept(Entry.MUTE), HELLO)
declare(SECTION, "CLIENT-2/closed-at-once", "Connections are taken and closed", AtAccept(Entry.CLOSED), ANY)
declare(SECTION, "CLIENT-2/reset-at-once", "Connections are taken and reset", AtAccept(Entry.RESET), ANY)
declare(
    SECTION,
    "CLIENT-3/stops-reading",
    "The server stops reading inside a payload",
    AtRequest("SET_TENSOR", Intrusion.STOPS_READING),
    "SET_TENSOR",
)
declare(SECTION, "HELLO-4/major-0", "The server says major version 0", _hello(major=0), HELLO)
declare(
    SECTION, "HELLO-4/major-99", "The server says a major version of the future", _hello(major=FOREIGN_MAJOR), HELLO
)
declare(SECTION, "HELLO-4/minor-newer", "The server says a newer minor version", _hello(minor=NEWER_MINOR), HELLO)
_fine("HELLO-4/patch-other", "The server says another patch version, which does not count", _hello(patch=OTHER_PATCH))
_fine("HELLO-5/caps-not-offered", "The server agrees to what nobody offered: it stays TCP", _hello(conn_caps=GARBAGE))


def _without_a_word(seen: Seen) -> Finding:
    """Behind the reply of a foreign version nothing comes but the end."""
    expected = "the client to close each connection behind the reply, without another request"
    for at, talk in enumerate(seen.run.conversations, 1):
        names = [request.command for request in talk.requests]
        if names[1:]:
            return Finding(Verdict.FAIL, expected, f"on connection {at}: {', '.join(names)}")
    return Finding(Verdict.PASS)


def _nothing_behind_the_end(seen: Seen) -> Finding:
    """A connection whose other direction has ended is closed, and nothing is sent on it."""
    for at, talk in enumerate(seen.run.conversations, 1):
        if talk.after_end:
            came = f"{talk.after_end} bytes on connection {at}"
            return Finding(Verdict.FAIL, "nothing behind the end of the stream", came)
    return Finding(Verdict.PASS)


def _same_commands(seen: Seen) -> Finding:
    """The patch version makes no difference to what is sent."""
    counts = [_counted(evidence.conversations) for evidence in (seen.ordinary, seen.run)]
    if counts[0] == counts[1]:
        return Finding(Verdict.PASS)
    differing = sorted(name for name in counts[0] | counts[1] if counts[0].get(name) != counts[1].get(name))
    return Finding(Verdict.FAIL, "the commands of the ordinary run", f"another number of {', '.join(differing)}")


SECTION.add(
    ClientCase(
        id="HELLO-9/leaves",
        title="A server of another major version is left at once",
        deed=_hello(major=FOREIGN_MAJOR),
        asks=_without_a_word,
        needs=HELLO,
    )
)
SECTION.add(
    ClientCase(
        id="PHASE-3/end-of-stream",
        title="The stream ends instead of the reply to HELLO",
        deed=AtReply(HELLO, Interrupted(Where.BEFORE, Fall.ENDS)),
        asks=_nothing_behind_the_end,
        needs=HELLO,
    )
)
SECTION.add(
    ClientCase(
        id="HELLO-7/patch-other",
        title="Another patch version changes nothing that is sent",
        deed=_hello(patch=OTHER_PATCH),
        asks=_same_commands,
        needs=HELLO,
        ordinary=True,
    )
)
CASES = SECTION.cases
