"""conformance/INTEROP.md: what the last whole run of the matrix found, as text that is the same for the same findings.

`read` gets the verdicts out of such a text and `render` makes the text of them, so a text that is not
`render(read(text))` was not made from these columns. A verdict is one word, or `not run: ` and why.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from conformance.interop import current, stock
from conformance.interop.matrix.cells import Cell
from conformance.interop.matrix.columns import (
    COLUMNS,
    CURRENT,
    CURRENT_ALONE,
    EARLIER,
    PROMPTS,
    REFERENCE,
    TOKENS,
    Column,
)
from conformance.interop.model import REQUIREMENT as MODEL

__all__ = ["DOCUMENT", "Verdicts", "disagreements", "read", "render", "verdicts"]

DOCUMENT = Path(__file__).parents[2] / "INTEROP.md"
Verdicts = Mapping[tuple[Column, int], str]
"""by column and number of the prompt"""
IS_REFERENCE = "the reference"
ITS_OWN = "its own"
NOT_RUN = "not run"
ABSENT = "?"
REASON_LENGTH = 100
ROW = re.compile(r"^\| (?P<host>[^|]+?) \| (?P<nodes>[^|]+?) \| (?P<cells>.+) \|$")
SECTION = re.compile(r"^## (?P<version>\d+\.\d+\.\d+|Alone)$")
ALONE = "Alone"


def verdicts(cells: Sequence[Cell]) -> dict[tuple[Column, int], str]:
    """What a run found."""
    return {(cell.column, PROMPTS.index(cell.prompt)): _word(cell) for cell in cells}


def _word(cell: Cell) -> str:
    if cell.column == REFERENCE:
        return IS_REFERENCE
    if cell.column == CURRENT_ALONE and cell.as_current and not cell.same:
        return ITS_OWN
    if cell.reason:
        line = " ".join(cell.reason.replace("|", "/").split())
        return f"{NOT_RUN}: {line[:REASON_LENGTH]}"
    return f"{cell.verdict} at token {cell.parting.step}" if cell.parting else cell.verdict


def disagreements(recorded: Verdicts, found: Verdicts) -> list[str]:
    """Lines for each way whose recorded verdict is another than a run's; what was not run here contradicts nothing.

    Another machine's stock rounds in its own way, so that this alone is no failure.
    """
    return [
        f"{column.name}, prompt {prompt + 1}: {DOCUMENT.name} says '{recorded.get((column, prompt), ABSENT)}', "
        f"this run '{verdict}'; write it anew with --write"
        for (column, prompt), verdict in found.items()
        if verdict != recorded.get((column, prompt), ABSENT) and not verdict.startswith(NOT_RUN)
    ]


def render(found: Verdicts) -> str:
    """The whole text; `?` where a verdict is missing."""
    sections = [ALONE, *dict.fromkeys(column.version for column in COLUMNS)]
    return "\n\n".join([_head(), *(_section(section, found) for section in sections)]) + "\n"


def _head() -> str:
    prompts = "\n".join(f"{number}. `{prompt!r}`" for number, prompt in enumerate(PROMPTS, start=1))
    return f"""# Who speaks with whom

Written by `python -m conformance.interop --write` from a run of everything below; not to be edited.

Main hosts continue each prompt greedily by {TOKENS} tokens, with all layers of the model on the servers (or the last
ones, as many as -ngl says). Every text has to be the one that stock {EARLIER} makes alone. Stock {CURRENT}, another
build, makes another one of some prompts; where layers run in that, its own is as good.

| | |
|---|---|
| stock {EARLIER} | `{stock.REQUIREMENT}` |
| stock {CURRENT} | `{current.PACKAGES[0]}`, in a Debian of its own |
| refimpl | this checkout |
| model | SmolLM2-135M-Instruct, Q4_1: `{MODEL}` |

Prompts:

{prompts}

`same`: the text of stock {EARLIER} alone. `as stock {CURRENT}`: the text of that one alone, `its own`.
`near-tie at token N`: parts from stock {EARLIER} where that finds both tokens equally likely. `hosts alike at token N`:
layers are divided between refimpl and stock {CURRENT}, which nobody is alone, and both main hosts make one text of it
that parts from stock {EARLIER} there. `DIFFERENT`: parts elsewhere. `FAILED`: a program ended with an error. `not run`:
the machine of the run lacked what is said, so nothing is
known."""


def _title(column: Column) -> str:
    return column.version if column.servers else ALONE


def _section(section: str, found: Verdicts) -> str:
    heads = [str(number) for number in range(1, len(PROMPTS) + 1)]
    lines = [f"## {section}", "", _row("main host", "servers", heads), "|---" * (2 + len(heads)) + "|"]
    for column in COLUMNS:
        if _title(column) == section:
            words = [found.get((column, prompt), ABSENT) for prompt in range(len(PROMPTS))]
            lines.append(_row(column.main_host, column.nodes, words))
    return "\n".join(lines)


def _row(host: str, nodes: str, cells: Sequence[str]) -> str:
    return f"| {host} | {nodes} | {' | '.join(cells)} |"


def read(text: str) -> dict[tuple[Column, int], str]:
    """The verdicts of a text; rows that belong to no column are left out, which `render` then shows."""
    known = {(_title(column), column.main_host, column.nodes): column for column in COLUMNS}
    found: dict[tuple[Column, int], str] = {}
    section = ""
    for line in text.splitlines():
        if title := SECTION.match(line):
            section = title["version"]
        elif (row := ROW.match(line)) and (column := known.get((section, row["host"], row["nodes"]))):
            found |= {(column, prompt): word for prompt, word in enumerate(row["cells"].split(" | "))}
    return found
