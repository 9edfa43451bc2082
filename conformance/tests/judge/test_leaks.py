"""Leaked is what grows each time that it is asked: not a first use, not what comes down by itself."""

import sys
from pathlib import Path

import pytest
import trio

from conformance.cases.catalogue import CASES
from conformance.judge.run import Judge
from conformance.judge.testee import Attached, Spawned
from conformance.judge.verdict import Report, Verdict
from conformance.judge.watch import level
from conformance.judge.watch.level import Watch
from conformance.judge.watch.processes import MIB, Usage
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import Dead, Refused
from conformance.tests.judge.staging import CODEC, Stage, report_of

ASKED = [CASES[name] for name in ("FRAME-4/128", "HELLO-3/size")]
AT_FIRST = Usage(100 * MIB, 10)


class Holdings:
    """What a testee in miniature holds above its first level."""

    def __init__(self) -> None:
        self.memory: list[int] = []
        self.descriptors = 0

    def look(self) -> Usage:
        return Usage(AT_FIRST.memory + sum(self.memory), AT_FIRST.descriptors + self.descriptors)


async def asked(holdings: Holdings, session: type[Session]) -> Report:
    return (await report_of(Stage(session=session, look=holdings.look), ASKED))[0]


def verdicts(report: Report) -> list[Verdict]:
    return [outcome.verdict for outcome in report.outcomes]


async def test_memory_that_grows_each_time_is_a_leak_and_is_told_once(autojump_clock: trio.testing.MockClock) -> None:
    holdings = Holdings()

    class KeepsMemory(Session):
        async def not_known(self, byte: int, size: int) -> None:
            holdings.memory.append(5 * MIB)
            raise Refused

    report = await asked(holdings, KeepsMemory)
    assert verdicts(report) == [Verdict.LEAKED, Verdict.PASS]
    assert report.outcomes[0].came == f"5.0 MiB; asked again, each time more: {', '.join(['5.0 MiB'] * level.AGAIN)}"
    assert report.outcomes[0].violates


async def test_a_descriptor_that_stays_each_time_is_a_leak(autojump_clock: trio.testing.MockClock) -> None:
    holdings = Holdings()

    class KeepsConnections(Session):
        async def not_known(self, byte: int, size: int) -> None:
            holdings.descriptors += 1
            raise Refused

    report = await asked(holdings, KeepsConnections)
    assert verdicts(report) == [Verdict.LEAKED, Verdict.PASS]
    assert report.outcomes[0].came.startswith("1 descriptor; asked again")


async def test_a_first_use_that_grows_once_is_none(autojump_clock: trio.testing.MockClock) -> None:
    holdings = Holdings()

    class Compiles(Session):
        async def not_known(self, byte: int, size: int) -> None:
            if not holdings.memory:
                holdings.memory.append(50 * MIB)
                holdings.descriptors += 1
            raise Refused

    report = await asked(holdings, Compiles)
    assert verdicts(report) == [Verdict.PASS, Verdict.PASS]
    assert report.notes == (
        "held after ordinary traffic: 100 MiB and 10 descriptors; in the end: 150 MiB and 11 descriptors; "
        "first uses added up to 50 MiB (1 of them)",
    )


@pytest.mark.parametrize("seconds", [level.SETTLE_SECONDS / 2, level.PATIENCE_SECONDS / 2])
async def test_what_comes_down_in_time_is_none(seconds: float, autojump_clock: trio.testing.MockClock) -> None:
    holdings = Holdings()

    class IsSlow(Session):
        async def not_known(self, byte: int, size: int) -> None:
            holdings.memory.append(5 * MIB)
            holdings.descriptors += 1
            with trio.CancelScope(shield=True):
                await self.stream.aclose()
                await trio.sleep(seconds)
            holdings.memory.pop()
            holdings.descriptors -= 1
            raise Refused

    assert verdicts(await asked(holdings, IsSlow)) == [Verdict.PASS, Verdict.PASS]


async def test_less_than_the_allowance_is_no_leak_and_adds_up(autojump_clock: trio.testing.MockClock) -> None:
    holdings = Holdings()

    class Grows(Session):
        async def not_known(self, byte: int, size: int) -> None:
            holdings.memory.append(level.GRAIN_BYTES // 2)
            raise Refused

    report, _ = await report_of(Stage(session=Grows, look=holdings.look), ASKED * 40)
    assert set(verdicts(report)) == {Verdict.PASS}
    assert "in the end: 105 MiB" in report.notes[0]


@pytest.mark.parametrize(("volume", "leaks"), [(0, True), (8 * MIB, False)])
async def test_a_heap_may_grow_by_a_part_of_what_goes_through_it(
    volume: int, leaks: bool, autojump_clock: trio.testing.MockClock
) -> None:
    holdings = Holdings()

    async def ask() -> bool:
        holdings.memory.append(MIB)
        return True

    async def nothing() -> None:
        pass

    watch = Watch(holdings.look)
    await watch.begin(nothing)
    holdings.memory.append(10 * MIB)
    assert (await watch.leak(volume, ask) is not None) is leaks


async def test_a_testee_that_dies_when_it_is_asked_again_has_crashed(autojump_clock: trio.testing.MockClock) -> None:
    holdings = Holdings()

    class DiesSoon(Session):
        async def not_known(self, byte: int, size: int) -> None:
            if holdings.memory:
                raise Dead("ended by SIGSEGV")
            holdings.memory.append(5 * MIB)
            raise Refused

    report = await asked(holdings, DiesSoon)
    assert report.outcomes[0].verdict is Verdict.CRASHED
    assert report.outcomes[0].came == "when it was asked again: ended by SIGSEGV"


async def test_a_failure_that_leaks_stays_a_failure_and_says_both(autojump_clock: trio.testing.MockClock) -> None:
    holdings = Holdings()

    class AnswersAndKeeps(Session):
        async def not_known(self, byte: int, size: int) -> None:
            holdings.descriptors += 2
            await self.answer(b"")

    report = await asked(holdings, AnswersAndKeeps)
    assert report.outcomes[0].verdict is Verdict.FAIL
    assert "\nand it leaked: 2 descriptors; asked again" in report.outcomes[0].came


@pytest.mark.parametrize(
    ("session", "verdict"), [("KeepsMemory", Verdict.LEAKED), ("KeepsDescriptors", Verdict.LEAKED)]
)
async def test_a_process_that_keeps_something_is_found_out(
    session: str, verdict: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(level, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(level, "PATIENCE_SECONDS", 0.05)
    command = f"{sys.executable} -m conformance.tests.judge.served {session} {{port}}"
    async with Spawned(command, tmp_path / "log", CODEC) as testee:
        judge = Judge(testee, CODEC, 10.0, Watch(testee.look))
        await judge.look()
        report = await judge.run(ASKED, lambda outcome: None)
        await judge.leave()
    assert verdicts(report) == [verdict, Verdict.PASS]


async def test_who_listens_on_this_machine_is_watched_and_known_to_be_gone(tmp_path: Path) -> None:
    command = f"{sys.executable} -m conformance.tests.judge.served Session {{port}}"
    async with Spawned(command, tmp_path / "log", CODEC) as testee:
        stream = await testee.dial()
        port = stream.socket.getpeername()[1]
        await stream.aclose()
        attached = Attached("localhost", port)
        assert attached.grounds.pid == testee.grounds.pid
        held = attached.look()
        assert held is not None
        assert held.memory > MIB
        assert attached.dead() is None
    assert attached.look() is None
    assert attached.dead() == f"process {attached.grounds.pid}, which listened at localhost:{port}, has ended"
