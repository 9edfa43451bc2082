"""Runs the cases of an op on a node, and goes on after a refusal.

A client ends when its node refuses a graph. The case is then the first one without a verdict; those after it are run by
name in further processes. What an op leaves out is decided by its table (left_out.py), not by what happens.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs
import trio

from conformance.interop.processes import ProcessFailed
from conformance.upstream.cases import Case, Outcome, Verdict, Without, chunks, listed, pattern_without, verdicts
from conformance.upstream.node_log import reason_since
from conformance.upstream.programs import NO_NODE, node_environment

__all__ = ["Report", "Run", "run_op"]

DEVICE = "RPC0"
SECONDS = 3600.0
"""for one process"""
ROOM = 20_000
"""characters of case names on one command line"""
ENDED = (0, 1)
"""exit codes of a process that ran all of its cases"""
UNLISTED = "a case that test-backend-ops does not list"


@attrs.frozen
class Run:
    """What it takes to run cases: test-backend-ops, a node, and the log of the node, which says why it refuses."""

    program: Path
    library: Path
    """to be preloaded"""
    endpoint: str
    node_log: Path
    logs: Path
    """folder for what the program prints"""

    @property
    def printed(self) -> Path:
        """What the last process wrote to stdout."""
        return self.logs / "test-backend-ops.out"

    @property
    def client_log(self) -> Path:
        """What all processes wrote to stderr."""
        return self.logs / "test-backend-ops.log"


@attrs.frozen
class Report:
    """What became of an op's cases."""

    op: str
    outcomes: Sequence[Outcome]
    left_out: Sequence[tuple[Without, int]]
    """with the number of cases that each covers"""

    def count(self, verdict: Verdict) -> int:
        """Number of cases with this verdict."""
        return sum(outcome.verdict is verdict for outcome in self.outcomes)

    @property
    def good(self) -> bool:
        """Whether cases were run, and all of them passed."""
        return self.count(Verdict.PASSED) > 0 and not self.bad

    @property
    def bad(self) -> list[Outcome]:
        """What failed or was refused."""
        return [each for each in self.outcomes if each.verdict in (Verdict.FAILED, Verdict.REFUSED)]


async def run_op(run: Run, op: str, without: Sequence[Without]) -> Report:
    """Run all cases of `op` but those left out; raises ProcessFailed where there are none or the program fails."""
    every = listed(await _list(run, op))
    if not every:
        raise ProcessFailed(f"{op}: test-backend-ops has no such op, or no case of it")
    counts = [(each, sum(map(each.covers, every))) for each in without]
    wanted = [case for case in every if not any(each.covers(case) for each in without)]
    filters = ["-p", pattern_without(without)] if without else []
    outcomes, refusal = await _test(run, ["-o", op, *filters])
    known = {outcome.case for outcome in outcomes}
    rest = [case for case in wanted if case not in known]
    if refusal is not None:
        unlisted = Outcome(Case(op, UNLISTED), Verdict.REFUSED, refusal)
        again = [outcome for piece in chunks(rest, ROOM) for outcome in await _by_name(run, piece)]
        outcomes += again if any(each.verdict is Verdict.REFUSED for each in again) else [*again, unlisted]
    elif rest:
        outcomes += [Outcome(case, Verdict.FAILED, "ended without a verdict") for case in rest]
    return Report(op, outcomes, counts)


async def _by_name(run: Run, cases: Sequence[Case]) -> list[Outcome]:
    """Run these cases, in as many processes as it takes."""
    outcomes: list[Outcome] = []
    left = list(cases)
    while left:
        found, refusal = await _test(run, ["-o", ",".join(map(str, left))])
        outcomes += found
        known = {outcome.case for outcome in found}
        left = [case for case in left if case not in known]
        if left and refusal is None:
            return outcomes + [Outcome(case, Verdict.FAILED, "ended without a verdict") for case in left]
        if left:
            outcomes.append(Outcome(left.pop(0), Verdict.REFUSED, refusal or ""))
    return outcomes


async def _list(run: Run, op: str) -> str:
    command = [str(run.program), "support", "-b", "CPU", "-o", op, "--output", "csv"]
    done = await trio.run_process(command, capture_stdout=True, stdin=subprocess.DEVNULL)
    return done.stdout.decode()


async def _test(run: Run, filters: Sequence[str]) -> tuple[list[Outcome], str | None]:
    """The verdicts of one process, and why it ended early, if it did. Raises ProcessFailed where it does not begin."""
    env = node_environment(run.library, run.endpoint)
    command = [str(run.program), "test", "-b", DEVICE, *filters]
    code, said = None, run.node_log.stat().st_size
    with run.printed.open("wb") as printed, run.client_log.open("ab") as log, trio.move_on_after(SECONDS):
        done = await trio.run_process(
            command, stdout=printed, stderr=log, stdin=subprocess.DEVNULL, env=env, check=False
        )
        code = done.returncode
    if code == NO_NODE:
        raise ProcessFailed(f"{run.endpoint} does not answer any more; see {run.node_log}")
    refusal = None if code in ENDED else await reason_since(run.node_log, said)
    return verdicts(run.printed.read_text()), refusal
