"""Runs every column on every prompt, compares the texts with stock's own, and draws the table.

Texts are compared without newlines at their end: stock writes some when it is done. Verdicts: `same`; `near-tie`, where
stock finds the two tokens at which the texts part equally likely; `DIFFERENT`; `FAILED` when a program does. A prompt
may part at one near-tie and no more.
"""

import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from conformance.interop.columns import COLUMNS, PROMPTS, TOKENS, Column, Peers
from conformance.interop.model import smollm2
from conformance.interop.near_tie import Parting, ask_stock, parting
from conformance.interop.processes import ProcessFailed, our_program, run_text, running_server, running_web_server
from conformance.interop.stock import stock_programs

__all__ = ["Cell", "acceptable", "draw", "run_matrix"]


@attrs.frozen
class Cell:
    """One run: its text (None when the program failed) and, where the text differs from stock's, where it parts."""

    column: Column
    prompt: str
    seconds: float
    text: str | None
    same: bool
    parting: Parting | None = None

    @property
    def verdict(self) -> str:
        if self.text is None:
            return "FAILED"
        if self.same:
            return "same"
        return "near-tie" if self.parting and self.parting.is_near_tie else "DIFFERENT"


async def run_matrix(quick: bool, logs: Path) -> list[Cell]:
    """Run the whole matrix, or its three-minute part. Raises ProcessFailed if a server or stock itself fails."""
    programs, model = await stock_programs(), await smollm2()
    columns = [column for column in COLUMNS if column.quick or not quick]
    cells: list[Cell] = []
    async with _peers(programs, model, logs) as peers:
        for prompt in PROMPTS[:1] if quick else PROMPTS:
            cells += await _run_prompt(peers, columns, prompt, programs, logs)
    return cells


@asynccontextmanager
async def _peers(programs: Path, model: Path, logs: Path) -> AsyncIterator[Peers]:
    ours, stock = our_program("refimpl-server"), str(programs / "ggml-rpc-server")
    async with (
        running_server([ours, "-t", "1"], logs / "refimpl-server-1.log") as first,
        running_server([ours, "-t", "1"], logs / "refimpl-server-2.log") as second,
        running_server([stock, "-t", "1"], logs / "stock-server.log") as third,
    ):
        _say(f"servers: refimpl {first.version} and {second.version}, stock {third.version}")
        hosts = str(programs / "llama-completion"), our_program("refimpl-cli")
        yield Peers(*hosts, model, (first.endpoint, second.endpoint), third.endpoint)


async def _run_prompt(peers: Peers, columns: Sequence[Column], prompt: str, programs: Path, logs: Path) -> list[Cell]:
    cells: list[Cell] = []
    reference: str | None = None
    for column in columns:
        cell = await _run_cell(peers, column, prompt, reference, logs)
        if reference is None:
            if cell.text is None:
                raise ProcessFailed(f"the reference run failed; see {logs}")
            reference = cell.text
        outcome = "differs" if cell.text and not cell.same else cell.verdict
        _say(f"{prompt!r}: {column.name}: {outcome} in {cell.seconds:.1f} s")
        cells.append(cell)
    return await _explain(cells, prompt, programs, peers.model, logs)


async def _run_cell(peers: Peers, column: Column, prompt: str, reference: str | None, logs: Path) -> Cell:
    begin = time.monotonic()
    try:
        text = await run_text(column.command(peers, prompt), logs / f"{column.name.replace(' ', '-')}.log")
    except ProcessFailed as failure:
        _say(str(failure))
        return Cell(column, prompt, time.monotonic() - begin, None, same=False)
    text = text.rstrip("\n")
    return Cell(column, prompt, time.monotonic() - begin, text, same=reference is None or text == reference)


async def _explain(cells: list[Cell], prompt: str, programs: Path, model: Path, logs: Path) -> list[Cell]:
    """Add to each differing cell where it parts from stock, asking a stock llama-server once."""
    if all(cell.same or cell.text is None for cell in cells):
        return cells
    command = [str(programs / "llama-server"), "-m", str(model), "-c", "512", "-t", "2"]
    async with running_web_server(command, logs / "llama-server.log") as url:
        steps = await ask_stock(url, prompt, TOKENS)
    explained = []
    for cell in cells:
        if cell.text is not None and not cell.same:
            cell = attrs.evolve(cell, parting=parting(steps, cell.text[len(prompt) :].encode()))
            _say(f"{prompt!r}: {cell.column.name}: {cell.parting or 'cut short'}\n    {cell.text!r}")
        explained.append(cell)
    return explained


def acceptable(cells: Sequence[Cell]) -> bool:
    """Whether every text is stock's, but for at most one near-tie per prompt."""
    if any(cell.verdict in ("FAILED", "DIFFERENT") for cell in cells):
        return False
    ties: dict[str, set[int]] = {}
    for cell in cells:
        if cell.parting:
            ties.setdefault(cell.prompt, set()).add(cell.parting.step)
    return all(len(steps) == 1 for steps in ties.values())


def draw(cells: Sequence[Cell]) -> str:
    """The table: a row per column, a column per prompt."""
    prompts = list(dict.fromkeys(cell.prompt for cell in cells))
    names = list(dict.fromkeys(cell.column.name for cell in cells))
    verdicts = {(cell.column.name, cell.prompt): f"{cell.verdict} {cell.seconds:5.1f} s" for cell in cells}
    heads = [_short(prompt) for prompt in prompts]
    width = max(map(len, names))
    lines = ["  ".join([" " * width, *(f"{head:>22}" for head in heads)])]
    lines += ["  ".join([f"{name:{width}}", *(f"{verdicts[name, p]:>22}" for p in prompts)]) for name in names]
    return "\n".join(lines)


def _short(prompt: str) -> str:
    return prompt.strip() if len(prompt) < 20 else f"{prompt[:16]} ..."


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
