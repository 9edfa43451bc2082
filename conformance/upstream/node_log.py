"""Why a node refused: the line that it writes to its log, which may come a moment after its client has ended."""

import re
from pathlib import Path

import trio

__all__ = ["reason_since"]

REFUSED = re.compile(r"refused: (.*)")
SECONDS = 2.0
POLL_SECONDS = 0.02
SILENT = "the node says nothing about it"


async def reason_since(log: Path, size: int) -> str:
    """The last refusal in what was written to `log` beyond `size` bytes, waited for if need be."""
    with trio.move_on_after(SECONDS):
        while True:
            with log.open("rb") as lines:
                lines.seek(size)
                if found := REFUSED.findall(lines.read().decode("utf-8", "replace")):
                    return str(found[-1]).strip()
            await trio.sleep(POLL_SECONDS)
    return SILENT
