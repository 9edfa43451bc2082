"""Compares our programs with stock llama.cpp.

Exit code 0: they agree; 1: they do not; 2: it could not be judged, or not all of it, where this machine cannot run
everything. What conformance/INTEROP.md says otherwise is named.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

from conformance.interop.matrix.cells import Cell, acceptable, draw
from conformance.interop.matrix.document import DOCUMENT, disagreements, read, render, verdicts
from conformance.interop.matrix.run import run_matrix
from conformance.interop.model import smollm2
from conformance.interop.processes import ProcessFailed
from conformance.interop.stock import stock_programs

__all__ = ["main"]

AGREED, DIFFERED, NOT_JUDGED = 0, 1, 2


async def _judge(quick: bool, write: bool, logs: Path) -> int:
    try:
        cells = await run_matrix(quick, logs)
    except ProcessFailed as failure:
        print(failure, file=sys.stderr)
        return NOT_JUDGED
    print(draw(cells), flush=True)
    if write:
        _record(cells)
    else:
        _compare_with_record(cells)
    codes = {await _compare_tokenizers(), AGREED if acceptable(cells) else DIFFERED}
    if any(cell.reason for cell in cells):
        codes.add(NOT_JUDGED)
    return DIFFERED if DIFFERED in codes else max(codes)


def _record(cells: Sequence[Cell]) -> None:
    DOCUMENT.write_text(render(verdicts(cells)), "utf-8")
    print(f"wrote {DOCUMENT}", flush=True)


def _compare_with_record(cells: Sequence[Cell]) -> None:
    recorded = read(DOCUMENT.read_text("utf-8")) if DOCUMENT.exists() else {}
    for line in disagreements(recorded, verdicts(cells)):
        print(line, flush=True)


async def _compare_tokenizers() -> int:
    """Every known pre-tokenizer against stock's, on 1,000 hard strings; prints a line for each."""
    where = {"REFIMPL_STOCK_BIN": str(await stock_programs()), "REFIMPL_SMOLLM2": str(await smollm2())}
    command = [sys.executable, "-m", "conformance.interop.tokenizer_check"]
    done = await trio.run_process(command, env={**os.environ, **where}, stdin=subprocess.DEVNULL, check=False)
    return done.returncode


def main(argv: list[str] | None = None) -> int:
    """Run the comparison that `argv` asks for and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m conformance.interop", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one prompt and four ways of running it, all in 7.0.0")
    parser.add_argument("--write", action="store_true", help=f"write what was found to {DOCUMENT.name}")
    parser.add_argument("--logs", type=Path, help="folder for what the programs write (default: a temporary one)")
    args = parser.parse_args(argv)
    if args.write and args.quick:
        parser.error("--write records a whole run: leave out --quick")
    logs = args.logs or Path(tempfile.mkdtemp(prefix="interop-"))
    logs.mkdir(parents=True, exist_ok=True)
    code = trio.run(_judge, args.quick, args.write, logs)
    outcome = {AGREED: "agreed", DIFFERED: "NOT agreed", NOT_JUDGED: "could not be judged in full"}[code]
    print(f"interop: {outcome}; logs in {logs}")
    return code


if __name__ == "__main__":
    sys.exit(main())
