"""Looks at an installed wheel from outside the checkout; `nox -s wheel` runs this text in an empty environment.

It imports nothing but the standard library and the installed packages, and prints what it found.
"""

import importlib
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

PACKAGES = ("spec", "refimpl", "conformance", "tui")
DATA = ("commands.toml", "dialects.toml", "ops.toml", "structs.toml", "types.toml")
DIALECTS = ("7.0.0", "8.0.0")
VECTORS = [
    f"{dialect}/{run}/{talk}.{way}"
    for dialect in DIALECTS
    for run in ("flash", "no-flash")
    for talk in ("main", "probe")
    for way in ("c2s", "s2c")
]


def demand(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"wheel: {what}")


def folder_of(package: str) -> Path:
    """Where the package lies; it must be below this environment."""
    folder = Path(next(iter(importlib.import_module(package).__path__)))
    demand(folder.is_relative_to(sys.prefix), f"{package} comes from {folder}, not from this environment")
    return folder


def holds(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def look_at_files() -> None:
    spec = {package: folder_of(package) for package in PACKAGES}["spec"]
    wanted = [spec / "data" / name for name in DATA] + [spec / "vectors" / name for name in VECTORS]
    missing = [str(path.relative_to(spec)) for path in wanted if not holds(path)]
    demand(not missing, f"missing from spec/: {missing}")
    prose = sorted((spec / "text").glob("*.md"))
    demand(bool(prose) and all(map(holds, prose)), "no prose in spec/text")
    print(f"wheel: {len(DATA)} data files, {len(prose)} chapters, {len(VECTORS)} vectors")


def load_the_specification() -> None:
    from spec.load import load

    for name in DIALECTS:
        dialect = load().dialect(name)
        demand(len(dialect.commands) >= 18 and len(dialect.ops) == 101, f"dialect {name} is not whole")
        print(f"wheel: dialect {name} loads: {len(dialect.commands)} commands, {len(dialect.ops)} ops")


def ask_the_programs() -> None:
    scripts = [
        entry.name for entry in distribution("ggml-rpc-refimpl").entry_points if entry.group == "console_scripts"
    ]
    demand(set(scripts) >= {"refimpl-server", "refimpl-cli"}, f"console scripts: {scripts}")
    for name in scripts:
        answer = subprocess.run([str(Path(sys.prefix) / "bin" / name), "--help"], capture_output=True, text=True)
        said = answer.stdout + answer.stderr
        demand(answer.returncode == 0 and "usage" in said.lower(), f"{name} --help: exit {answer.returncode}\n{said}")
        print(f"wheel: {name} --help answers")


if __name__ == "__main__":
    look_at_files()
    load_the_specification()
    ask_the_programs()
