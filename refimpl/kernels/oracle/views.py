"""Operands as logical arrays: every element is fetched by the address formula, so any stride, overlap or offset is
honoured.

Logical arrays are indexed [i3, i2, i1, i0], the fastest dimension last. Nothing here is fast.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.operand import Case, Operand

__all__ = ["Values", "block_bytes", "byte_index", "integers", "present", "real_word", "reals", "shape"]

Values = NDArray[np.float64]


def shape(operand: Operand) -> tuple[int, int, int, int]:
    """(ne3, ne2, ne1, ne0)."""
    ne0, ne1, ne2, ne3 = operand.ne
    return ne3, ne2, ne1, ne0


def byte_index(operand: Operand) -> NDArray[np.int64]:
    """(ne3, ne2, ne1, blocks, bytes): the index into operand.data of each byte of each block."""
    form = FORMATS[operand.type]
    if operand.ne[0] % form.block:
        raise ValueError(f"a row of {operand.ne[0]} elements is not whole blocks of {operand.type.name}")
    counts = (operand.ne[0] // form.block, *operand.ne[1:])
    index = np.full((1, 1, 1, 1, 1), operand.offset, np.int64) + np.arange(form.bytes)
    for dim, (count, stride) in enumerate(zip(counts, operand.nb, strict=True)):
        steps = np.arange(count, dtype=np.int64) * stride
        index = index + steps.reshape([count if axis == 3 - dim else 1 for axis in range(5)])
    if index.size and (index.min() < 0 or index.max() >= operand.data.size):
        raise ValueError(f"elements at bytes {index.min()}..{index.max()} of {operand.data.size}")
    return index


def block_bytes(operand: Operand) -> NDArray[np.uint8]:
    """(ne3, ne2, ne1, blocks, bytes): the packed blocks, copied."""
    return operand.data[byte_index(operand)]


def _decoded(operand: Operand) -> NDArray[Any]:
    packed = block_bytes(operand)
    return FORMATS[operand.type].decode(packed.reshape(-1, packed.shape[-1])).reshape(shape(operand))


def reals(operand: Operand) -> Values:
    """(ne3, ne2, ne1, ne0) in float64, dequantised; exact for every format but I64 beyond 2^53."""
    with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one
        return _decoded(operand).astype(np.float64)


def integers(operand: Operand) -> NDArray[np.int64]:
    """(ne3, ne2, ne1, ne0) of an I32 or I64 operand."""
    return _decoded(operand).astype(np.int64)


def present(case: Case, slot: int) -> Operand:
    """Source `slot`, which the op cannot do without."""
    found = case.srcs[slot] if slot < len(case.srcs) else None
    if found is None:
        raise ValueError(f"{case.op.name} needs source {slot}")
    return found


def real_word(case: Case, word: int) -> float:
    """op_params word `word` read as a float32."""
    return float(case.params.view(np.float32)[word])
