"""What became of each column on each prompt, and whether that is agreement. Pure.

Verdicts: `same`, the text that stock 7.0.0 makes alone; `as stock 8.0.0`, the one that this makes alone, taken where
its programs compute, since two builds of stock do not always agree; `near-tie`, where stock finds the two tokens at
which the texts part equally likely; `hosts alike`, where layers are divided between refimpl and that other build, so
that nobody's text alone is the reference, and every main host makes one text of the same nodes; `DIFFERENT`; `FAILED`
when a program does; `not run`, with the reason, where this machine cannot run it: that is no pass. A prompt may part at
one near-tie and no more.
"""

from collections.abc import Sequence

import attrs

from conformance.interop.matrix.columns import CURRENT, Column
from conformance.interop.matrix.near_tie import Parting

__all__ = ["Cell", "acceptable", "draw"]


@attrs.frozen
class Cell:
    """One run: its text (None when there is none) and, where the text differs from stock's, where it parts."""

    column: Column
    prompt: str
    seconds: float
    text: str | None
    same: bool
    parting: Parting | None = None
    reason: str = ""
    """why it was not run"""
    as_current: bool = False
    """the column's layers run in current llama.cpp, and the text is the one that it makes alone"""
    alike: bool = False
    """the column mixes builds, and every main host makes this text of the same nodes"""

    @property
    def verdict(self) -> str:
        """One of the words above, without the reason."""
        if self.reason:
            return "not run"
        if self.text is None:
            return "FAILED"
        if self.same:
            return "same"
        if self.as_current:
            return f"as stock {CURRENT}"
        if self.parting and self.parting.is_near_tie:
            return "near-tie"
        return "hosts alike" if self.alike else "DIFFERENT"


def acceptable(cells: Sequence[Cell]) -> bool:
    """Whether every text that there is, is stock's, but for at most one near-tie per prompt."""
    if any(cell.verdict in ("FAILED", "DIFFERENT") for cell in cells):
        return False
    ties: dict[str, set[int]] = {}
    for cell in cells:
        if cell.parting and cell.verdict == "near-tie":
            ties.setdefault(cell.prompt, set()).add(cell.parting.step)
    return all(len(steps) == 1 for steps in ties.values())


def draw(cells: Sequence[Cell]) -> str:
    """The table: a row per column, a column per prompt; what was not run has its reason below."""
    prompts = list(dict.fromkeys(cell.prompt for cell in cells))
    names = list(dict.fromkeys(cell.column.name for cell in cells))
    verdicts = {(cell.column.name, cell.prompt): f"{cell.verdict} {cell.seconds:5.1f} s" for cell in cells}
    heads = [_short(prompt) for prompt in prompts]
    width = max(map(len, names))
    lines = ["  ".join([" " * width, *(f"{head:>22}" for head in heads)])]
    lines += ["  ".join([f"{name:{width}}", *(f"{verdicts[name, p]:>22}" for p in prompts)]) for name in names]
    reasons = dict.fromkeys(cell.reason for cell in cells if cell.reason)
    return "\n".join(lines + [f"not run: {reason}" for reason in reasons])


def _short(prompt: str) -> str:
    return prompt.strip() if len(prompt) < 20 else f"{prompt[:16]} ..."
