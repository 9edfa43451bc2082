"""Where a run of the main host writes: the text to stdout, all that is for a person to stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO

import attrs
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

__all__ = ["PROGRAM", "Advance", "Outlet"]

PROGRAM = "refimpl-cli"
MB = 1_000_000

Advance = Callable[[int, int], None]
"""called with the bytes sent, and the bytes that a node had already, since the last call"""


@attrs.frozen(eq=False)
class Outlet:
    """`text` takes the prompt and its continuation, `notes` everything else."""

    text: BinaryIO
    notes: TextIO

    def show(self, data: bytes) -> None:
        """Text, at once."""
        self.text.write(data)
        self.text.flush()

    def say(self, line: str) -> None:
        """One line for a person."""
        print(line, file=self.notes, flush=True)

    def fail(self, error: Exception | str) -> None:
        """What went wrong, as one line."""
        self.say(f"{PROGRAM}: {' '.join(str(error).split())}")

    @contextmanager
    def progress(self, total: int) -> Iterator[Advance]:
        """A bar of bytes with MB/s, for as long as the block; yields what to call with each count of bytes done.

        The bar is about what travels; what nodes found in their caches is taken off it, and named with its share.
        Without a terminal the bar is drawn once, at the end; for 0 bytes never.
        """
        cached = TextColumn("{task.fields[cached]}")
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), cached)
        console = Console(file=self.notes, width=None if self.notes.isatty() else 120)
        with Progress(*columns, console=console, disable=not total) as bar:
            task = bar.add_task("uploading", total=total, cached="")
            found = 0

            def advance(sent: int, known: int) -> None:
                nonlocal found
                found += known
                words = f"{found / MB:.1f} MB ({100 * found // total} %) cached" if found else ""
                bar.update(task, advance=sent, total=total - found, cached=words)

            yield advance
