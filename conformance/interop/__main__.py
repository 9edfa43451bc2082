"""Compares our programs with stock llama.cpp. Exit code 0: they agree; 1: they do not; 2: it could not be judged."""

import argparse
import sys
import tempfile
from pathlib import Path

import trio

from conformance.interop.matrix import acceptable, draw, run_matrix
from conformance.interop.processes import ProcessFailed

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.interop", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one prompt and four columns: three minutes")
    parser.add_argument("--logs", type=Path, help="folder for what the programs write (default: a temporary one)")
    args = parser.parse_args(argv)
    logs = args.logs or Path(tempfile.mkdtemp(prefix="interop-"))
    logs.mkdir(parents=True, exist_ok=True)
    try:
        cells = trio.run(run_matrix, args.quick, logs)
    except ProcessFailed as failure:
        print(failure, file=sys.stderr)
        return 2
    print(draw(cells))
    good = acceptable(cells)
    print(f"interop: {'agreed' if good else f'NOT agreed; logs in {logs}'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
