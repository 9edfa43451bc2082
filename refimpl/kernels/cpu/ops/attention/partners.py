"""A query in the form that keys of a type are multiplied in, and its products with keys: those that ggml makes.

    keys F32: as it is        F16, BF16: rounded to that type
    Q4_0, Q5_0, Q8_0: blocks of Q8_0        Q4_1, Q5_1: blocks of Q8_1, both laid out as in matmul/layout.py

Each product adds up in the order of ggml's function for the type on a processor with AVX512, so that it has its bits.
What is left over behind whole vectors is added to F32 in float32, to F16 and BF16 in float64.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.bf16 import bf16_at, store_bf16
from refimpl.kernels.cpu.blocks import BLOCK, Q4_0_BYTES, Q4_1_BYTES, Q5_0_BYTES, Q5_1_BYTES, Q8_0_BYTES
from refimpl.kernels.cpu.compiled import inline, plain
from refimpl.kernels.cpu.lanes import (
    add_f32x16,
    fma_f32x16,
    load_f16x16,
    load_f32x16,
    total_f32x16,
    widen_f16x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.matmul.activations import quantise_block
from refimpl.kernels.cpu.matmul.layout import ACTIVATION
from refimpl.kernels.cpu.matmul.rows import dot
from refimpl.kernels.cpu.ops.attention.blocks import (
    F16,
    F32,
    KIND_BF16,
    KIND_F16,
    KIND_F32,
    KIND_Q4_0,
    KIND_Q4_1,
    KIND_Q5_0,
    KIND_Q5_1,
    KIND_Q8_0,
    LANES,
)
from refimpl.kernels.cpu.ops.attention.pairs import dot_bf16x32
from refimpl.kernels.cpu.words import f16_at, f32_at, fused, rounded_to_f16, store_f32

__all__ = ["multiplied", "prepared", "query_bytes"]

PIECE = 4 * LANES
"""elements that are multiplied side by side in four vectors"""
EIGHT = 8
"""elements of F32 behind them whose products are rounded before they are added"""
PAIR = 2 * LANES
"""BF16 elements that one vector of sums gains at once"""


@inline
def query_bytes(d: int) -> Any:
    """Room for a query of d elements in any form."""
    return (F32 * d + 63) // 64 * 64


@plain
def prepared(to: int, query: int, d: int, kind: int) -> None:
    """The query (d,) float32 in the form for keys of `kind`, a type number"""
    if kind == KIND_F32:
        for i in range(d):
            store_f32(to + F32 * i, f32_at(query + F32 * i))
    elif kind == KIND_F16:
        for i in range(d):
            store_f32(to + F32 * i, rounded_to_f16(f32_at(query + F32 * i)))
    elif kind == KIND_BF16:
        for i in range(d):
            store_bf16(to + F16 * i, f32_at(query + F32 * i))
    else:
        for block in range(d // BLOCK):
            quantise_block(query + F32 * BLOCK * block, to + ACTIVATION * block)


@inline
def _f16(at: int) -> Any:
    return widen_f16x16(load_f16x16(at))


@inline
def _whole(load: Any, size: int, query: int, key: int, whole: int) -> Any:
    """Query float32 . key, four vectors of sums side by side"""
    s0 = s1 = s2 = s3 = zero_f32x16()
    for i in range(0, whole, PIECE):
        a, b = query + F32 * i, key + size * i
        s0 = fma_f32x16(load(b), load_f32x16(a), s0)
        s1 = fma_f32x16(load(b + size * LANES), load_f32x16(a + 64), s1)
        s2 = fma_f32x16(load(b + 2 * size * LANES), load_f32x16(a + 128), s2)
        s3 = fma_f32x16(load(b + 3 * size * LANES), load_f32x16(a + 192), s3)
    return total_f32x16(add_f32x16(add_f32x16(s0, s2), add_f32x16(s1, s3)))


@inline
def _with_f32(query: int, key: int, d: int) -> Any:
    whole = d - d % PIECE
    total = _whole(load_f32x16, F32, query, key, whole)
    several = d - d % EIGHT
    for i in range(whole, several):
        total += f32_at(key + F32 * i) * f32_at(query + F32 * i)
    for i in range(several, d):
        total = fused(f32_at(key + F32 * i), f32_at(query + F32 * i), total)
    return total


@inline
def _with_f16(query: int, key: int, d: int) -> Any:
    whole = d - d % PIECE
    total = np.float64(_whole(_f16, F16, query, key, whole))
    for i in range(whole, d):
        total += np.float64(f32_at(query + F32 * i) * f16_at(key + F16 * i))
    return np.float32(total)


@inline
def _with_bf16(query: int, key: int, d: int) -> Any:
    first = second = zero_f32x16()
    whole = d - d % (2 * PAIR)
    for i in range(0, F16 * whole, F16 * 2 * PAIR):
        first = dot_bf16x32(first, key + i, query + i)
        second = dot_bf16x32(second, key + i + F16 * PAIR, query + i + F16 * PAIR)
    total = np.float64(total_f32x16(first)) + np.float64(total_f32x16(second))
    for i in range(whole, d):
        total += np.float64(bf16_at(query + F16 * i) * bf16_at(key + F16 * i))
    return np.float32(total)


@inline
def _with_q4_0(query: int, key: int, d: int) -> Any:
    return dot(KIND_Q4_0, Q4_0_BYTES, key, query, d // BLOCK)


@inline
def _with_q4_1(query: int, key: int, d: int) -> Any:
    return dot(KIND_Q4_1, Q4_1_BYTES, key, query, d // BLOCK)


@inline
def _with_q5_0(query: int, key: int, d: int) -> Any:
    return dot(KIND_Q5_0, Q5_0_BYTES, key, query, d // BLOCK)


@inline
def _with_q5_1(query: int, key: int, d: int) -> Any:
    return dot(KIND_Q5_1, Q5_1_BYTES, key, query, d // BLOCK)


@inline
def _with_q8_0(query: int, key: int, d: int) -> Any:
    return dot(KIND_Q8_0, Q8_0_BYTES, key, query, d // BLOCK)


@inline
def _each(product: Any, to: int, query: int, key: int, gap: int, shape: Any) -> None:
    keys, d = shape
    for j in range(keys):
        store_f32(to + F32 * j, product(query, key + gap * j, d))


@plain
def multiplied(to: int, query: int, key: int, gap: int, shape: Any, kind: int) -> None:
    """to (keys,) float32 = products of the prepared query with keys of `kind`, `gap` bytes apart; shape: (keys, d)"""
    if kind == KIND_F16:
        _each(_with_f16, to, query, key, gap, shape)
    elif kind == KIND_F32:
        _each(_with_f32, to, query, key, gap, shape)
    elif kind == KIND_BF16:
        _each(_with_bf16, to, query, key, gap, shape)
    elif kind == KIND_Q8_0:
        _each(_with_q8_0, to, query, key, gap, shape)
    elif kind == KIND_Q4_0:
        _each(_with_q4_0, to, query, key, gap, shape)
    elif kind == KIND_Q4_1:
        _each(_with_q4_1, to, query, key, gap, shape)
    elif kind == KIND_Q5_0:
        _each(_with_q5_0, to, query, key, gap, shape)
    else:
        _each(_with_q5_1, to, query, key, gap, shape)
