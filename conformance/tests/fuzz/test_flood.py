"""A flood finds nothing of a right server, counts what it does, and finds out which session of many it was."""

from pathlib import Path

import pytest
import trio

from conformance.fuzz.flood.__main__ import main
from conformance.fuzz.flood.run import Flood
from conformance.fuzz.flood.single import Found, Plan, alone
from conformance.fuzz.replay import replay
from conformance.fuzz.script import read_script
from conformance.judge.codec import Codec
from conformance.judge.run import Judge
from conformance.judge.verdict import Verdict
from conformance.judge.watch.processes import Usage
from conformance.tests.fuzz.obedient import Desk, Obedient
from conformance.tests.fuzz.wrong import AcceptsFreed, DiesOfNewTypes, SpillsOver
from spec.load import load

MESSAGES = 1500
MANY_SECONDS = 300.0
SMALL = Usage(memory=1 << 20, descriptors=9)
USAGES = {
    "steady": [SMALL],
    "descriptors": [SMALL] * 4 + [Usage(1 << 20, 12)],
    "memory": [SMALL] * 4 + [Usage(1 << 30, 9)],
}


def plan(folder: Path, seed: int = 1, messages: int = MESSAGES) -> Plan:
    return Plan(messages=messages, seconds=MANY_SECONDS, seed=seed, connections=4, folder=folder)


async def flooded(
    desk: type[Desk], folder: Path, version: str = "7.0.0", messages: int = MESSAGES, usages: str = "steady"
) -> tuple[Flood, Found | None]:
    codec = Codec(load().dialect(version))
    held = list(USAGES[usages])
    async with trio.open_nursery() as nursery:
        testee = Obedient(desk, codec.dialect, nursery)
        wanted = plan(folder, messages=messages)
        flood = Flood(testee, codec, wanted, lambda: held.pop(0) if len(held) > 1 else held[0], lambda line: None)
        found = await flood.run()
        nursery.cancel_scope.cancel()
    return flood, found


@pytest.mark.parametrize("version", load().versions)
async def test_of_a_right_server_nothing_is_found_and_all_is_counted(version: str, tmp_path: Path) -> None:
    flood, found = await flooded(Desk, tmp_path, version)
    assert found is None
    tally = flood.tally
    assert tally.messages >= MESSAGES
    assert tally.messages == sum(tally.by.values())
    assert 0 < tally.mutated < tally.messages
    assert tally.mutated == sum(tally.changed.values())
    assert tally.executed > 10
    assert len(tally.clauses) > 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("desk", "verdict"),
    [(DiesOfNewTypes, Verdict.CRASHED), (AcceptsFreed, Verdict.FAIL), (SpillsOver, Verdict.FAIL)],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
async def test_the_session_that_did_it_is_found_and_becomes_a_short_script(
    desk: type[Desk], verdict: Verdict, tmp_path: Path
) -> None:
    _, found = await flooded(desk, tmp_path, messages=100_000)
    assert found is not None
    assert found.finding.verdict is verdict
    assert found.path is not None
    assert found.index is not None
    assert len(read_script(found.path).steps) <= 8
    codec = Codec(load().dialect("7.0.0"))
    async with trio.open_nursery() as nursery:
        testee = Obedient(desk, codec.dialect, nursery)
        outcome = await replay(Judge(testee, codec, MANY_SECONDS), found.path)
        again = await alone(testee, codec, plan(tmp_path / "again"), found.index)
        healthy = await replay(Judge(Obedient(Desk, codec.dialect, nursery), codec, MANY_SECONDS), found.path)
        nursery.cancel_scope.cancel()
    assert outcome.verdict is verdict
    assert again is not None
    assert again.finding.signature == found.finding.signature
    assert healthy.verdict is Verdict.PASS


@pytest.mark.parametrize("usages", ["descriptors", "memory"])
async def test_what_is_held_in_the_end_and_was_not_before_is_a_leak(usages: str, tmp_path: Path) -> None:
    _, found = await flooded(Desk, tmp_path, messages=200, usages=usages)
    assert found is not None
    assert found.finding.verdict is Verdict.LEAKED


@pytest.mark.parametrize(
    "wrong",
    [[], ["127.0.0.1:1", "--testee", "refimpl-7.0.0"], ["--testee", "nobody"], ["--spawn", "true"], ["nonsense"]],
    ids=" ".join,
)
def test_a_wrong_command_line_is_told(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2
    assert capsys.readouterr().err


def test_nobody_who_listens_is_told_and_is_no_finding(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["127.0.0.1:1", "--messages", "1"])
    assert ended.value.code == 2
    assert "not reached" in capsys.readouterr().err
