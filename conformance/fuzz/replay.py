"""Plays a script to a testee: what a campaign or a flood has found, or an example that is kept. No Hypothesis."""

from pathlib import Path

import trio

from conformance.fuzz.script import BadScript, Script, read_script
from conformance.fuzz.stage import NOTHING_ELSE, Finding, Stage
from conformance.judge.case import Question
from conformance.judge.run import Judge
from conformance.judge.verdict import Outcome, Verdict
from spec.prose import clauses

__all__ = ["play_script", "replay"]


async def replay(judge: Judge, path: Path) -> Outcome:
    """Play the file: PASS, or what the testee has done; it is alive afterwards.

    judge: has looked at its testee; only its testee, codec and timeout are used. Raises BadScript when the file cannot
    be read or is for another version, NotReached when the testee stays dead.
    """
    script = read_script(path)
    if script.version != judge.codec.dialect.name:
        raise BadScript(f"{path}: a script for {script.version}, and the testee speaks {judge.codec.dialect.name}")
    clause = script.found.get("clause", NOTHING_ELSE)
    question = Question(id=f"{clause if clause in clauses() else NOTHING_ELSE}/replay", title=f"replay of {path.name}")
    begin = trio.current_time()
    stage = Stage(judge.testee, judge.codec, judge.timeout)
    await stage.begin()
    connections = {step.on for step in script.steps}
    if stage.one_client and len(connections) > 1:
        await stage.end()
        came = f"one client: {len(connections)} connections cannot be open"
        return Outcome(case=question, verdict=Verdict.UNSUPPORTED, came=came)
    try:
        finding = await play_script(stage, script)
        record = stage.record
        if finding is not None:
            await stage.heal()
    finally:
        await stage.end()
    seconds = trio.current_time() - begin
    if finding is None:
        return Outcome(case=question, verdict=Verdict.PASS, record=record, seconds=seconds)
    return Outcome(
        case=question,
        verdict=finding.verdict,
        expected=f"{finding.clause}: {finding.expected}",
        came=finding.came,
        record=record,
        seconds=seconds,
    )


async def play_script(stage: Stage, script: Script) -> Finding | None:
    """Play every step; those of a connection that has ended are left out, as they may be where closing was allowed."""
    gone: set[str] = set()
    try:
        for step in script.steps:
            if step.on not in gone and (await stage.play(step)).closed:
                gone.add(step.on)
        await stage.well()
    except Finding as finding:
        return finding
    return None
