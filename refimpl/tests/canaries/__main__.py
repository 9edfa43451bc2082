"""Run examples until the time is up: a parent, and a child that may die of a forbidden page.

    python -m refimpl.tests.canaries --seconds 60 --seed 0
    python -m refimpl.tests.canaries --seed 0 --example 1643

The child notes the number of each example before it runs, so that the parent can name the one that it died of, and
start another child behind it. Exit code 1 where anything went wrong; each fault comes with the command that repeats it.
"""

import argparse
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from refimpl.tests.canaries.play import guarded_memory, play

__all__ = ["COMMAND", "main", "options", "run"]

MOST_FAULTS = 20
"""after so many there is nothing more to learn"""
NAME = "python -m refimpl.tests.canaries"
COMMAND = (sys.executable, "-m", "refimpl.tests.canaries")


def main(arguments: Sequence[str] | None = None) -> int:
    """The parent, or with --child the child; the exit code."""
    given = options(arguments)
    if given.child is not None:
        _child(given, given.child)
        return 0
    if given.example is not None:
        with guarded_memory():
            print(play(given.seed, given.example))
        return 0
    outcomes, faults = run(given)
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:8}  {outcome}")
    print(f"{sum(outcomes.values()):8}  examples of seed {given.seed}, {len(faults)} faults")
    for fault in faults:
        print(f"FAULT: {fault}")
    return 1 if faults or not outcomes else 0


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog=NAME, description="Graphs over guarded memory.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--examples", type=int, default=1 << 40, help="how many at most")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument("--first", type=int, default=0, help="number of the first example (default: 0)")
    parser.add_argument("--example", type=int, help="run this one here, and show what it raises")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def run(given: argparse.Namespace, command: Sequence[str] = COMMAND) -> tuple[Counter[str], list[str]]:
    """Examples in children, which `command` starts: outcomes with their counts, and faults."""
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    end, first, last = time.monotonic() + given.seconds, given.first, given.first + given.examples
    with tempfile.TemporaryDirectory(prefix="refimpl-canaries-") as folder:
        notes = Path(folder) / "notes"
        while first < last and (left := end - time.monotonic()) > 0 and len(faults) < MOST_FAULTS:
            flags = ["--child", str(notes), "--seed", str(given.seed), "--first", str(first)]
            done = subprocess.run([*command, *flags, f"--seconds={left}", f"--examples={last - first}"], check=False)
            first = _read(notes, outcomes, faults, given.seed)
            if done.returncode == 0:
                break
            ending = _ending(done.returncode)
            faults.append(f"example {first - 1} ended the process: {ending}; {_again(given.seed, first - 1)}")
    return outcomes, faults


def _read(notes: Path, outcomes: Counter[str], faults: list[str], seed: int) -> int:
    """Take over what a child has noted; the number of the example behind its last one."""
    number = -1
    for line in notes.read_text().splitlines():
        mark, _, text = line.partition(" ")
        if mark == "begin":
            number = int(text)
        elif mark == "good":
            outcomes[text] += 1
        else:
            faults.append(f"example {number}: {text}; {_again(seed, number)}")
    return number + 1


def _again(seed: int, number: int) -> str:
    return f"{NAME} --seed {seed} --example {number}"


def _ending(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _child(given: argparse.Namespace, notes: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with guarded_memory(), notes.open("w", buffering=1) as file:
        end = time.monotonic() + given.seconds
        for number in range(given.first, given.first + given.examples):
            print(f"begin {number}", file=file)
            try:
                print(f"good {play(given.seed, number)}", file=file)
            except Exception as error:
                print(f"bad {type(error).__name__}: {' '.join(str(error).split())}", file=file)
            if time.monotonic() >= end:
                return


if __name__ == "__main__":
    sys.exit(main())
