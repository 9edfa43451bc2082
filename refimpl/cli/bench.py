"""`refimpl-bench`: benchmarks beside stock llama.cpp; JSON lines on stdout, the table of ratios on stderr."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import trio

from conformance.interop.processes import ProcessFailed
from refimpl.bench.figures import Measured, table
from refimpl.bench.side_by_side import Plan, side_by_side
from refimpl.errors import RefimplError

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark that `argv` names; returns 0, or 1 when a program failed."""
    args = _parser().parse_args(argv)
    logs = args.logs or Path(tempfile.mkdtemp(prefix="refimpl-bench-"))
    logs.mkdir(parents=True, exist_ok=True)
    plan = Plan(stock=args.stock, model=args.model, logs=logs, rounds=args.rounds, threads=args.threads)
    results: list[Measured] = []

    def report(measured: Measured) -> None:
        results.append(measured)
        print(json.dumps(measured.as_json()), flush=True)

    try:
        trio.run(side_by_side, plan, report)
    except (ProcessFailed, RefimplError) as failure:
        print(f"refimpl-bench: {failure}", file=sys.stderr)
        return 1
    finally:
        print(table(results), file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="refimpl-bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="BENCHMARK")
    side = commands.add_parser("side-by-side", help="stock's server and ours, under a stock main host")
    side.add_argument("--stock", type=Path, required=True, help="folder of stock's programs")
    side.add_argument("-m", "--model", type=Path, required=True, help="GGUF file")
    side.add_argument("-t", "--threads", type=int, default=2, help="threads of each program (default: 2)")
    side.add_argument("-r", "--rounds", type=int, default=5, help="measurements of each server (default: 5)")
    side.add_argument("--logs", type=Path, help="folder for what the programs write (default: a temporary one)")
    return parser
