"""Two vectors of 16 float32 to one block at an address: the way back of ../blocks.py, as kernels/blocks/ define it.

Each step is rounded on its own, nothing is fused: the bytes are those of ggml's reference quantisers.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.lanes import (
    abs_f32x16,
    add_f32x16,
    bytes_i32x16,
    int_f32x16,
    largest_f32x16,
    max_f32x16,
    min_f32x16,
    mul_f32x16,
    nearest_f32x16,
    splat_f32x16,
    store_i8x16,
    sub_f32x16,
    zero_below,
    zero_f32x16,
)
from refimpl.kernels.cpu.simd import F32X16, I8X16, I32X16, binary, constant_operand, operation
from refimpl.kernels.cpu.words import I16, I64, store_f16, store_i32

__all__ = ["encode_q4_0", "encode_q4_1", "encode_q5_0", "encode_q5_1", "encode_q8_0"]

F16, HALF = 2, 16
ZERO, ONE, HALF_STEP = np.float32(0), np.float32(1), np.float32(0.5)
MOST = np.finfo(np.float32).max
LEVELS_4, LEVELS_5 = 16, 32
"""of a quant of four and of five bits"""
Q8_LARGEST = np.float32(127)
Q8_SMALLEST = np.float32(127 / 3.4028235e38)
"""below it 127 / amax overflows, and d is 0 as an F16"""

or_i8x16, high_i8x16, low_i8x16 = (
    binary("or_", I8X16),
    constant_operand("shl", I8X16, 4),
    constant_operand("and_", I8X16, 15),
)


def _lanes(b: ir.IRBuilder, chosen: ir.Value) -> ir.Value:
    """One bit for each lane."""
    return b.zext(b.bitcast(chosen, I16), I64)


def _first(b: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    kind = ir.FunctionType(I64, [I64, ir.IntType(1)])
    call = cgutils.get_or_insert_function(b.module, kind, "llvm.cttz.i64")
    return b.call(call, [bits, ir.Constant(ir.IntType(1), 0)])


equal_f32x16 = operation(types.int64, [F32X16, F32X16], lambda b, x, y: _lanes(b, b.fcmp_ordered("==", x, y)))
"""a bit for each lane: whether both hold the same number"""
fifth_i32x16 = operation(
    types.int64,
    [I32X16],
    lambda b, x: _lanes(b, b.trunc(b.lshr(x, ir.Constant(I32X16.ir, [4] * 16)), ir.VectorType(ir.IntType(1), 16))),
)
"""bit 4 of each lane"""
lane_f32x16 = operation(types.float32, [F32X16, types.int64], lambda b, x, lane: b.extract_element(x, lane))
"""the number in a lane"""
first_bit = operation(types.int64, [types.int64], _first)
"""number of the lowest bit that is set, 64 if none is"""


@inline
def _first_of(low: Any, high: Any, low_key: Any, high_key: Any, value: float) -> Any:
    """The number in the first lane of (low, high) whose key is `value`; `value` where there is none."""
    values = splat_f32x16(value)
    found = equal_f32x16(low_key, values)
    if found != 0:
        return lane_f32x16(low, first_bit(found))
    found = equal_f32x16(high_key, values)
    return value if found == 0 else lane_f32x16(high, first_bit(found))


@inline
def _inverse(d: float) -> Any:
    return ZERO if d == ZERO else ONE / d


@inline
def _whole(steps: Any, levels: int) -> Any:
    """Rounded towards 0, at most levels - 1; 0 for what is no number or infinite."""
    zero = zero_f32x16()
    steps = max_f32x16(steps, zero)
    finite = zero_below(sub_f32x16(zero, steps), splat_f32x16(-MOST), steps)
    return int_f32x16(min_f32x16(finite, splat_f32x16(np.float32(levels - 1))))


@inline
def _of_largest(low: Any, high: Any, levels: int) -> Any:
    """(d, quants 0..15, quants 16..31) for value = d * (q - levels / 2)"""
    low_size, high_size = abs_f32x16(low), abs_f32x16(high)
    amax = largest_f32x16(max_f32x16(low_size, max_f32x16(high_size, zero_f32x16())))
    largest = ZERO if amax == ZERO else _first_of(low, high, low_size, high_size, amax)
    zero = np.float32(levels // 2)
    d = largest / -zero
    factor, shift = splat_f32x16(_inverse(d)), splat_f32x16(zero + HALF_STEP)
    q_low = _whole(add_f32x16(mul_f32x16(low, factor), shift), levels)
    return d, q_low, _whole(add_f32x16(mul_f32x16(high, factor), shift), levels)


@inline
def _of_range(low: Any, high: Any, levels: int) -> Any:
    """(d, m, quants 0..15, quants 16..31) for value = d * q + m"""
    least = min_f32x16(low, min_f32x16(high, splat_f32x16(MOST)))
    m = _first_of(low, high, low, high, -largest_f32x16(sub_f32x16(zero_f32x16(), least)))
    top = largest_f32x16(max_f32x16(low, max_f32x16(high, splat_f32x16(-MOST))))
    d = (top - m) / np.float32(levels - 1) + ZERO  # never -0
    factor, minima, shift = splat_f32x16(_inverse(d)), splat_f32x16(m), splat_f32x16(HALF_STEP)
    q_low = _whole(add_f32x16(mul_f32x16(sub_f32x16(low, minima), factor), shift), levels)
    return d, m, q_low, _whole(add_f32x16(mul_f32x16(sub_f32x16(high, minima), factor), shift), levels)


@inline
def _store_nibbles(out: int, q_low: Any, q_high: Any) -> None:
    store_i8x16(out, or_i8x16(low_i8x16(bytes_i32x16(q_low)), high_i8x16(bytes_i32x16(q_high))))


@inline
def _store_fifth_bits(out: int, q_low: Any, q_high: Any) -> None:
    store_i32(out, fifth_i32x16(q_low) | fifth_i32x16(q_high) << HALF)


@inline
def encode_q4_0(out: int, low: Any, high: Any) -> None:
    """d, nibbles"""
    d, q_low, q_high = _of_largest(low, high, LEVELS_4)
    store_f16(out, d)
    _store_nibbles(out + F16, q_low, q_high)


@inline
def encode_q4_1(out: int, low: Any, high: Any) -> None:
    """d, m, nibbles"""
    d, m, q_low, q_high = _of_range(low, high, LEVELS_4)
    store_f16(out, d)
    store_f16(out + F16, m)
    _store_nibbles(out + 2 * F16, q_low, q_high)


@inline
def encode_q5_0(out: int, low: Any, high: Any) -> None:
    """d, fifth bits, nibbles"""
    d, q_low, q_high = _of_largest(low, high, LEVELS_5)
    store_f16(out, d)
    _store_fifth_bits(out + F16, q_low, q_high)
    _store_nibbles(out + F16 + 4, q_low, q_high)


@inline
def encode_q5_1(out: int, low: Any, high: Any) -> None:
    """d, m, fifth bits, nibbles"""
    d, m, q_low, q_high = _of_range(low, high, LEVELS_5)
    store_f16(out, d)
    store_f16(out + F16, m)
    _store_fifth_bits(out + 2 * F16, q_low, q_high)
    _store_nibbles(out + 2 * F16 + 4, q_low, q_high)


@inline
def encode_q8_0(out: int, low: Any, high: Any) -> None:
    """d, bytes: rint(x * (127 / amax))"""
    amax = largest_f32x16(max_f32x16(abs_f32x16(low), abs_f32x16(high)))
    factor = splat_f32x16(Q8_LARGEST / amax if amax > Q8_SMALLEST else ZERO)
    store_f16(out, amax / Q8_LARGEST)
    store_i8x16(out + F16, bytes_i32x16(int_f32x16(nearest_f32x16(mul_f32x16(low, factor)))))
    store_i8x16(out + F16 + HALF, bytes_i32x16(int_f32x16(nearest_f32x16(mul_f32x16(high, factor)))))
