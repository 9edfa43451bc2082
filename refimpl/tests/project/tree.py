"""The source files of the checkout, for tests that look at all of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import attrs

import refimpl

__all__ = ["ROOT", "Source", "sources"]

ROOT = Path(refimpl.__path__[0]).parent
PACKAGES = ("spec", "refimpl", "conformance", "tui")


@attrs.frozen
class Source:
    """One Python file; path is relative to the checkout."""

    path: Path
    text: str

    def __str__(self) -> str:
        return str(self.path)

    @property
    def module(self) -> str:
        return ".".join(self.path.with_suffix("").parts).removesuffix(".__init__")

    @property
    def is_test(self) -> bool:
        return "tests" in self.path.parts

    @property
    def syntax(self) -> ast.Module:
        return ast.parse(self.text)


def sources() -> Iterator[Source]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield Source(path.relative_to(ROOT), path.read_text("utf-8"))
