"""BF16 as kernels read and write it: the upper half of a float32, rounded to the nearest, ties to even.

A NaN stays one: it keeps its upper half and becomes quiet.
"""

from typing import Any

from llvmlite import ir
from numba import types

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.simd import F32X16, I32X16, Vector, load, operation, store
from refimpl.kernels.cpu.words import I32, I64, float_of, store_i16, u16_at

__all__ = [
    "bf16_at",
    "load_bf16x16",
    "store_bf16",
    "store_bf16x16",
]

I16X16 = Vector("i16", 16)

load_i16x16, store_i16x16 = load(I16X16), store(I16X16)


def _constant(kind: Any, value: int) -> Any:
    lanes = kind.count if isinstance(kind, ir.VectorType) else 0
    return ir.Constant(kind, [value] * lanes if lanes else value)


def _rounded_bits(b: Any, x: Any, kind: Any) -> Any:
    """The bit pattern of a float32, or of each lane, with its upper half rounded; the lower half means nothing."""
    bits = b.bitcast(x, kind)
    odd = b.and_(b.lshr(bits, _constant(kind, 16)), _constant(kind, 1))
    rounded = b.add(bits, b.add(odd, _constant(kind, 0x7FFF)))
    return b.select(b.fcmp_unordered("uno", x, x), b.or_(bits, _constant(kind, 0x400000)), rounded)


def _widened(b: Any, x: Any) -> Any:
    return b.bitcast(b.shl(b.zext(x, I32X16.ir), _constant(I32X16.ir, 16)), F32X16.ir)


def _narrowed(b: Any, x: Any) -> Any:
    return b.trunc(b.lshr(_rounded_bits(b, x, I32X16.ir), _constant(I32X16.ir, 16)), I16X16.ir)


widen_bf16x16 = operation(F32X16, [I16X16], _widened)
narrow_bf16x16 = operation(I16X16, [F32X16], _narrowed)
bits_bf16 = operation(types.int64, [types.float32], lambda b, x: b.zext(b.lshr(_rounded_bits(b, x, I32), I32(16)), I64))


@inline
def bf16_at(at: int) -> Any:
    """The float32 that the BF16 at an address stands for."""
    return float_of(u16_at(at) << 16)


@inline
def load_bf16x16(at: int) -> Any:
    """16 of them."""
    return widen_bf16x16(load_i16x16(at))


@inline
def store_bf16(at: int, value: Any) -> None:
    """A float32, rounded."""
    store_i16(at, bits_bf16(value))


@inline
def store_bf16x16(at: int, values: Any) -> None:
    """16 float32, rounded."""
    store_i16x16(at, narrow_bf16x16(values))
