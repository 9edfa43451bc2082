"""The judge is judged: a right server is found nothing of, a wrong one is found out, and in few steps."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from conformance.fuzz.campaign import Bounds, campaign
from conformance.fuzz.replay import replay
from conformance.fuzz.script import read_script
from conformance.judge.codec import Codec
from conformance.judge.run import Judge
from conformance.judge.testee import NotReached
from conformance.judge.verdict import Outcome, Verdict
from conformance.judge.watch.level import Watch
from conformance.judge.watch.processes import Usage
from conformance.tests.fuzz.obedient import Desk, Obedient
from conformance.tests.fuzz.wrong import WRONG, DiesOfNewTypes, SpillsOver, Told
from spec.load import load

PLENTY_SECONDS = 300.0
BOUNDS = Bounds(rounds=30, findings=1, examples=60, seconds=PLENTY_SECONDS)
ONE_ROUND = Bounds(rounds=1)
PLAIN = Told(Verdict.PASS, "", 0, seed=1)


class Strict(Desk):
    """Closes the connection wherever it may."""

    strict = True


async def fuzzed(
    desk: type[Desk], folder: Path, version: str = "7.0.0", bounds: Bounds = BOUNDS, told: Told = PLAIN
) -> tuple[tuple[Outcome, ...], dict[str, Outcome]]:
    """The outcomes of a bounded campaign against such desks; and by name those of replays of what it has written."""
    dialect = load().dialect(version)
    async with trio.open_nursery() as nursery:
        testee = Obedient(desk, dialect, nursery)
        judge = Judge(testee, Codec(dialect), told.timeout)
        outcomes = await campaign(judge, PLENTY_SECONDS, told.seed, lambda outcome: None, folder, bounds)
        again = {path.name: await replay(judge, path) for path in sorted(folder.glob("*.jsonl"))}
        nursery.cancel_scope.cancel()
    return outcomes, again


@pytest.mark.parametrize("version", load().versions)
@pytest.mark.parametrize("desk", [Desk, Strict], ids=["lenient", "strict"])
async def test_a_right_one_passes_wherever_it_may_choose(desk: type[Desk], version: str, tmp_path: Path) -> None:
    (outcome,), _ = await fuzzed(desk, tmp_path, version, ONE_ROUND)
    assert outcome.verdict is Verdict.PASS, outcome.came
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("desk", WRONG, ids=lambda desk: desk.__name__)
async def test_a_fault_is_found_and_shrunk(desk: type[Desk], tmp_path: Path) -> None:
    told = WRONG[desk]
    outcomes, again = await fuzzed(desk, tmp_path, told=told)
    assert outcomes[0].verdict is told.verdict, outcomes[0].came
    assert outcomes[0].case.id == f"{told.clause}/fuzz-1"
    ((name, replayed),) = again.items()
    assert replayed.verdict is told.verdict
    assert len(read_script(tmp_path / name).steps) <= told.steps


async def test_a_seed_finds_the_same_again(tmp_path: Path) -> None:
    desk = SpillsOver
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        await fuzzed(desk, tmp_path / name, told=WRONG[desk])
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert one
    assert one == two


async def test_one_that_stays_dead_is_told_all_the_same(tmp_path: Path) -> None:
    dialect = load().dialect("7.0.0")
    async with trio.open_nursery() as nursery:
        testee = Mortal(DiesOfNewTypes, dialect, nursery)
        judge = Judge(testee, Codec(dialect), PLAIN.timeout)
        (outcome,) = await campaign(judge, PLENTY_SECONDS, 3, lambda outcome: None, tmp_path, BOUNDS)
        nursery.cancel_scope.cancel()
    assert outcome.verdict is Verdict.CRASHED
    assert len(list(tmp_path.iterdir())) == 1


class Mortal(Obedient):
    """Cannot be started again."""

    async def restart(self) -> None:
        raise NotReached("it was somebody else who started it")


async def test_what_a_server_keeps_round_after_round_is_a_leak(tmp_path: Path) -> None:
    dialect, held = load().dialect("7.0.0"), itertools.count(1 << 24, 1 << 24)
    async with trio.open_nursery() as nursery:
        testee = Obedient(Desk, dialect, nursery)
        watch = Watch(lambda: Usage(next(held), 9))
        judge = Judge(testee, Codec(dialect), PLAIN.timeout, watch)
        await judge.look()
        (outcome,) = await campaign(
            judge, PLENTY_SECONDS, 1, lambda outcome: None, tmp_path, Bounds(rounds=1, round_examples=3)
        )
        nursery.cancel_scope.cancel()
    assert outcome.verdict is Verdict.LEAKED
    assert outcome.case.id == "LIFE-3/fuzz-1"


def test_without_hypothesis_it_says_what_to_install() -> None:
    """In a process of its own, in which it cannot be imported; the judge's command works without."""
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "import trio, conformance.command.program, conformance.fuzz.replay, conformance.fuzz.flood.run\n"
        "from conformance.fuzz.campaign import NotInstalled, campaign\n"
        "try:\n    trio.run(campaign, None, 1.0, 0, print)\n"
        "except NotInstalled as lack:\n    print(lack)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'ggml-rpc-refimpl[fuzz]'" in ran.stdout
