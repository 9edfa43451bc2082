"""Operands of one op over plain byte arrays: what the oracle, the contract and every backend speak among themselves.

Knows no messages, no handles and no sessions.
"""

import attrs
import numpy as np
from numpy.typing import NDArray

from spec.names import Op, Type

__all__ = ["Case", "Operand"]


@attrs.frozen(eq=False)
class Operand:
    """A tensor laid over bytes: element (i0, i1, i2, i3) starts at offset + sum(i[d] * nb[d]), i0 in whole blocks."""

    data: NDArray[np.uint8]
    """(bytes,) the memory; views of one array alias each other"""
    type: Type
    ne: tuple[int, int, int, int]
    nb: tuple[int, int, int, int]
    """byte strides; nb[0] is the byte size of one block"""
    offset: int = 0


@attrs.frozen(eq=False)
class Case:
    """One op with its operands: a backend writes dst.data, the oracle says what should be there."""

    op: Op
    srcs: tuple[Operand | None, ...]
    """up to 10; None is an absent source"""
    dst: Operand
    params: NDArray[np.int32] = attrs.field(factory=lambda: np.zeros(16, np.int32))
    """(16,) op_params words; floats as bit patterns"""
    label: str = ""
    """what the case is about, for a failure's first line"""
