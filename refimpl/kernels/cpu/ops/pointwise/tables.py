"""GELU and GELU_QUICK of every F16, as F16: 65536 values each, made when they are first needed and kept.

ggml's CPU backend looks these functions up, also for F32, so a peer computes F16 results; and a look-up costs a
twentieth of a hyperbolic tangent.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from refimpl.kernels.cpu.compiled import function
from refimpl.kernels.cpu.ops.pointwise.functions import gelu_of, gelu_quick_of
from refimpl.kernels.cpu.words import f16_at, store_f16

__all__ = ["gelu_quick_table", "gelu_table"]

VALUES = 1 << 16
F16 = 2


def _fill_gelu(table: int) -> None:
    for i in range(VALUES):
        store_f16(table + F16 * i, gelu_of(f16_at(table + F16 * i)))


def _fill_gelu_quick(table: int) -> None:
    for i in range(VALUES):
        store_f16(table + F16 * i, gelu_quick_of(f16_at(table + F16 * i)))


def _table(fill: Callable[..., Any]) -> NDArray[np.uint16]:
    """(65536,) the bits of f(x) for each x by its bits"""
    values = np.arange(VALUES, dtype=np.uint16)
    function(types.void(types.int64))(fill)(values.ctypes.data)
    return values


@cache
def gelu_table() -> NDArray[np.uint16]:
    """(65536,) bits of F16"""
    return _table(_fill_gelu)


@cache
def gelu_quick_table() -> NDArray[np.uint16]:
    """(65536,) bits of F16"""
    return _table(_fill_gelu_quick)
