"""Public names are explicit: `__all__` names what a module defines for others, all of it, and each of them exists."""

import ast
import importlib

from refimpl.tests.project.tree import Source, sources

MODULES = [source for source in sources() if not source.is_test and source.path.stem != "__main__"]
RENDERED = {"spec.names"}
"""written by a program from data: everything in it is public"""


def public_definitions(source: Source) -> set[str]:
    """Functions and classes at the top level whose name does not begin with an underscore."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in source.syntax.body if isinstance(node, kinds) and not node.name.startswith("_")}


def declared(source: Source) -> list[str] | None:
    for node in source.syntax.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def test_all_names_what_the_module_defines() -> None:
    unnamed = {
        source.module: missing
        for source in MODULES
        if source.module not in RENDERED and (missing := public_definitions(source) - set(declared(source) or ()))
    }
    assert not unnamed


def test_every_public_name_exists_once() -> None:
    wrong = {}
    for source in MODULES:
        names = declared(source) or []
        module = importlib.import_module(source.module)
        missing = [name for name in names if not hasattr(module, name)]
        if missing or len(names) != len(set(names)):
            wrong[source.module] = missing or names
    assert not wrong


def test_a_module_says_what_it_is_for() -> None:
    silent = [str(s) for s in sources() if s.path.name != "__init__.py" and not ast.get_docstring(s.syntax)]
    assert not silent
