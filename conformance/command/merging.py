"""refimpl-conformance report: several results as one matrix of testees.

    refimpl-conformance report A.json B.json --html results.html --markdown RESULTS.md

The files are those of --json. Exit codes: 0 written, 2 wrong usage or a file that is no result.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from conformance.command.exits import Exit
from conformance.report.document import BadDocument, read_json
from conformance.report.html.page import page
from conformance.report.markdown import markdown

__all__ = ["main"]


def main(arguments: Sequence[str]) -> Exit:
    """Write what is asked for; ends the process with 2 and the reason when that cannot be."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.html is None and given.markdown is None:
        parser.error("name a file to write: --html, --markdown")
    try:
        documents = [read_json(path) for path in given.results]
    except BadDocument as bad:
        parser.error(str(bad))
    for path, text in ((given.html, page), (given.markdown, markdown)):
        if path is not None:
            path.write_text(text(documents), "utf-8")
    return Exit.KEPT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refimpl-conformance report",
        description="Lay results of refimpl-conformance --json beside one another, in the order given.",
        epilog="exit codes: 0 written; 2 wrong usage, or a file that is no result",
    )
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="JSON", help="a result, of one testee")
    add("--html", type=Path, metavar="FILE", help="write one self-contained page with a filterable matrix")
    add("--markdown", type=Path, metavar="FILE", help="write totals, a table by family, and each testee's failures")
    return parser
