"""refimpl-conformance, the command: its line, its testees, the run, what comes out. `main` is the console script."""

from conformance.command.program import main

__all__ = ["main"]
