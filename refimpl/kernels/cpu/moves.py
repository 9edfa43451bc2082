"""`n` packed elements from one address to another, converted on the way: what copies and chosen rows are made of.

All have one shape, `(out, x, n)`, so that a kernel family is written once and given the conversion it needs. Both
runs are disjoint or the same; a block format takes n in whole blocks. Bytes that are only moved keep every bit, and
F32 goes to F16 by rounding to the nearest, ties to even.
"""

from refimpl.kernels.cpu.bf16 import bf16_at, load_bf16x16
from refimpl.kernels.cpu.blocks import (
    BLOCK,
    BLOCK_F32,
    Q4_0_BYTES,
    Q4_1_BYTES,
    Q5_0_BYTES,
    Q5_1_BYTES,
    Q8_0_BYTES,
    decode_q4_0,
    decode_q4_1,
    decode_q5_0,
    decode_q5_1,
    decode_q8_0,
)
from refimpl.kernels.cpu.compiled import plain
from refimpl.kernels.cpu.lanes import (
    load_f16x16,
    load_f32x16,
    load_i8x32,
    load_i8x64,
    load_i32x16,
    narrow_f32x16,
    store_f16x16,
    store_f32x16,
    store_i8x32,
    store_i8x64,
    store_i32x16,
    widen_f16x16,
)
from refimpl.kernels.cpu.words import (
    f16_at,
    f32_at,
    i32_at,
    store_f16,
    store_f32,
    store_i8,
    store_i16,
    store_i32,
    u8_at,
    u16_at,
)

__all__ = [
    "from_q4_0",
    "from_q4_1",
    "from_q5_0",
    "from_q5_1",
    "from_q8_0",
    "move_1",
    "move_2",
    "move_4",
    "narrow",
    "widen",
    "widen_bf16",
]

LANES = 16
F16, F32 = 2, 4


@plain
def move_1(out: int, x: int, n: int) -> None:
    """Bytes."""
    i = 0
    while i + 4 * LANES <= n:
        store_i8x64(out + i, load_i8x64(x + i))
        i += 4 * LANES
    while i < n:
        store_i8(out + i, u8_at(x + i))
        i += 1


@plain
def move_2(out: int, x: int, n: int) -> None:
    """Elements of 2 bytes."""
    i = 0
    while i + LANES <= n:
        store_i8x32(out + 2 * i, load_i8x32(x + 2 * i))
        i += LANES
    while i < n:
        store_i16(out + 2 * i, u16_at(x + 2 * i))
        i += 1


@plain
def move_4(out: int, x: int, n: int) -> None:
    """Elements of 4 bytes."""
    i = 0
    while i + LANES <= n:
        store_i32x16(out + 4 * i, load_i32x16(x + 4 * i))
        i += LANES
    while i < n:
        store_i32(out + 4 * i, i32_at(x + 4 * i))
        i += 1


@plain
def narrow(out: int, x: int, n: int) -> None:
    """F32 to F16."""
    i = 0
    while i + LANES <= n:
        store_f16x16(out + F16 * i, narrow_f32x16(load_f32x16(x + F32 * i)))
        i += LANES
    while i < n:
        store_f16(out + F16 * i, f32_at(x + F32 * i))
        i += 1


@plain
def widen(out: int, x: int, n: int) -> None:
    """F16 to F32."""
    i = 0
    while i + LANES <= n:
        store_f32x16(out + F32 * i, widen_f16x16(load_f16x16(x + F16 * i)))
        i += LANES
    while i < n:
        store_f32(out + F32 * i, f16_at(x + F16 * i))
        i += 1


@plain
def widen_bf16(out: int, x: int, n: int) -> None:
    """BF16 to F32."""
    i = 0
    while i + LANES <= n:
        store_f32x16(out + F32 * i, load_bf16x16(x + F16 * i))
        i += LANES
    while i < n:
        store_f32(out + F32 * i, bf16_at(x + F16 * i))
        i += 1


@plain
def from_q4_0(out: int, x: int, n: int) -> None:
    """Q4_0 to F32."""
    for block in range(n // BLOCK):
        decode_q4_0(out + BLOCK_F32 * block, x + Q4_0_BYTES * block)


@plain
def from_q4_1(out: int, x: int, n: int) -> None:
    """Q4_1 to F32."""
    for block in range(n // BLOCK):
        decode_q4_1(out + BLOCK_F32 * block, x + Q4_1_BYTES * block)


@plain
def from_q5_0(out: int, x: int, n: int) -> None:
    """Q5_0 to F32."""
    for block in range(n // BLOCK):
        decode_q5_0(out + BLOCK_F32 * block, x + Q5_0_BYTES * block)


@plain
def from_q5_1(out: int, x: int, n: int) -> None:
    """Q5_1 to F32."""
    for block in range(n // BLOCK):
        decode_q5_1(out + BLOCK_F32 * block, x + Q5_1_BYTES * block)


@plain
def from_q8_0(out: int, x: int, n: int) -> None:
    """Q8_0 to F32."""
    for block in range(n // BLOCK):
        decode_q8_0(out + BLOCK_F32 * block, x + Q8_0_BYTES * block)
