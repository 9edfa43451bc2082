"""What can be asked about a run: does it end with an error, does the error say where, does the work go on as ever?

Rules
- Ending by a signal is a crash and being killed for want of an end is a hang, whatever was asked; a client that takes
  memory as a reply tells it to has leaked it.
- A text that "works" is that of the ordinary run, byte by byte: the client's command has to be such that it repeats.
"""

from conformance.client.case import Ask, Finding, Seen
from conformance.client.process import Ending
from conformance.judge.verdict import Verdict

__all__ = ["compares", "ends", "errs", "errs_or_works", "last_words", "names", "notices", "works"]

UNCAUGHT = ("Traceback (most recent call last)", "panicked at")
"""how languages begin what they print about an error that nobody has caught: that is no message for a person"""
SHOWN_LINES = 3
MIB = 1 << 20


def errs(seen: Seen) -> Finding:
    """It ends with an error."""
    expected = "an error: an orderly end with an exit code that is not 0"
    return _disorderly(seen, expected) or _judged(seen.run.ending.code != 0, expected, seen)


def notices(asks: Ask) -> Ask:
    """As `asks`, of a deed that shows itself at the next reply: a client that awaits none any more cannot be asked."""

    def asks_if_it_could(seen: Seen) -> Finding:
        finding = asks(seen)
        answered = {command.name for command in seen.codec.dialect.commands.values() if command.answered}
        could = any(talk.asked_after_the_deed(answered) for talk in seen.run.conversations)
        if finding.verdict is Verdict.FAIL and _as_ever(seen) and not could:
            return Finding(Verdict.UNSUPPORTED, came="it asks nothing more where that is done, so it cannot find out")
        return finding

    return asks_if_it_could


def works(seen: Seen) -> Finding:
    """It does its work as in the ordinary run."""
    expected = "exit code 0 and the text of the ordinary run"
    return _disorderly(seen, expected) or _judged(_as_ever(seen), expected, seen)


def errs_or_works(seen: Seen) -> Finding:
    """Either is right; a text that is another one is not."""
    expected = "an error, or the text of the ordinary run"
    return _disorderly(seen, expected) or _judged(seen.run.ending.code != 0 or _as_ever(seen), expected, seen)


def ends(seen: Seen) -> Finding:
    """It ends in an orderly way, with whatever result."""
    expected = "an orderly end"
    return _disorderly(seen, expected) or Finding(Verdict.PASS)


def compares(asks: Ask) -> bool:
    """Whether the text counts in that question."""
    return asks in (works, errs_or_works)


def names(command: str) -> Ask:
    """Its message names the endpoint and that command."""

    def asks(seen: Seen) -> Finding:
        said = seen.run.ending.said
        lacks = [word for word in (seen.run.endpoint, command) if word not in said]
        lacks += [f"anything but {mark!r}" for mark in UNCAUGHT if mark in said]
        expected = f"a message on stderr with {seen.run.endpoint} and {command}, and without a trace of calls"
        if not lacks:
            return Finding(Verdict.PASS)
        return Finding(
            Verdict.FAIL, expected, f"one without {' and without '.join(lacks)}\n{last_words(seen.run.ending)}"
        )

    return asks


def last_words(ending: Ending) -> str:
    """The end of what the client said."""
    lines = [line for line in ending.said.splitlines() if line.strip()][-SHOWN_LINES:]
    return "\n".join(f"stderr: {line}" for line in lines) or "stderr: nothing"


def _as_ever(seen: Seen) -> bool:
    return seen.run.ending.code == 0 and seen.run.ending.out == seen.ordinary.ending.out


def _judged(holds: bool, expected: str, seen: Seen) -> Finding:
    if holds:
        return Finding(Verdict.PASS)
    ending = seen.run.ending
    text = "" if ending.out == seen.ordinary.ending.out else ", and another text than in the ordinary run"
    return Finding(Verdict.FAIL, expected, f"{ending}{text}\n{last_words(ending)}")


def _disorderly(seen: Seen, expected: str) -> Finding | None:
    ending = seen.run.ending
    came = f"{ending}\n{last_words(ending)}"
    if ending.greedy:
        usual = seen.ordinary.ending.peak // MIB
        took = f"{ending.peak // MIB} MiB of memory, and {usual} MiB in the ordinary run"
        return Finding(Verdict.LEAKED, expected, f"{took}\n{came}")
    if ending.code is None:
        return Finding(Verdict.HUNG, expected, came)
    return Finding(Verdict.CRASHED, expected, came) if ending.code < 0 else None
