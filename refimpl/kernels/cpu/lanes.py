"""The vector operations that kernels use, by name: operation, element, lanes."""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.simd import (
    F16X16,
    F32X8,
    F32X16,
    I8X16,
    I8X32,
    I8X64,
    I32X8,
    I32X16,
    binary,
    cast,
    constant_operand,
    dot_bytes,
    dot_planes,
    fma,
    fma_each,
    larger,
    largest,
    load,
    load_part,
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
load_f32x8, zero_f32x8, splat_f32x8 = load(F32X8), zero(F32X8), splat(F32X8)
load_f16x16, store_f16x16, zero_f16x16 = load(F16X16), store(F16X16), zero(F16X16)
load_i8x16, load_i8x32, load_i8x64 = load(I8X16), load(I8X32), load(I8X64)
store_i8x16, store_i8x32, store_i8x64 = store(I8X16), store(I8X32), store(I8X64)
load_i32x16, store_i32x16, zero_i32x16, splat_i32x16 = load(I32X16), store(I32X16), zero(I32X16), splat(I32X16)
zero_i32x8, splat_i32x8 = zero(I32X8), splat(I32X8)
load_part_f32x16, load_part_f16x16, store_part_f32x16 = load_part(F32X16), load_part(F16X16), store_part(F32X16)

add_f32x16, sub_f32x16 = binary("fadd", F32X16), binary("fsub", F32X16)
mul_f32x16, div_f32x16 = binary("fmul", F32X16), binary("fdiv", F32X16)
add_i32x16, add_f32x8, mul_f32x8 = binary("add", I32X16), binary("fadd", F32X8), binary("fmul", F32X8)
fma_f32x16, fma_f32x8 = fma(F32X16), fma(F32X8)
max_f32x16, min_f32x16 = larger(F32X16), smaller(F32X16)
zero_below = where_not_below(F32X16)
abs_f32x16, nearest_f32x16 = unary("fabs", F32X16), unary("rint", F32X16)
total_f32x16, total_f32x8, total_i32x16 = total(F32X16), total(F32X8), total(I32X16)
largest_f32x16 = largest(F32X16)

widen_f16x16, narrow_f32x16 = cast("fpext", F16X16, F32X16), cast("fptrunc", F32X16, F16X16)
float_i32x16, int_f32x16 = cast("sitofp", I32X16, F32X16), cast("fptosi", F32X16, I32X16)
float_i32x8 = cast("sitofp", I32X8, F32X8)
bytes_i32x16, widen_i8x16 = cast("trunc", I32X16, I8X16), cast("sext", I8X16, I32X16)
bits_as_float = cast("bitcast", I32X16, F32X16)
to_exponent = constant_operand("shl", I32X16, 23)

low_nibbles, high_nibbles = constant_operand("and_", I8X64, 15), constant_operand("lshr", I8X64, 4)
low_nibbles_16, high_nibbles_16 = constant_operand("and_", I8X16, 15), constant_operand("lshr", I8X16, 4)
flip_signs, flip_signs_32 = constant_operand("xor", I8X64, -128), constant_operand("xor", I8X32, -128)
join_i8x16 = shuffle(I8X16, range(32))
even_lanes, odd_lanes = shuffle(F32X16, range(0, 32, 2)), shuffle(F32X16, range(1, 32, 2))
"""(a, b) -> every second element of both: the first and the second of each pair of neighbours"""
low_pairs = shuffle(F32X16, [lane + side for lane in range(8) for side in (0, 16)])
high_pairs = shuffle(F32X16, [lane + side for lane in range(8, 16) for side in (0, 16)])
"""(firsts, seconds) -> their pairs, those of lanes 0..7 and those of lanes 8..15: the way back"""

dot_i32x8, dot_planes_i32x16 = dot_bytes(8), dot_planes()
fma_4_f32x16 = fma_each(F32X16, 4)

ONE, HALF = np.float32(1), np.float32(0.5)
LOG2_E = np.float32(1.44269504)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
"""ln 2 in two parts: the first has few enough bits that its multiples are exact"""
LOWEST, HIGHEST = np.float32(-87.3), np.float32(88.7)
"""beyond these e^x is no normal float32"""
C5, C4, C3 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
C2, C1 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1)
"""coefficients of (e^r - 1 - r) / r^2 - 1/2 for |r| <= ln 2 / 2"""


@inline
def exp_f32x16(x: Any) -> Any:
    """e^x lane by lane, within a few units of the last place; 0 below -87.3, e^88.7 above 88.7, NaN stays."""
    clipped = min_f32x16(splat_f32x16(HIGHEST), max_f32x16(splat_f32x16(LOWEST), x))
    n = nearest_f32x16(mul_f32x16(clipped, splat_f32x16(LOG2_E)))
    r = fma_f32x16(n, splat_f32x16(-LN2_HIGH), clipped)
    r = fma_f32x16(n, splat_f32x16(-LN2_LOW), r)
    p = splat_f32x16(C5)
    p = fma_f32x16(p, r, splat_f32x16(C4))
    p = fma_f32x16(p, r, splat_f32x16(C3))
    p = fma_f32x16(p, r, splat_f32x16(C2))
    p = fma_f32x16(p, r, splat_f32x16(C1))
    p = fma_f32x16(p, r, splat_f32x16(HALF))
    p = fma_f32x16(p, mul_f32x16(r, r), add_f32x16(r, splat_f32x16(ONE)))
    power = bits_as_float(to_exponent(add_i32x16(int_f32x16(n), splat_i32x16(127))))
    return zero_below(x, splat_f32x16(LOWEST), mul_f32x16(p, power))


@inline
def silu_f32x16(x: Any) -> Any:
    """x / (1 + e^-x) lane by lane."""
    return div_f32x16(x, add_f32x16(splat_f32x16(ONE), exp_f32x16(mul_f32x16(x, splat_f32x16(-ONE)))))
