"""Rows of one format to another: the moves of ../moves.py into BF16 and block formats, and from BF16 to F16.

All take (out, x, elements), and read and write not a byte beyond them. A row of a block format is whole blocks. F16 is
widened before it is quantised, which is exact. Those named `_one` move a single element.
"""

from typing import Any

from refimpl.kernels.cpu.bf16 import bf16_at, load_bf16x16, store_bf16, store_bf16x16
from refimpl.kernels.cpu.blocks import BLOCK, Q4_0_BYTES, Q4_1_BYTES, Q5_0_BYTES, Q5_1_BYTES, Q8_0_BYTES
from refimpl.kernels.cpu.compiled import inline, plain
from refimpl.kernels.cpu.encoding.blocks import encode_q4_0, encode_q4_1, encode_q5_0, encode_q5_1, encode_q8_0
from refimpl.kernels.cpu.lanes import load_f16x16, load_f32x16, narrow_f32x16, store_f16x16, widen_f16x16
from refimpl.kernels.cpu.words import f16_at, f32_at, store_f16

__all__ = [
    "bf16_to_f16",
    "bf16_to_f16_one",
    "f16_to_bf16",
    "f16_to_bf16_one",
    "f16_to_q4_0",
    "f16_to_q4_1",
    "f16_to_q5_0",
    "f16_to_q5_1",
    "f16_to_q8_0",
    "f32_to_bf16",
    "f32_to_bf16_one",
    "f32_to_q4_0",
    "f32_to_q4_1",
    "f32_to_q5_0",
    "f32_to_q5_1",
    "f32_to_q8_0",
]

LANES = 16
F16, BF16, F32 = 2, 2, 4


@inline
def _from_f32(x: int) -> Any:
    return load_f32x16(x)


@inline
def _from_f16(x: int) -> Any:
    return widen_f16x16(load_f16x16(x))


@inline
def _blocks(out: int, x: int, n: int, encode: Any, size: int, load: Any, gap: int) -> None:
    """n elements, `gap` bytes each, to blocks of `size` bytes"""
    for block in range(n // BLOCK):
        at = x + gap * BLOCK * block
        encode(out + size * block, load(at), load(at + gap * LANES))


@inline
def _to_bf16(out: int, x: int, n: int, load: Any, load_one: Any, gap: int) -> None:
    i = 0
    while i + LANES <= n:
        store_bf16x16(out + BF16 * i, load(x + gap * i))
        i += LANES
    while i < n:
        store_bf16(out + BF16 * i, load_one(x + gap * i))
        i += 1


@inline
def _f32(x: int) -> Any:
    return f32_at(x)


@inline
def _f16(x: int) -> Any:
    return f16_at(x)


@plain
def f32_to_bf16(out: int, x: int, n: int) -> None:
    """F32 to BF16."""
    _to_bf16(out, x, n, _from_f32, _f32, F32)


@plain
def f16_to_bf16(out: int, x: int, n: int) -> None:
    """F16 to BF16."""
    _to_bf16(out, x, n, _from_f16, _f16, F16)


@plain
def bf16_to_f16(out: int, x: int, n: int) -> None:
    """BF16 to F16."""
    i = 0
    while i + LANES <= n:
        store_f16x16(out + F16 * i, narrow_f32x16(load_bf16x16(x + BF16 * i)))
        i += LANES
    while i < n:
        store_f16(out + F16 * i, bf16_at(x + BF16 * i))
        i += 1


@plain
def f32_to_bf16_one(out: int, x: int) -> None:
    store_bf16(out, f32_at(x))


@plain
def f16_to_bf16_one(out: int, x: int) -> None:
    store_bf16(out, f16_at(x))


@plain
def bf16_to_f16_one(out: int, x: int) -> None:
    store_f16(out, bf16_at(x))


@plain
def f32_to_q8_0(out: int, x: int, n: int) -> None:
    """F32 to Q8_0."""
    _blocks(out, x, n, encode_q8_0, Q8_0_BYTES, _from_f32, F32)


@plain
def f32_to_q4_0(out: int, x: int, n: int) -> None:
    """F32 to Q4_0."""
    _blocks(out, x, n, encode_q4_0, Q4_0_BYTES, _from_f32, F32)


@plain
def f32_to_q4_1(out: int, x: int, n: int) -> None:
    """F32 to Q4_1."""
    _blocks(out, x, n, encode_q4_1, Q4_1_BYTES, _from_f32, F32)


@plain
def f32_to_q5_0(out: int, x: int, n: int) -> None:
    """F32 to Q5_0."""
    _blocks(out, x, n, encode_q5_0, Q5_0_BYTES, _from_f32, F32)


@plain
def f32_to_q5_1(out: int, x: int, n: int) -> None:
    """F32 to Q5_1."""
    _blocks(out, x, n, encode_q5_1, Q5_1_BYTES, _from_f32, F32)


@plain
def f16_to_q8_0(out: int, x: int, n: int) -> None:
    """F16 to Q8_0."""
    _blocks(out, x, n, encode_q8_0, Q8_0_BYTES, _from_f16, F16)


@plain
def f16_to_q4_0(out: int, x: int, n: int) -> None:
    """F16 to Q4_0."""
    _blocks(out, x, n, encode_q4_0, Q4_0_BYTES, _from_f16, F16)


@plain
def f16_to_q4_1(out: int, x: int, n: int) -> None:
    """F16 to Q4_1."""
    _blocks(out, x, n, encode_q4_1, Q4_1_BYTES, _from_f16, F16)


@plain
def f16_to_q5_0(out: int, x: int, n: int) -> None:
    """F16 to Q5_0."""
    _blocks(out, x, n, encode_q5_0, Q5_0_BYTES, _from_f16, F16)


@plain
def f16_to_q5_1(out: int, x: int, n: int) -> None:
    """F16 to Q5_1."""
    _blocks(out, x, n, encode_q5_1, Q5_1_BYTES, _from_f16, F16)
