"""Whole runs: cases dealt out to several testees, orders drawn from a seed, files written, results merged."""

import json
import sys
from pathlib import Path

import pytest
import trio

from conformance.cases.catalogue import CASES
from conformance.command import main
from conformance.command.exits import Exit
from conformance.command.judging import asked, cases_of
from conformance.command.options import options
from conformance.judge.case import Case
from conformance.judge.run import Judge
from conformance.judge.verdict import Outcome, Report, Verdict
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.staged import Staged
from conformance.tests.judge.staging import CODEC, CannotComeBack, DiesOfNonsense

SERVED = f"{sys.executable} -m conformance.tests.judge.served"
NAMES = ("FRAME-4/128", "FRAME-12/half-a-hello", "HELLO-3/size", "FRAME-4/255", "HELLO-2/empty")


async def dealt(
    testees: list[type[Staged]], session: type[Session], cases: tuple[Case, ...]
) -> tuple[Report, list[str]]:
    """The report of as many judges, and the ids in the order in which outcomes were told."""
    told: list[Outcome] = []
    async with trio.open_nursery() as nursery:
        judges = [Judge(testee(session, CODEC, nursery), CODEC, 5.0) for testee in testees]
        for judge in judges:
            await judge.look()
        report = await asked(judges, cases, told.append)
        nursery.cancel_scope.cancel()
    return report, [outcome.case.id for outcome in told]


async def test_cases_are_dealt_out_and_reported_in_order(autojump_clock: trio.testing.MockClock) -> None:
    cases = tuple(CASES[name] for name in NAMES)
    report, told = await dealt([Staged, Staged, Staged], DiesOfNonsense, cases)
    assert told == list(NAMES)
    assert [outcome.case.id for outcome in report.outcomes] == list(NAMES)
    verdicts = [Verdict.CRASHED, Verdict.PASS, Verdict.PASS, Verdict.CRASHED, Verdict.PASS]
    assert [outcome.verdict for outcome in report.outcomes] == verdicts


async def test_a_testee_that_is_lost_leaves_its_cases_out(autojump_clock: trio.testing.MockClock) -> None:
    cases = tuple(CASES[name] for name in NAMES)
    report, told = await dealt([CannotComeBack, Staged], DiesOfNonsense, cases)
    assert told == ["FRAME-4/128", "FRAME-12/half-a-hello", "FRAME-4/255"]
    assert [outcome.case.id for outcome in report.outcomes] == told
    assert report.cut_short == "it is gone for good"


def test_a_seed_draws_an_order_and_draws_it_again() -> None:
    plain, first, again, other = (
        [case.id for case in cases_of(options(["a:1", "--only", "FRAME-4,HELLO", *seed]), "7.0.0")]
        for seed in ([], ["--seed", "1"], ["--seed", "1"], ["--seed", "2"])
    )
    assert plain != first == again != other
    assert sorted(plain) == sorted(first) == sorted(other)


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_two_processes_are_judged_at_once_and_their_results_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = ("--jobs", "2", "--only", "HELLO,FRAME-4", "--seed", "5", "--spawn", f"{SERVED} Session {{port}}")
    files = {kind: str(tmp_path / f"report.{kind}") for kind in ("json", "html", "junit")}
    assert ended(*judged, *(word for kind, path in files.items() for word in (f"--{kind}", path))) == Exit.KEPT
    assert "every MUST was kept" in capsys.readouterr().out
    raw = json.loads(Path(files["json"]).read_text("utf-8"))
    order = [case.id for case in cases_of(options(["a:1", *judged[2:6]]), CODEC.dialect.name)]
    assert [entry["id"] for entry in raw["entries"]] == order
    assert {entry["verdict"] for entry in raw["entries"]} == {"pass"}
    assert raw["seed"] == 5
    merged = str(tmp_path / "RESULTS.md")
    assert ended("report", files["json"], files["json"], "--markdown", merged, "--html", files["html"]) == Exit.KEPT
    assert Path(merged).read_text("utf-8").count("Everything that could be asked was kept.") == 2
    assert Path(files["html"]).read_text("utf-8").startswith("<!doctype html>")


def test_expected_failures_of_a_process_end_with_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = tmp_path / "known"
    known.write_text("HELLO-3/size = fail\n")
    judged = ("--only", "HELLO-3", "--expect-fail", str(known), "--spawn", f"{SERVED} PaddingSet {{port}}")
    assert ended(*judged) == Exit.VIOLATED
    assert "expected to fail, and passed: HELLO-3/size" in capsys.readouterr().out
    known.write_text("HELLO-3/zero-byte\n")
    assert ended(*judged) == Exit.KEPT
    assert "1 MUST not kept, 1 of them as expected" in capsys.readouterr().out
