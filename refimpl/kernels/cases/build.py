"""Operands with chosen layouts and seeded contents, from which the case files build their cases.

Memory that no element owns holds 0xFF, which reads as NaN in every float type: a kernel that uses it shows. Fresh
destinations are filled with the same, so that an element that was never written shows as well.
"""

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.views import Values, byte_index, shape
from spec.names import Op, Type

__all__ = [
    "AS_IS",
    "SCALES",
    "Extents",
    "Layout",
    "case",
    "dim",
    "empty",
    "full",
    "normal",
    "off_ties",
    "permuted",
    "store",
    "whole",
]

Extents = tuple[int, int, int, int]

JUNK = 0xFF
TIE_MARGIN = 1e-3  # in steps of a Q8 quant
QUANTS = 127
SCALES: Mapping[Type, tuple[int, ...]] = {
    Type.Q4_0: (0,),
    Type.Q4_1: (0, 2),
    Type.Q5_0: (0,),
    Type.Q5_1: (0, 2),
    Type.Q8_0: (0,),
    Type.Q4_K: (0, 2),
    Type.Q5_K: (0, 2),
    Type.Q6_K: (208,),
}
"""where a block keeps its F16 scales and minima"""
SCALE_SIZES: Mapping[int, tuple[float, float]] = {32: (0.003, 0.03), 256: (0.0001, 0.001)}
"""their sizes by the elements of a block; in the large ones they scale groups' own scales"""


@attrs.frozen
class Layout:
    """How elements lie in memory."""

    order: tuple[int, int, int, int] = (0, 1, 2, 3)
    """dimensions from the fastest to the slowest in memory"""
    slack: int = 0
    """blocks of nobody's memory after each run of the fastest dimension"""
    lead: int = 0
    """blocks of nobody's memory before the first element"""


AS_IS = Layout()


def dim(ne0: int, ne1: int = 1, ne2: int = 1, ne3: int = 1) -> Extents:
    """Extents with ones for what is not given."""
    return ne0, ne1, ne2, ne3


def empty(type_: Type, ne: Extents, layout: Layout = AS_IS) -> Operand:
    """An operand over fresh memory full of junk."""
    form = FORMATS[type_]
    counts = (ne[0] // form.block, *ne[1:])
    nb, step = [0, 0, 0, 0], form.bytes
    for place, d in enumerate(layout.order):
        nb[d] = step
        step *= max(counts[d], 1)
        step += layout.slack * form.bytes if place == 0 else 0
    lead = layout.lead * form.bytes
    data = np.full(lead + step, JUNK, np.uint8)
    return Operand(data=data, type=type_, ne=ne, nb=(nb[0], nb[1], nb[2], nb[3]), offset=lead)


def store(operand: Operand, values: Values | NDArray[np.int64]) -> Operand:
    """Write `values` [i3, i2, i1, i0] into a plain operand's elements and give it back."""
    form = FORMATS[operand.type]
    if operand.type in (Type.I32, Type.I64):
        packed = values.astype(f"<i{form.bytes}").reshape(-1, 1).view(np.uint8)
    elif form.encode is not None:
        packed = form.encode(values.astype(np.float32).reshape(-1, form.block))
    else:
        raise NotImplementedError(f"no encoder for {operand.type.name}")
    index = byte_index(operand)
    operand.data[index] = packed.reshape(index.shape)
    return operand


def _random_blocks(rng: np.random.Generator, operand: Operand) -> Operand:
    """Random quants of a block format under small random scales (and minima) of either sign."""
    index = byte_index(operand)
    packed = rng.integers(0, 256, index.shape, dtype=np.uint8)
    for at in SCALES[operand.type]:
        sign = rng.choice([-1.0, 1.0], (*index.shape[:-1], 1))
        scales = rng.uniform(*SCALE_SIZES[FORMATS[operand.type].block], sign.shape) * sign
        packed[..., at : at + 2] = np.ascontiguousarray(scales.astype("<f2")).view(np.uint8)
    operand.data[index] = packed
    return operand


def normal(rng: np.random.Generator, type_: Type, ne: Extents, layout: Layout = AS_IS) -> Operand:
    """A real operand with values of about unit size; of a block format, random blocks."""
    operand = empty(type_, ne, layout)
    if FORMATS[type_].block > 1:
        return _random_blocks(rng, operand)
    return store(operand, rng.standard_normal(shape(operand)))


def whole(rng: np.random.Generator, type_: Type, ne: Extents, limit: int) -> Operand:
    """An I32 or I64 operand with values in 0..limit-1."""
    return store(empty(type_, ne), rng.integers(0, limit, ne[::-1]))


def permuted(operand: Operand, axes: tuple[int, int, int, int]) -> Operand:
    """A view in which dimension d of `operand` has become dimension axes[d], as ggml_permute does."""
    ne, nb = [0, 0, 0, 0], [0, 0, 0, 0]
    for d, target in enumerate(axes):
        ne[target], nb[target] = operand.ne[d], operand.nb[d]
    return attrs.evolve(operand, ne=(ne[0], ne[1], ne[2], ne[3]), nb=(nb[0], nb[1], nb[2], nb[3]))


def off_ties(values: Values, block: int = 32) -> Values:
    """`values` [..., k] with each Q8 quant's real value kept away from a half, so that its rounding is beyond dispute.

    `block` values share a scale: 32, or 256 for Q8_K. Rows that are not whole blocks are never quantised and stay as
    they are.
    """
    if values.shape[-1] % block or values.size == 0:
        return values
    blocks = values.astype(np.float32).astype(np.float64).reshape(-1, block)
    amax = np.abs(blocks).max(axis=1, keepdims=True)
    steps = np.divide(blocks * QUANTS, amax, out=np.zeros_like(blocks), where=amax > 0)
    gap = steps - np.floor(steps) - 0.5
    close = np.abs(gap) < TIE_MARGIN
    moved = (steps + np.where(gap < 0, -TIE_MARGIN, TIE_MARGIN) * 2) * amax / QUANTS
    return np.where(close, moved, blocks).reshape(values.shape)


def full(op: Op, label: str, srcs: tuple[Operand | None, ...], dst: Operand, words: Mapping[int, int | float]) -> Case:
    """A case with op_params words: an int goes in as it is, a float as its bits."""
    params = np.zeros(16, np.int32)
    for word, value in words.items():
        params[word] = np.float32(value).view(np.int32) if isinstance(value, float) else value
    return Case(op=op, srcs=srcs, dst=dst, params=params, label=label)


def case(op: Op, label: str, srcs: tuple[Operand | None, ...], dst: Operand) -> Case:
    """A case whose op has no parameters."""
    return full(op, label, srcs, dst, {})
