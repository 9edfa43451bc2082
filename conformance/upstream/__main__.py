"""Runs stock's test-backend-ops over a node of ours: `python -m conformance.upstream [--all] [OP ...]`.

Without ops all are run that our CPU device serves. Exit code 0: every case passed that was run; 1: some did not; 2: it
could not be judged.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from conformance.interop.processes import ProcessFailed, our_program, running_server
from conformance.interop.stock import PROTO
from conformance.upstream.cases import Verdict
from conformance.upstream.left_out import LEFT_OUT, OPS
from conformance.upstream.programs import node_library, upstream_program
from conformance.upstream.suite import Report, Run, run_op

__all__ = ["draw", "main"]

PASSED, FAILED, NOT_JUDGED = 0, 1, 2


async def _judge(ops: Sequence[str], everything: bool, threads: int, logs: Path) -> list[Report]:
    program, library = await upstream_program("test-backend-ops"), await node_library(logs)
    node_log = logs / "refimpl-server.log"
    reports = []
    command = [our_program("refimpl-server"), "--proto", PROTO, "-t", str(threads)]
    async with running_server(command, node_log) as node:
        run = Run(program, library, node.endpoint, node_log, logs)
        for op in ops:
            begin = time.monotonic()
            report = await run_op(run, op, () if everything else LEFT_OUT.get(op, ()))
            _say(report, time.monotonic() - begin)
            reports.append(report)
    return reports


def _say(report: Report, seconds: float) -> None:
    passed = report.count(Verdict.PASSED)
    print(f"{report.op}: {passed} passed, {len(report.bad)} did not, {seconds:.1f} s", file=sys.stderr, flush=True)
    for each in report.bad:
        print(f"    {each.verdict.value} {each.case}: {each.said}", file=sys.stderr, flush=True)


def draw(reports: Sequence[Report]) -> str:
    """The table: a row per op, and what was left out of it."""
    kinds = tuple(Verdict)
    lines = ["".join([f"{'op':16}", *(f"{kind.value:>15}" for kind in kinds), f"{'left out':>15}"])]
    for report in reports:
        counts = [*(report.count(kind) for kind in kinds), sum(count for _, count in report.left_out)]
        lines.append("".join([f"{report.op:16}", *(f"{count:15}" for count in counts)]))
        lines += [f"    left out {count}: {each.reason}" for each, count in report.left_out if count]
    totals = [*(sum(each.count(kind) for each in reports) for kind in kinds)]
    totals.append(sum(count for report in reports for _, count in report.left_out))
    lines.append("".join([f"{'together':16}", *(f"{total:15}" for total in totals)]))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ops that `argv` names and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m conformance.upstream", description=__doc__)
    parser.add_argument("ops", nargs="*", metavar="OP", help="as test-backend-ops has them (default: all served)")
    parser.add_argument("--all", action="store_true", help="leave nothing out, to see what is refused so far")
    parser.add_argument("-t", "--threads", type=int, default=2, help="of the node (default: %(default)s)")
    parser.add_argument("--logs", type=Path, help="folder for what the programs write (default: a temporary one)")
    args = parser.parse_args(argv)
    logs = args.logs or Path(tempfile.mkdtemp(prefix="upstream-"))
    logs.mkdir(parents=True, exist_ok=True)
    try:
        reports = trio.run(_judge, args.ops or OPS, args.all, args.threads, logs)
    except ProcessFailed as failure:
        print(failure, file=sys.stderr)
        return NOT_JUDGED
    print(draw(reports), flush=True)
    good = all(report.good for report in reports)
    print(f"upstream: {'passed' if good else 'NOT passed'}; logs in {logs}")
    return PASSED if good else FAILED


if __name__ == "__main__":
    sys.exit(main())
