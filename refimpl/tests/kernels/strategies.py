"""Operands of random shape, order in memory, gaps and contents, for Hypothesis."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import Layout, empty
from refimpl.kernels.operand import Operand
from refimpl.kernels.oracle.views import byte_index
from spec.names import Type

__all__ = ["layouts", "operands"]


def layouts() -> st.SearchStrategy[Layout]:
    """Any order of dimensions 1 to 3 behind dimension 0, with gaps."""
    orders = st.permutations((1, 2, 3)).map(lambda rest: (0, *rest))
    return st.builds(Layout, order=orders, slack=st.integers(0, 3), lead=st.integers(0, 3))


@st.composite
def operands(draw: st.DrawFn, types: tuple[Type, ...]) -> Operand:
    """An operand of one of `types`, 0 to 4 blocks or rows in each direction, its elements random bytes."""
    type_ = draw(st.sampled_from(types))
    blocks, *rest = draw(st.tuples(*[st.integers(0, 4)] * 4))
    operand = empty(type_, (blocks * FORMATS[type_].block, rest[0], rest[1], rest[2]), draw(layouts()))
    index = byte_index(operand)
    contents: np.ndarray[Any, np.dtype[np.uint8]] = np.random.default_rng(draw(st.integers(0, 99))).integers(
        0, 256, index.shape, dtype=np.uint8
    )
    operand.data[index] = contents
    return operand
