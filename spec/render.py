"""Writes what follows from the data: names.py, and the tables between rendered marks in text/*.md.

    python -m spec.render            write what is stale
    python -m spec.render --check    write nothing, name what is stale, exit with 1 if anything is

A mark stands alone on a line: ``<!-- begin rendered: KIND NAME -->`` up to ``<!-- end -->``. All between them is
replaced.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from spec.load import Spec, SpecError, load
from spec.prose import clauses_in, texts
from spec.tables import TABLES, grid

__all__ = ["main", "rendered", "stale"]

HERE = Path(__file__).parent
_MARK = re.compile(r"^<!-- begin rendered: (\w+) ?(\w*) -->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
_NAMES_HEAD = '''\
"""The protocol's own names and numbers as enumerations, rendered from spec/data by `python -m spec.render`.

Do not edit: change the data and render again. `nox -s spec` checks that this file is fresh.
Numbers are those of the newest dialect; wire/ translates where an older dialect numbers an op otherwise.
"""

from enum import IntEnum, IntFlag
'''


def rendered(spec: Spec) -> dict[str, str]:
    """Path below spec/ > content as it should be, for names.py and every prose file; raises SpecError on a bad mark."""
    prose = {file: _fill(spec, file, text) for file, text in texts().items()}
    prose["README.md"] = _fill_families(prose)
    return {"names.py": _names(spec)} | {f"text/{file}": text for file, text in prose.items()}


def stale(spec: Spec) -> list[str]:
    """Paths below spec/ whose content is not what the data says."""
    return [path for path, text in rendered(spec).items() if _read(HERE / path) != text]


def main(argv: Sequence[str] | None = None) -> int:
    """Render, or with --check only compare; 1 when something was stale in a check."""
    parser = argparse.ArgumentParser(prog="python -m spec.render", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when something is stale")
    check: bool = parser.parse_args(argv).check
    old = {path: text for path, text in rendered(load()).items() if _read(HERE / path) != text}
    for path, text in old.items():
        if check:
            print(f"spec/{path} is stale: run python -m spec.render", file=sys.stderr)
        else:
            (HERE / path).write_text(text, encoding="utf-8")
            print(f"rendered spec/{path}")
    return 1 if check and old else 0


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _fill(spec: Spec, file: str, text: str) -> str:
    def table(mark: re.Match[str]) -> str:
        kind, name = mark[1], mark[2]
        if kind == "families":
            return mark[0]
        if kind not in TABLES:
            raise SpecError(f"text/{file}: nothing renders {kind!r}; known: {', '.join(TABLES)}")
        try:
            content = TABLES[kind](spec, name)
        except (KeyError, StopIteration) as error:
            raise SpecError(f"text/{file}: the data has no {kind} {name!r}") from error
        return _between(mark, content)

    return _MARK.sub(table, text)


def _between(mark: re.Match[str], content: str) -> str:
    return f"{mark[0].splitlines()[0]}\n\n{content}\n\n<!-- end -->"


def _fill_families(prose: dict[str, str]) -> str:
    """README.md with its list of families, which is made from the other files."""
    counts: dict[tuple[str, str], int] = {}
    for file, text in prose.items():
        if file != "README.md":
            for clause in clauses_in(file, text):
                counts[clause.family, file] = counts.get((clause.family, file), 0) + 1
    rows = [(family, f"[{file}]({file})", count) for (family, file), count in sorted(counts.items())]
    table = grid(("family", "file", "clauses"), rows)
    return _MARK.sub(lambda mark: _between(mark, table) if mark[1] == "families" else mark[0], prose["README.md"])


def _names(spec: Spec) -> str:
    newest = spec.dialect(spec.newest)
    classes = [
        _enum("Command", "Command byte of a request frame.", [(c.name, c.number) for c in newest.commands.values()]),
        _enum("Op", "ggml_op: what a graph node computes.", [(op.name, op.number) for op in newest.ops]),
        _enum("Type", "ggml_type: element type of a tensor.", [(t.name, t.number) for t in newest.types.values()]),
        *(_enum(e.name, e.doc, [(v.name, v.value) for v in e.values], flags=e.flags) for e in newest.enums.values()),
    ]
    names = sorted(["Command", "Op", "Type", *newest.enums])
    public = f"\n__all__ = [{', '.join(f'{name!r}' for name in names)}]\n".replace("'", '"')
    return _NAMES_HEAD + public + "".join(classes)


def _enum(name: str, doc: str, members: Sequence[tuple[str, int]], *, flags: bool = False) -> str:
    base = "IntFlag" if flags else "IntEnum"
    lines = [f"\n\nclass {name}({base}):", f'    """{doc}"""', ""]
    lines += [f"    {member} = {number}" for member, number in members]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
