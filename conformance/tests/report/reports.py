"""Outcomes of every kind, as a judge might have seen them, for tests of reports."""

from conformance.cases.catalogue import CASES
from conformance.judge.peer import Recorded
from conformance.judge.verdict import Outcome, Report, Verdict
from conformance.tests.judge.staging import CODEC

__all__ = ["NASTY", "of_all_kinds", "report_by"]

NASTY = "</details><script>alert('&')</script> | `a` *b*\x00\nsecond line"
"""what a testee might have said that a report must not take for its own"""
IDS = ("HELLO-3/size", "FRAME-4/128", "FRAME-4/255", "HELLO-2/empty", "HELLO-2/twice", "HANDLE-3/not-used-again")
VERDICTS = (Verdict.PASS, Verdict.FAIL, Verdict.CRASHED, Verdict.HUNG, Verdict.LEAKED, Verdict.UNSUPPORTED)


def record() -> dict[str, list[Recorded]]:
    """A greeting and its reply, an undefined command and the end."""
    hello = CODEC.request("HELLO")
    reply = (28).to_bytes(8, "little") + CODEC.pack("hello_rsp", {"major": 7})
    nonsense = CODEC.frame(128)
    return {
        "main": [
            Recorded(True, len(hello), hello),
            Recorded(False, len(reply), reply),
            Recorded(True, len(nonsense), nonsense),
            Recorded(False, 0, b"", "end of stream"),
        ]
    }


def of_all_kinds() -> tuple[Outcome, ...]:
    """One outcome of each verdict but error."""
    return tuple(
        Outcome(
            case=CASES[name],
            verdict=verdict,
            expected="" if verdict.holds else "the connection closed, and no reply",
            came="" if verdict is Verdict.PASS else NASTY,
            record=record(),
            seconds=0.25,
        )
        for name, verdict in zip(IDS, VERDICTS, strict=True)
    )


def report_by(testee: str, *outcomes: Outcome, version: str = "7.0.0") -> Report:
    """A report of these."""
    return Report(
        testee=testee,
        version=version,
        notes=("one client",),
        outcomes=outcomes,
        seed=3,
        began="2026-01-02T03:04:05+00:00",
        seconds=1.5,
    )
