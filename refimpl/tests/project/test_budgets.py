"""Files and functions stay of a size that one can read at one go."""

import ast

from refimpl.tests.project.tree import Source, sources

FILE_LINES = 400
FUNCTION_LINES = 60
KERNEL_LINES = 80
PARAMETERS = 6
KERNELS = ("refimpl/kernels/cpu/", "refimpl/device/")
"""compiled code: arrays and sizes come one by one there, and loops with state resist splitting"""
RENDERED = {"spec/names.py"}

SOURCES = [source for source in sources() if str(source) not in RENDERED]


def functions(source: Source) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(source.syntax) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From def to the end, without the docstring."""
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    named = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


def test_no_file_is_a_god() -> None:
    assert not {str(s): length for s in SOURCES if (length := len(s.text.splitlines())) > FILE_LINES}


def test_a_function_fits_a_screen() -> None:
    long: dict[str, int] = {}
    for source in SOURCES:
        limit = KERNEL_LINES if str(source).startswith(KERNELS) else FUNCTION_LINES
        long |= {f"{source}: {f.name}": lines(f) for f in functions(source) if lines(f) > limit}
    assert not long


def test_a_function_takes_no_train_of_parameters() -> None:
    readable = [source for source in SOURCES if not str(source).startswith(KERNELS)]
    assert not {
        f"{s}: {f.name}": count for s in readable for f in functions(s) if (count := parameters(f)) > PARAMETERS
    }
