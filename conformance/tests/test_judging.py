"""Verdicts, reports and exit codes, on sessions in miniature and processes of a few lines."""

import io
import sys
from pathlib import Path
from xml.etree import ElementTree

import attrs
import pytest
import trio
from rich.console import Console

from conformance.cases.catalogue import CASES
from conformance.command import Exit, exit_code, main, options
from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.run import Judge
from conformance.judge.steps import NotOffered, Send, Talk
from conformance.judge.testee import Attached, NotReached, Spawned
from conformance.judge.verdict import Outcome, Report, Verdict
from conformance.report.console import ConsoleReport
from conformance.report.junit import write_junit
from conformance.tests.miniature import Dead, Session, Staged
from spec.load import load

CODEC = Codec(load().dialect("7.0.0"))
DIES_ON_THE_SECOND = """
import os, signal, socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    for turn in range(2):
        connection, _ = listener.accept()
        connection.recv(33, socket.MSG_WAITALL)
        connection.sendall((28).to_bytes(8, "little") + bytes([7, 0, 0, 0]) + bytes(24))
        connection.close()
print("last words", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def faulty(codec: Codec) -> Talk[None]:
    yield Send(codec.request("HELLO"))
    raise ZeroDivisionError


def lacking(codec: Codec) -> Talk[None]:
    yield Send(codec.request("HELLO"))
    raise NotOffered("no such thing")


class DiesOfNonsense(Session):
    async def not_known(self, byte: int, size: int) -> None:
        raise Dead("ended by SIGABRT")


class CannotComeBack(Staged):
    async def restart(self) -> None:
        raise NotReached("it is gone for good")


async def report_of(testee: type[Staged], session: type[Session], *cases: Case) -> tuple[Report, int]:
    """The report, and how often the testee was started again."""
    async with trio.open_nursery() as nursery:
        staged = testee(session, CODEC, nursery)
        judge = Judge(staged, CODEC, 5.0)
        await judge.look()
        report = await judge.run(cases, lambda outcome: None)
        nursery.cancel_scope.cancel()
    return report, staged.starts


async def test_a_testee_that_died_is_started_again_and_asked_on(autojump_clock: trio.testing.MockClock) -> None:
    cases = [CASES[name] for name in ("FRAME-4/128", "FRAME-4/255", "HELLO-3/size")]
    report, starts = await report_of(Staged, DiesOfNonsense, *cases)
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.CRASHED, Verdict.CRASHED, Verdict.PASS]
    assert report.outcomes[0].came == "ended by SIGABRT"
    assert starts == 2
    assert exit_code(report) is Exit.VIOLATED


async def test_a_testee_that_stays_dead_cuts_the_report_short(autojump_clock: trio.testing.MockClock) -> None:
    report, _ = await report_of(CannotComeBack, DiesOfNonsense, CASES["FRAME-4/128"], CASES["HELLO-3/size"])
    assert [outcome.verdict for outcome in report.outcomes] == [Verdict.CRASHED]
    assert report.cut_short == "it is gone for good"
    assert exit_code(report) is Exit.VIOLATED
    assert exit_code(attrs.evolve(report, outcomes=())) is Exit.NOT_REACHED


async def test_a_fault_of_a_case_is_an_error_and_blames_nobody(autojump_clock: trio.testing.MockClock) -> None:
    report, _ = await report_of(Staged, Session, Case(id="HELLO-1/faulty", title="t", script=faulty))
    (outcome,) = report.outcomes
    assert outcome.verdict is Verdict.ERROR
    assert "ZeroDivisionError" in outcome.came
    assert not outcome.violates
    assert exit_code(report) is Exit.SUITE_FAULT


async def test_what_is_not_offered_is_unsupported_and_no_violation(autojump_clock: trio.testing.MockClock) -> None:
    report, _ = await report_of(Staged, Session, Case(id="HELLO-1/lacking", title="t", script=lacking))
    assert [(outcome.verdict, outcome.came) for outcome in report.outcomes] == [(Verdict.UNSUPPORTED, "no such thing")]
    assert exit_code(report) is Exit.KEPT


@pytest.mark.parametrize(("level", "code"), [("MUST", Exit.VIOLATED), ("SHOULD", Exit.KEPT), ("MAY", Exit.KEPT)])
def test_only_a_must_decides_the_exit_code(level: str, code: Exit) -> None:
    case = Case(id="HELLO-1/x", title="t", script=faulty, level_here=level)
    assert exit_code(report_with(Outcome(case=case, verdict=Verdict.FAIL))) is code


def report_with(*outcomes: Outcome) -> Report:
    return Report(testee="somebody", version="7.0.0", notes=("one client",), outcomes=outcomes)


async def failures() -> Report:
    cases = [CASES[name] for name in ("HELLO-3/size", "FRAME-4/128")]
    return (await report_of(Staged, DiesOfNonsense, *cases))[0]


async def test_the_console_shows_clause_expectation_and_bytes(autojump_clock: trio.testing.MockClock) -> None:
    text = io.StringIO()
    shown = ConsoleReport(Console(file=text, width=200), CODEC, verbose=False)
    report = await failures()
    for outcome in report.outcomes:
        shown.tell(outcome)
    shown.close(report)
    said = text.getvalue()
    assert "crashed     MUST   FRAME-4/128" in said
    assert "A command byte that the dialect does not define closes the connection" in said
    assert "expected  a testee that lives on" in said
    assert "> 18 bytes: 80 00 00" in said
    assert "undefined command 128, declares 0 bytes" in said
    assert "2 cases: 1 pass, 1 crashed" in said
    assert "HELLO-3/size" not in said


async def test_junit_fails_a_must_and_skips_the_rest(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    report = await failures()
    should = Outcome(case=CASES["HANDLE-3/not-used-again"], verdict=Verdict.FAIL, came="again\x00")
    write_junit(report_with(*report.outcomes, should), CODEC, tmp_path / "report.xml")
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    failure = suite.find("testcase[@name='FRAME-4/128']/failure")
    assert failure is not None
    assert failure.get("type") == "crashed"
    assert "undefined command 128" in (failure.text or "")


async def test_a_spawned_testee_tells_its_end_and_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(DIES_ON_THE_SECOND)
    async with Spawned(f"{sys.executable} {script} {{port}}", tmp_path / "log", CODEC) as testee:
        assert testee.dead() is None
        stream = await testee.dial()
        await stream.send_all(CODEC.request("HELLO"))
        ending = await testee.death(10.0)
        await stream.aclose()
    assert ending == "the process was ended by SIGKILL\n    last words"


async def test_a_command_that_does_not_start_is_not_reached(tmp_path: Path) -> None:
    with pytest.raises(NotReached, match="no-such-program"):
        await Spawned("no-such-program {port}", tmp_path / "log", CODEC).restart()


async def test_a_port_where_nobody_listens_is_dead(tmp_path: Path) -> None:
    testee = Attached("127.0.0.1", 1)
    assert await testee.death(5.0) == "nobody listens at 127.0.0.1:1 any more"
    with pytest.raises(NotReached):
        await testee.restart()


@pytest.mark.parametrize(
    "line",
    ["", "a:1 --spawn x{port}", "nowhere", "a:0", "--spawn x", "--testee nobody", "a:1 --only NO-1", "a:1 --timeout 0"],
)
def test_a_wrong_command_line_ends_with_two(line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        options(line.split())
    assert ended.value.code == Exit.NOT_REACHED


@pytest.mark.parametrize("line", ["127.0.0.1:1", "192.0.2.1:50052", "--spawn no-such-program{port}"])
def test_who_cannot_be_reached_ends_with_two(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == Exit.NOT_REACHED
    assert "not reached" in capsys.readouterr().out


def test_a_strange_host_has_to_be_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["192.0.2.1:50052"])
    assert "--i-own-this-host" in capsys.readouterr().out
    assert options(["192.0.2.1:50052", "--i-own-this-host"]).own_host


def test_the_list_names_cases_of_a_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--list", "--proto", "7.0.0", "--only", "FRAME-4,STRIDED"])
    assert ended.value.code == Exit.KEPT
    said = capsys.readouterr().out
    assert "FRAME-4/128" in said
    assert "STRIDED" not in said
