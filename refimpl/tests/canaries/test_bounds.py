"""Numba checks bounds of arrays when NUMBA_BOUNDSCHECK says so; our kernels have addresses instead, all but one."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from refimpl.tests.project.tree import ROOT, Source, sources

COMPILED = ("kernel", "inline", "plain", "function")
ARRAYS = "types.Array"
ONLY = "refimpl/kernels/cpu/fnv.py"
CHECKED = """
import numpy as np
from numba import types
from refimpl.kernels.cpu.compiled import function
from refimpl.kernels.cpu.fnv import BYTES, FNV_OFFSET, FNV_PRIME, fnv1a64

@function(types.uint8(BYTES, types.int64))
def at(data, index):
    return data[index]

try:
    at(np.zeros(4, np.uint8), 4)
except IndexError:
    print("bounds are checked")
for size in range(300):
    data, state = bytes(range(1, 256))[:size] * 2, FNV_OFFSET
    for byte in data:
        state = (state ^ byte) * FNV_PRIME % (1 << 64)
    assert fnv1a64(data) == state, size
print("hashes are right")
"""


def compiled(source: Source) -> list[ast.FunctionDef]:
    """The functions of a module that numba compiles."""
    return [
        node
        for node in ast.walk(source.syntax)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(mark).partition("(")[0] in COMPILED for mark in node.decorator_list)
    ]


def test_one_compiled_function_takes_an_array_and_none_makes_one() -> None:
    engine = [
        one for one in sources() if not one.is_test and str(one).startswith(("refimpl/kernels", "refimpl/device"))
    ]
    assert [str(source) for source in engine if ARRAYS in source.text] == [ONLY]
    functions = [(source, function) for source in engine for function in compiled(source)]
    assert len(functions) > 100
    assert not [
        (str(source), function.name)
        for source, function in functions
        if any(name in ast.unparse(ast.Module(function.body, [])) for name in ("np.empty", "np.zeros", "np.array"))
    ]


def test_that_function_keeps_to_its_array(tmp_path: Path) -> None:
    module = tmp_path / "checked_bounds.py"
    module.write_text(CHECKED)
    paths = os.pathsep.join((str(ROOT), str(tmp_path)))
    env = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-m", "checked_bounds"], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.splitlines() == ["bounds are checked", "hashes are right"], done.stderr
