"""One block of 32 quantised elements at an address to 32 float32 at another; the layouts are those of kernels/blocks/.

A quant is small enough to be exact as a float32, so each value is rounded as often as its definition rounds it: once,
and once more where a minimum is added. Nothing is fused.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.lanes import (
    add_f32x16,
    add_i32x16,
    float_i32x16,
    high_nibbles_16,
    load_i8x16,
    low_nibbles_16,
    mul_f32x16,
    splat_f32x16,
    store_f32x16,
    sub_f32x16,
    widen_i8x16,
)
from refimpl.kernels.cpu.simd import I32X16, operation
from refimpl.kernels.cpu.words import I16, f16_at, i32_at

__all__ = [
    "BLOCK",
    "BLOCK_F32",
    "Q4_0_BYTES",
    "Q4_1_BYTES",
    "Q5_0_BYTES",
    "Q5_1_BYTES",
    "Q8_0_BYTES",
    "decode_q4_0",
    "decode_q4_1",
    "decode_q5_0",
    "decode_q5_1",
    "decode_q8_0",
]

BLOCK = 32
BLOCK_F32 = 4 * BLOCK
"""bytes of a block's values"""
Q4_0_BYTES, Q4_1_BYTES, Q5_0_BYTES, Q5_1_BYTES, Q8_0_BYTES = 18, 20, 22, 24, 34

F16, WORD = 2, 4
HALF = 16
"""elements that are decoded at once"""
HALF_F32 = 4 * HALF
ZERO, ZERO_5 = np.float32(8), np.float32(16)
"""the quants of Q4_0 and of Q5_0 that stand for 0"""


def _sixteens(b: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    chosen = b.bitcast(b.trunc(bits, I16), ir.VectorType(ir.IntType(1), HALF))
    return b.select(chosen, ir.Constant(I32X16.ir, [16] * HALF), ir.Constant(I32X16.ir, None))


fifth_i32x16 = operation(I32X16, [types.int64], _sixteens)
"""16 in each lane whose bit is set, 0 elsewhere"""


@inline
def _quants(bytes_: Any) -> Any:
    """Sixteen signed bytes as float32."""
    return float_i32x16(widen_i8x16(bytes_))


@inline
def decode_q4_0(out: int, block: int) -> Any:
    """d * (q - 8): low nibbles first, then high ones"""
    d, zero = splat_f32x16(f16_at(block)), splat_f32x16(ZERO)
    packed = load_i8x16(block + F16)
    store_f32x16(out, mul_f32x16(d, sub_f32x16(_quants(low_nibbles_16(packed)), zero)))
    store_f32x16(out + HALF_F32, mul_f32x16(d, sub_f32x16(_quants(high_nibbles_16(packed)), zero)))


@inline
def decode_q4_1(out: int, block: int) -> Any:
    """d * q + m: low nibbles first, then high ones"""
    d, m = splat_f32x16(f16_at(block)), splat_f32x16(f16_at(block + F16))
    packed = load_i8x16(block + 2 * F16)
    store_f32x16(out, add_f32x16(mul_f32x16(d, _quants(low_nibbles_16(packed))), m))
    store_f32x16(out + HALF_F32, add_f32x16(mul_f32x16(d, _quants(high_nibbles_16(packed))), m))


@inline
def _five_bits(packed: Any, bits: int) -> Any:
    """Sixteen quants as float32, of nibbles and the lowest bits of a word."""
    return float_i32x16(add_i32x16(widen_i8x16(packed), fifth_i32x16(bits)))


@inline
def decode_q5_0(out: int, block: int) -> Any:
    """d * (q - 16): low nibbles first, then high ones"""
    d, zero, bits = splat_f32x16(f16_at(block)), splat_f32x16(ZERO_5), i32_at(block + F16)
    packed = load_i8x16(block + F16 + WORD)
    store_f32x16(out, mul_f32x16(d, sub_f32x16(_five_bits(low_nibbles_16(packed), bits), zero)))
    high = _five_bits(high_nibbles_16(packed), bits >> HALF)
    store_f32x16(out + HALF_F32, mul_f32x16(d, sub_f32x16(high, zero)))


@inline
def decode_q5_1(out: int, block: int) -> Any:
    """d * q + m: low nibbles first, then high ones"""
    d, m, bits = splat_f32x16(f16_at(block)), splat_f32x16(f16_at(block + F16)), i32_at(block + 2 * F16)
    packed = load_i8x16(block + 2 * F16 + WORD)
    store_f32x16(out, add_f32x16(mul_f32x16(d, _five_bits(low_nibbles_16(packed), bits)), m))
    high = _five_bits(high_nibbles_16(packed), bits >> HALF)
    store_f32x16(out + HALF_F32, add_f32x16(mul_f32x16(d, high), m))


@inline
def decode_q8_0(out: int, block: int) -> Any:
    """d * q"""
    d = splat_f32x16(f16_at(block))
    store_f32x16(out, mul_f32x16(d, _quants(load_i8x16(block + F16))))
    store_f32x16(out + HALF_F32, mul_f32x16(d, _quants(load_i8x16(block + F16 + HALF))))
