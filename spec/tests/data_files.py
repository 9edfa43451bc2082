"""The data files as text, and a way to change one of them for a test."""

from pathlib import Path

import spec
from spec.load import FILES

__all__ = ["changed", "originals"]

FOLDER = Path(spec.__file__).parent / "data"


def originals() -> dict[str, str]:
    """File name without .toml > text."""
    return {name: (FOLDER / f"{name}.toml").read_text(encoding="utf-8") for name in FILES}


def changed(file: str, old: str, new: str) -> dict[str, str]:
    """The data files with the first `old` in one of them replaced by `new`; the text has to be there."""
    texts = originals()
    if old not in texts[file]:
        raise LookupError(f"{file}.toml does not contain {old!r}")
    return texts | {file: texts[file].replace(old, new, 1)}
