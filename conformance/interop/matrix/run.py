"""Runs every column on every prompt and compares the texts with stock's own, without newlines at their end.

Stock writes some of these when it is done.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from conformance.interop.matrix.cells import Cell
from conformance.interop.matrix.columns import COLUMNS, CURRENT_ALONE, PROMPTS, REFERENCE, TOKENS, Column
from conformance.interop.matrix.near_tie import ask_stock, parting
from conformance.interop.matrix.peers import Peers, running_peers
from conformance.interop.model import smollm2
from conformance.interop.processes import ProcessFailed, running_web_server
from conformance.interop.stock import stock_programs

__all__ = ["run_matrix"]

References = dict[tuple[Column, str], str]
"""what the stocks make alone, by column and prompt"""


async def run_matrix(quick: bool, logs: Path) -> list[Cell]:
    """Run the whole matrix, or its short part. Raises ProcessFailed if a server or stock itself fails."""
    programs, model = await stock_programs(), await smollm2()
    columns = [column for column in COLUMNS if column.quick or not quick]
    prompts = PROMPTS[:1] if quick else PROMPTS
    cells: list[Cell] = []
    references: References = {}
    for version in dict.fromkeys(column.version for column in columns):
        async with running_peers(version, programs, model, logs) as peers:
            spoken = ", ".join(f"{who.value} {one.version}" for who, found in peers.servers.items() for one in found)
            _say(f"servers: {spoken}{'; ' if peers.obstacle else ''}{peers.obstacle}")
            for prompt in prompts:
                cells += await _run_prompt(peers, columns, prompt, references, logs)
    return [cell for prompt in prompts for cell in await _explain(cells, prompt, programs, model, logs)]


async def _run_prompt(
    peers: Peers, columns: Sequence[Column], prompt: str, references: References, logs: Path
) -> list[Cell]:
    """The columns of one version; those of stock alone come first and make the references."""
    cells: list[Cell] = []
    for column in columns:
        if column.version != peers.version:
            continue
        cell = await _run_cell(peers, column, prompt, references, logs)
        if column is REFERENCE and cell.text is None:
            raise ProcessFailed(f"the reference run failed; see {logs}")
        outcome = "differs" if cell.verdict == "DIFFERENT" else cell.verdict
        _say(f"{prompt!r}: {column.name}: {outcome} in {cell.seconds:.1f} s")
        cells.append(cell)
    return cells


async def _run_cell(peers: Peers, column: Column, prompt: str, references: References, logs: Path) -> Cell:
    if reason := peers.lack(column):
        return Cell(column, prompt, 0.0, None, same=False, reason=reason)
    begin = time.monotonic()
    try:
        text = await peers.text(column, prompt, logs / f"{column.name.replace(' ', '-')}.log")
    except ProcessFailed as failure:
        _say(str(failure))
        return Cell(column, prompt, time.monotonic() - begin, None, same=False)
    text = text.rstrip("\n")
    if column in (REFERENCE, CURRENT_ALONE):
        references[column, prompt] = text
    same = text == references[REFERENCE, prompt]
    as_current = column.computes_currently and text == references.get((CURRENT_ALONE, prompt))
    return Cell(column, prompt, time.monotonic() - begin, text, same=same, as_current=as_current)


async def _explain(cells: Sequence[Cell], prompt: str, programs: Path, model: Path, logs: Path) -> list[Cell]:
    """The cells of a prompt; a differing one says where it parts from stock, whose llama-server is asked once."""
    mine = [cell for cell in cells if cell.prompt == prompt]
    if all(cell.verdict != "DIFFERENT" for cell in mine):
        return mine
    command = [str(programs / "llama-server"), "-m", str(model), "-c", "512", "-t", "2"]
    async with running_web_server(command, logs / "llama-server.log") as url:
        steps = await ask_stock(url, prompt, TOKENS)
    mixed = [cell.text for cell in mine if cell.column.mixes_builds and not cell.reason]
    alike = len(mixed) > 1 and len(set(mixed)) == 1
    explained = []
    for cell in mine:
        if cell.text is not None and cell.verdict == "DIFFERENT":
            parted = parting(steps, cell.text[len(prompt) :].encode())
            cell = attrs.evolve(cell, parting=parted, alike=alike and cell.column.mixes_builds)
            _say(f"{prompt!r}: {cell.column.name}: {cell.parting or 'cut short'}\n    {cell.text!r}")
        explained.append(cell)
    return explained


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
