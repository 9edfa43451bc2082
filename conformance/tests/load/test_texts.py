"""Texts made together are held against those made alone; what differs is told, with its author."""

import io
from collections.abc import Callable
from pathlib import Path

import trio
import trio.testing

from conformance.interop.processes import ProcessFailed
from conformance.load.report import Findings
from conformance.load.testees import Loaded
from conformance.load.texts import Author, Plan, Rounds
from conformance.tests.cases.miniature.session import Session
from conformance.tests.load.staged import found_by

SECONDS = 10.0
TOKENS = 30
MINUTES = 0.5


def author(number: int, text: Callable[[int], str]) -> Author:
    """Needs some time for each; text: from how many it has written to what it writes."""
    written = 0

    async def write(prompt: str, log: Path) -> str:
        nonlocal written
        await trio.sleep(SECONDS)
        written += 1
        return prompt + text(written)

    return Author(number, f"program {number % 2}", f"prompt {number}", write, TOKENS)


async def made_by(folder: Path, *authors: Author) -> tuple[Rounds, Findings]:
    made: list[Rounds] = []

    async def write(loaded: Loaded, findings: Findings) -> None:
        made.append(Rounds(loaded, Plan(minutes=MINUTES), findings, folder, list(authors)))
        await made[0].one_by_one()
        await made[0].together()

    findings = await found_by(write, Session)
    return made[0], findings


async def test_equal_texts_are_counted(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    rounds, findings = await made_by(tmp_path, author(0, lambda n: "!"), author(1, lambda n: "?"))
    assert findings.faults == []
    assert (rounds.rounds, findings.figures["texts_together"]) == (3, 6)
    assert findings.figures["seconds_alone"] == 20.0
    assert findings.figures["tokens_per_second_in_all"] == 6 * TOKENS / 30.0
    assert findings.figures["of_program 0"] == 3


async def test_another_text_is_told_with_its_author(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    _, findings = await made_by(tmp_path, author(0, lambda n: "!"), author(1, lambda n: "?" if n < 3 else "no"))
    assert findings.faults == [
        f"client 1 (program 1), round {number}: 'prompt 1no' instead of 'prompt 1?'" for number in (2, 3)
    ]


async def test_a_client_that_fails_beside_others_is_told(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    def failing(written: int) -> str:
        if written > 1:
            raise ProcessFailed("exited with 3")
        return "!"

    _, findings = await made_by(tmp_path, author(0, failing), author(1, lambda n: "?"))
    assert findings.faults[0] == "client 0 (program 0), round 1: exited with 3"
    assert findings.figures["texts_together"] == 3


async def test_texts_that_are_all_alike_prove_nothing(autojump_clock: trio.testing.MockClock, tmp_path: Path) -> None:
    _, findings = await made_by(tmp_path, author(0, lambda n: "!"), author(0, lambda n: "!"))
    assert any("the same text" in fault for fault in findings.faults)


def test_findings_are_told_kept_and_summed_up(tmp_path: Path) -> None:
    sink = io.StringIO()
    findings = Findings("load", "somebody", sink)
    findings.figure(how_many=10_000, seconds=1.5)
    findings.note("it was dark")
    assert findings.summary().splitlines()[-1].strip() == "stood it"
    findings.fault("it fell")
    findings.fault("it fell")
    assert sink.getvalue() == "load: note: it was dark\nload: FAULT: it fell\n"
    assert findings.summary().splitlines() == [
        "load on somebody",
        "    how many  10,000",
        "    seconds   1.50",
        "    note: it was dark",
        "    FAULT: it fell",
        "    FAILED",
    ]
    findings.write(tmp_path / "findings.json")
    assert '"stood": false' in (tmp_path / "findings.json").read_text()
