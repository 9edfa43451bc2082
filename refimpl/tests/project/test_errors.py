"""The exception tree is drawn once, in refimpl/errors.py, and the drawing is right."""

import importlib
import inspect
import re

from refimpl import errors
from refimpl.errors import RefimplError
from refimpl.tests.project.tree import sources

BRANCH = re.compile(r"^ {4}(?P<indent>[ |+-]*)(?P<name>[A-Z]\w+)", re.MULTILINE)
STEP = 4
"""characters of indent per level of the drawing"""


def drawn() -> dict[str, str]:
    """Name of each exception in the drawing > name of the one above it; the root's is ``Exception``."""
    parents: dict[str, str] = {}
    path = ["Exception"]
    for match in BRANCH.finditer(errors.__doc__ or ""):
        level = len(match["indent"]) // STEP
        path = [*path[: level + 1], match["name"]]
        parents[match["name"]] = path[level]
    return parents


def existing() -> dict[str, str]:
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]
    return {value.__name__: value.__bases__[0].__name__ for value in classes}


def descendants(root: type[Exception]) -> set[type[Exception]]:
    direct = set(root.__subclasses__())
    return direct.union(*(descendants(child) for child in direct))


def test_the_drawing_shows_every_exception_below_its_base() -> None:
    assert drawn() == existing()


def test_all_of_them_are_public() -> None:
    assert set(errors.__all__) == set(existing())


def test_nothing_is_derived_anywhere_else() -> None:
    for source in sources():
        if source.path.parts[0] == "refimpl" and not source.is_test and source.path.stem != "__main__":
            importlib.import_module(source.module)
    strangers = {c for c in descendants(RefimplError) if c.__module__ not in (errors.__name__, __name__)}
    assert not {c for c in strangers if c.__module__.startswith("refimpl.") and ".tests." not in c.__module__}
