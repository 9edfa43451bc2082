"""The vector operations that kernels use, by name: operation, element, lanes."""

from typing import Any

import numpy as np
from numba import types

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.simd import (
    F16X16,
    F32X8,
    F32X16,
    F64X8,
    I8X16,
    I8X32,
    I8X64,
    I32X8,
    I32X16,
    binary,
    cast,
    constant_operand,
    dot_bytes,
    first,
    fma,
    fma_each,
    fms,
    gain_planes,
    larger,
    largest,
    load,
    load_part,
    operation,
    same,
    scalef,
    shuffle,
    smaller,
    splat,
    store,
    store_part,
    total,
    unary,
    where_not_below,
    zero,
)

__all__ = ["exp_f32x16", "silu_f32x16"]

load_f32x16, store_f32x16, zero_f32x16, splat_f32x16 = load(F32X16), store(F32X16), zero(F32X16), splat(F32X16)
load_f32x8, store_f32x8, zero_f32x8, splat_f32x8 = load(F32X8), store(F32X8), zero(F32X8), splat(F32X8)
ones_i8x32 = same(I8X32, 1)
load_f16x16, store_f16x16, zero_f16x16 = load(F16X16), store(F16X16), zero(F16X16)
load_i8x16, load_i8x32, load_i8x64 = load(I8X16), load(I8X32), load(I8X64)
store_i8x16, store_i8x32, store_i8x64 = store(I8X16), store(I8X32), store(I8X64)
load_i32x16, store_i32x16, zero_i32x16, splat_i32x16 = load(I32X16), store(I32X16), zero(I32X16), splat(I32X16)
zero_i32x8, splat_i32x8 = zero(I32X8), splat(I32X8)
load_part_f32x16, load_part_f16x16, store_part_f32x16 = load_part(F32X16), load_part(F16X16), store_part(F32X16)
load_part_f32x8 = load_part(F32X8)

add_f32x16, sub_f32x16 = binary("fadd", F32X16), binary("fsub", F32X16)
mul_f32x16, div_f32x16 = binary("fmul", F32X16), binary("fdiv", F32X16)
add_i32x16, add_f32x8, mul_f32x8 = binary("add", I32X16), binary("fadd", F32X8), binary("fmul", F32X8)
fma_f32x16, fma_f32x8, fms_f32x16 = fma(F32X16), fma(F32X8), fms(F32X16)
add_f64x8, zero_f64x8, total_f64x8 = binary("fadd", F64X8), zero(F64X8), total(F64X8)
fma_f32 = operation(types.float32, [types.float32] * 3, lambda b, x, y, z: b.fma(x, y, z))
"""a * b + c of three float32, rounded once"""
scale_f32x16 = scalef()
max_f32x16, min_f32x16 = larger(F32X16), smaller(F32X16)
zero_below = where_not_below(F32X16)
abs_f32x16, nearest_f32x16 = unary("fabs", F32X16), unary("rint", F32X16)
total_f32x16, total_f32x8, total_i32x16 = total(F32X16), total(F32X8), total(I32X16)
largest_f32x16, first_f32x8 = largest(F32X16), first(F32X8)

widen_f16x16, narrow_f32x16 = cast("fpext", F16X16, F32X16), cast("fptrunc", F32X16, F16X16)
float_i32x16, int_f32x16 = cast("sitofp", I32X16, F32X16), cast("fptosi", F32X16, I32X16)
float_i32x8, widen_f32x8 = cast("sitofp", I32X8, F32X8), cast("fpext", F32X8, F64X8)
bytes_i32x16, widen_i8x16 = cast("trunc", I32X16, I8X16), cast("sext", I8X16, I32X16)

low_nibbles, high_nibbles = constant_operand("and_", I8X64, 15), constant_operand("lshr", I8X64, 4)
low_nibbles_16, high_nibbles_16 = constant_operand("and_", I8X16, 15), constant_operand("lshr", I8X16, 4)
flip_signs, flip_signs_32 = constant_operand("xor", I8X64, -128), constant_operand("xor", I8X32, -128)
join_i8x16 = shuffle(I8X16, range(32))
even_lanes, odd_lanes = shuffle(F32X16, range(0, 32, 2)), shuffle(F32X16, range(1, 32, 2))
"""(a, b) -> every second element of both: the first and the second of each pair of neighbours"""
low_pairs = shuffle(F32X16, [lane + side for lane in range(8) for side in (0, 16)])
high_pairs = shuffle(F32X16, [lane + side for lane in range(8, 16) for side in (0, 16)])
"""(firsts, seconds) -> their pairs, those of lanes 0..7 and those of lanes 8..15: the way back"""

dot_i32x8 = dot_bytes(8)
gain_unsigned, gain_less_8, gain_less_128 = gain_planes(0), gain_planes(8), gain_planes(128)
fma_4_f32x16 = fma_each(F32X16, 4)

ONE = np.float32(1)
LOWEST, HIGHEST = np.float32(-150), np.float32(150)
"""beyond these e^x is 0 or infinity in float32, whichever way it is rounded"""
SHIFT = np.float32(1.5 * 2**23)
"""a float32 of this size has no fraction: adding it rounds to a whole number"""
LOG2_E = np.float32(float.fromhex("0x1.715476p+0"))
LN2_HIGH, LN2_LOW = np.float32(float.fromhex("0x1.62e4p-1")), np.float32(float.fromhex("0x1.7f7d1cp-20"))
"""ln 2 in two parts: the first has few enough bits that its multiples are exact"""
C1, C2 = np.float32(float.fromhex("0x1.ffffecp-1")), np.float32(float.fromhex("0x1.fffdb6p-2"))
C3, C4 = np.float32(float.fromhex("0x1.555e66p-3")), np.float32(float.fromhex("0x1.573e2ep-5"))
C5 = np.float32(float.fromhex("0x1.0e4020p-7"))
"""coefficients of r .. r^5 in e^r for |r| <= ln 2 / 2, as Arm's optimized routines and ggml have them"""


@inline
def exp_f32x16(x: Any) -> Any:
    """e^x lane by lane, within three units of the last place; 0 from -104 down, infinity from 88.8 up, NaN stays.

    These are the bits of ggml's own exponential with AVX512, results below the normal numbers included.
    """
    clipped = min_f32x16(splat_f32x16(HIGHEST), max_f32x16(splat_f32x16(LOWEST), x))
    n = sub_f32x16(fma_f32x16(clipped, splat_f32x16(LOG2_E), splat_f32x16(SHIFT)), splat_f32x16(SHIFT))
    r = fma_f32x16(n, splat_f32x16(-LN2_HIGH), clipped)
    r = fma_f32x16(n, splat_f32x16(-LN2_LOW), r)
    square = mul_f32x16(r, r)
    high = fma_f32x16(splat_f32x16(C5), r, splat_f32x16(C4))
    middle = fma_f32x16(splat_f32x16(C3), r, splat_f32x16(C2))
    low = fma_f32x16(splat_f32x16(C1), r, splat_f32x16(ONE))
    return scale_f32x16(fma_f32x16(fma_f32x16(high, square, middle), square, low), n)


@inline
def silu_f32x16(x: Any) -> Any:
    """x / (1 + e^-x) lane by lane."""
    return div_f32x16(x, add_f32x16(splat_f32x16(ONE), exp_f32x16(sub_f32x16(zero_f32x16(), x))))
