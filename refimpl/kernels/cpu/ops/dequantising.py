"""GET_ROWS and CPY from BF16, Q5_0, Q5_1 and the K formats to F32.

In a K format each value is rounded as often as kernels/blocks/k_quants/ rounds it: products of d with a scale and of
dmin with a minimum, the product with the quant, the difference. Nothing is fused.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.bf16 import bf16_at
from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import (
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
from refimpl.kernels.cpu.matmul.k_quants.layout import BLOCK, Q4_K, Q4_K_BYTES, Q5_K, Q5_K_BYTES, Q6_K_BYTES
from refimpl.kernels.cpu.matmul.k_quants.rows import minima_of, scales_of
from refimpl.kernels.cpu.moves import from_q5_0, from_q5_1, widen_bf16
from refimpl.kernels.cpu.ops.copies import elements_copied, rows_copied
from refimpl.kernels.cpu.ops.rows import gathered
from refimpl.kernels.cpu.simd import I8X16, binary, splat
from refimpl.kernels.cpu.step import DST, extent
from refimpl.kernels.cpu.words import f16_at, i8_at, store_f32

__all__ = [
    "copy_bf16_to_f32",
    "copy_q4_k_to_f32",
    "copy_q5_0_to_f32",
    "copy_q5_1_to_f32",
    "copy_q5_k_to_f32",
    "copy_q6_k_to_f32",
    "from_q4_k",
    "from_q5_k",
    "from_q6_k",
    "get_rows_bf16",
    "get_rows_q4_k",
    "get_rows_q5_0",
    "get_rows_q5_1",
    "get_rows_q5_k",
    "get_rows_q6_k",
]

splat_i8x16, and_i8x16, or_i8x16 = splat(I8X16), binary("and_", I8X16), binary("or_", I8X16)
lshr_i8x16, shl_i8x16 = binary("lshr", I8X16), binary("shl", I8X16)

F16, F32, LANES = 2, 4, 16
SCALES, BEHIND_SCALES = 4, 16
Q6_UPPER, Q6_SCALES, Q6_SCALE = 128, 192, 208
Q6_ZERO = np.float32(32)


@inline
def _bits(packed: Any, shift: int, mask: int) -> Any:
    """`mask` of each byte, shifted to bit 4."""
    return shl_i8x16(and_i8x16(lshr_i8x16(packed, splat_i8x16(shift)), splat_i8x16(mask)), splat_i8x16(4))


@inline
def _nibbles(packed: Any, high: int) -> Any:
    return high_nibbles_16(packed) if high else low_nibbles_16(packed)


@inline
def _decode_with_minima(kind: int, out: int, p: int) -> None:
    """A block of Q4_K or Q5_K."""
    d, dmin, scales, minima = f16_at(p), f16_at(p + F16), scales_of(p + SCALES), minima_of(p + SCALES)
    nibbles = p + BEHIND_SCALES + (32 if kind == Q5_K else 0)
    for group in range(8):
        scale = splat_f32x16(d * np.float32(scales >> 8 * group & 63))
        minimum = splat_f32x16(dmin * np.float32(minima >> 8 * group & 63))
        for half in range(2):
            q = _nibbles(load_i8x16(nibbles + 32 * (group >> 1) + LANES * half), group & 1)
            if kind == Q5_K:
                q = or_i8x16(q, _bits(load_i8x16(p + BEHIND_SCALES + LANES * half), group, 1))
            value = sub_f32x16(mul_f32x16(scale, float_i32x16(widen_i8x16(q))), minimum)
            store_f32x16(out + F32 * (32 * group + LANES * half), value)


@inline
def _decode_q6_k(out: int, p: int) -> None:
    d, zero = f16_at(p + Q6_SCALE), splat_f32x16(Q6_ZERO)
    for group in range(16):
        run, part = group >> 1, group & 1
        nibbles = load_i8x16(p + 64 * (run >> 2) + 32 * (run & 1) + LANES * part)
        upper = _bits(load_i8x16(p + Q6_UPPER + 32 * (run >> 2) + LANES * part), 2 * (run & 3), 3)
        q = float_i32x16(widen_i8x16(or_i8x16(_nibbles(nibbles, run & 2), upper)))
        scale = splat_f32x16(d * np.float32(i8_at(p + Q6_SCALES + group)))
        store_f32x16(out + F32 * LANES * group, mul_f32x16(scale, sub_f32x16(q, zero)))


@plain
def from_q4_k(out: int, x: int, n: int) -> None:
    """Q4_K to F32."""
    for block in range(n // BLOCK):
        _decode_with_minima(Q4_K, out + F32 * BLOCK * block, x + Q4_K_BYTES * block)


@plain
def from_q5_k(out: int, x: int, n: int) -> None:
    """Q5_K to F32."""
    for block in range(n // BLOCK):
        _decode_with_minima(Q5_K, out + F32 * BLOCK * block, x + Q5_K_BYTES * block)


@plain
def from_q6_k(out: int, x: int, n: int) -> None:
    """Q6_K to F32."""
    for block in range(n // BLOCK):
        _decode_q6_k(out + F32 * BLOCK * block, x + Q6_K_BYTES * block)


@plain
def _widen_one(out: int, x: int) -> None:
    store_f32(out, bf16_at(x))


@kernel
def copy_bf16_to_f32(step: int, worker: int) -> None:
    """Exact; any strides."""
    elements_copied(step, worker, widen_bf16, _widen_one, (F32, F16))


@kernel
def get_rows_bf16(step: int, worker: int) -> None:
    """From BF16 to F32, exact."""
    gathered(step, worker, widen_bf16)


@kernel
def get_rows_q5_0(step: int, worker: int) -> None:
    """From Q5_0 to F32."""
    gathered(step, worker, from_q5_0)


@kernel
def copy_q5_0_to_f32(step: int, worker: int) -> None:
    """Dequantised."""
    rows_copied(step, worker, extent(step + DST, 0), from_q5_0)


@kernel
def get_rows_q5_1(step: int, worker: int) -> None:
    """From Q5_1 to F32."""
    gathered(step, worker, from_q5_1)


@kernel
def copy_q5_1_to_f32(step: int, worker: int) -> None:
    """Dequantised."""
    rows_copied(step, worker, extent(step + DST, 0), from_q5_1)


@kernel
def get_rows_q4_k(step: int, worker: int) -> None:
    """From Q4_K to F32."""
    gathered(step, worker, from_q4_k)


@kernel
def copy_q4_k_to_f32(step: int, worker: int) -> None:
    """Dequantised."""
    rows_copied(step, worker, extent(step + DST, 0), from_q4_k)


@kernel
def get_rows_q5_k(step: int, worker: int) -> None:
    """From Q5_K to F32."""
    gathered(step, worker, from_q5_k)


@kernel
def copy_q5_k_to_f32(step: int, worker: int) -> None:
    """Dequantised."""
    rows_copied(step, worker, extent(step + DST, 0), from_q5_k)


@kernel
def get_rows_q6_k(step: int, worker: int) -> None:
    """From Q6_K to F32."""
    gathered(step, worker, from_q6_k)


@kernel
def copy_q6_k_to_f32(step: int, worker: int) -> None:
    """Dequantised."""
    rows_copied(step, worker, extent(step + DST, 0), from_q6_k)
