"""Scripts that are kept are played again, without Hypothesis, and are no findings with servers that are well."""

import tempfile
from pathlib import Path

import attrs
import pytest
import trio

import conformance.fuzz
from conformance.fuzz.replay import replay
from conformance.fuzz.script import BadScript, read_script, write_script
from conformance.judge.codec import Codec
from conformance.judge.run import Judge
from conformance.judge.testee import Spawned
from conformance.judge.verdict import Outcome, Verdict
from conformance.testees import command_of, known
from conformance.tests.fuzz.obedient import Desk, Obedient
from spec.load import load
from spec.prose import clauses

EXAMPLES = sorted((Path(conformance.fuzz.__file__).parent / "examples").glob("*.jsonl"))
TIMEOUT = 30.0
IMPATIENCE = 0.3


class OneClient(Desk):
    """Hears nobody while another client is connected."""

    async def run(self) -> None:
        async with self.office.turn:
            await super().run()


async def played(path: Path, desk: type[Desk], timeout: float = TIMEOUT) -> Outcome:
    codec = Codec(load().dialect(read_script(path).version))
    async with trio.open_nursery() as nursery:
        outcome = await replay(Judge(Obedient(desk, codec.dialect, nursery), codec, timeout), path)
        nursery.cancel_scope.cancel()
    return outcome


def test_there_are_examples_and_each_tells_what_was_found() -> None:
    assert len(EXAMPLES) >= 3
    for path in EXAMPLES:
        script = read_script(path)
        assert script.version in load().versions
        assert script.found["clause"] in clauses()
        assert Verdict(script.found["verdict"]).blames
        assert path.stat().st_size < 10_000


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
async def test_an_example_is_no_finding_with_a_right_server(path: Path) -> None:
    outcome = await played(path, Desk)
    assert outcome.verdict is Verdict.PASS, outcome.came
    assert outcome.case.id.endswith("/replay")
    assert outcome.record


async def test_the_examples_are_no_findings_with_this_projects_server() -> None:
    testee = known()["refimpl-7.0.0"]
    codec = Codec(load().dialect(testee.proto))
    with tempfile.TemporaryDirectory() as folder:
        async with Spawned(await command_of(testee), Path(folder) / "log", codec) as server:
            judge = Judge(server, codec, TIMEOUT)
            outcomes = [await replay(judge, path) for path in EXAMPLES]
            assert server.starts == 1
    assert {outcome.verdict for outcome in outcomes} == {Verdict.PASS}


async def test_a_script_for_another_version_is_refused(nursery: trio.Nursery) -> None:
    codec = Codec(load().dialect("8.0.0"))
    judge = Judge(Obedient(Desk, codec.dialect, nursery), codec, TIMEOUT)
    with pytest.raises(BadScript, match=r"7\.0\.0"):
        await replay(judge, EXAMPLES[0])


async def test_where_one_client_is_served_two_connections_cannot_be_asked_for(tmp_path: Path) -> None:
    script = read_script(EXAMPLES[0])
    twice = (*script.steps, *(attrs.evolve(step, on="other") for step in script.steps))
    write_script(attrs.evolve(script, steps=twice), tmp_path / "two.jsonl")
    assert (await played(tmp_path / "two.jsonl", OneClient, timeout=IMPATIENCE)).verdict is Verdict.UNSUPPORTED
    assert (await played(EXAMPLES[0], OneClient, timeout=IMPATIENCE)).verdict is Verdict.PASS
