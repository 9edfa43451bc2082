"""FLASH_ATTN_EXT of few queries over F16 keys and values: one key after the other, the sum of values kept in F16.

    q F32 (d, n, h, s), k (d, kv, hk, sk), v (dv, kv, hk, sk), mask F16 (kv, >= n, m2, m3), sinks F32 (h)
    -> dst F32 (dv, h, n, s)

Attention has two kernels because ggml's CPU backend has two ways, and a text made over nodes must be the one that
ggml makes alone: activations are quantised anew in every layer, so that another rounding soon makes another token.
With fewer than FEW_QUERIES queries it meets the keys one by one and rounds the running sum of values to F16 after
each; here are the same operations in the same order, and the same bits come out. With a single query of SPLIT_KEYS
keys or more its result depends on its number of threads, so that there is nothing to be equal to; that case and all
with many queries belong to attention.py, which is faster and rounds nothing.

Rules of this file:
- A unit of work is one query of one head. First come the weights of all keys that it sees, each with what the sum
  shrinks by before the key is added; then the values, up to 64 channels at a time, which stay in registers.
- Scratch: the query, rounded to F16, and a record for each key (`scratch_bytes`).
"""

from typing import Any

import numpy as np
from numba import types

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import (
    add_f32x16,
    fma_f32x16,
    load_f16x16,
    load_f32x16,
    mul_f32x16,
    narrow_f32x16,
    splat_f32x16,
    store_f32x16,
    total_f32x16,
    widen_f16x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.ops.attention_weights import slope_of
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    SRC2,
    SRC3,
    SRC4,
    address,
    chunk_of,
    claim,
    extent,
    real_param,
    row,
    scratch,
    stride,
)
from refimpl.kernels.cpu.words import f16_at, f32_at, fused, i64_at, rounded_to_f16, store_f32, store_i64

__all__ = ["FEW_QUERIES", "SPLIT_KEYS", "flash_attention_halves", "scratch_bytes"]

FEW_QUERIES, SPLIT_KEYS = 64, 512
SCALE, MAX_BIAS, SOFTCAP = 0, 1, 2
F16, F32, LANES = 2, 4, 16
PIECE = 4 * LANES
"""channels of a key that are multiplied side by side in four vectors"""
RECORD, SHRINK, WEIGHT, WHERE = 16, 0, 4, 8
"""bytes of a key's record: what the sum shrinks by, the key's weight, address of its row of values"""
HIDDEN, ZERO, ONE = np.float32(-np.inf), np.float32(0), np.float32(1)

exp = types.ExternalFunction("expf", types.float32(types.float32))
tanh = types.ExternalFunction("tanhf", types.float32(types.float32))
"""the C library's, which ggml calls too"""


def scratch_bytes(d: int, keys: int) -> int:
    """Bytes of scratch for one thread."""
    return -(-F32 * d // 64) * 64 + RECORD * keys


@plain
def _dot(query: int, key: int, d: int) -> Any:
    """Query (d,) F32 . key (d,) F16, four vectors of sums side by side; what is left over is added up in float64."""
    s0 = s1 = s2 = s3 = zero_f32x16()
    whole = d - d % PIECE
    for i in range(0, whole, PIECE):
        a, b = query + F32 * i, key + F16 * i
        s0 = fma_f32x16(widen_f16x16(load_f16x16(b)), load_f32x16(a), s0)
        s1 = fma_f32x16(widen_f16x16(load_f16x16(b + 32)), load_f32x16(a + 64), s1)
        s2 = fma_f32x16(widen_f16x16(load_f16x16(b + 64)), load_f32x16(a + 128), s2)
        s3 = fma_f32x16(widen_f16x16(load_f16x16(b + 96)), load_f32x16(a + 192), s3)
    total = np.float64(total_f32x16(add_f32x16(add_f32x16(s0, s2), add_f32x16(s1, s3))))
    for i in range(whole, d):
        total += np.float64(f32_at(query + F32 * i) * f16_at(key + F16 * i))
    return np.float32(total)


@plain
def _weigh(step: int, query: int, records: int, unit: Any) -> Any:
    """A record for each key that the query (n, head, sequence) sees: (how many, largest score, sum of weights)."""
    n, head, sequence = unit
    q, k, v, mask = step + SRC0, step + SRC1, step + SRC2, step + SRC3
    key_head, key_sequence = head // (extent(q, 2) // extent(k, 2)), sequence // (extent(q, 3) // extent(k, 3))
    cap, slope = real_param(step, SOFTCAP), slope_of(real_param(step, MAX_BIAS), head, extent(q, 2))
    scale = real_param(step, SCALE) / (ONE if cap == ZERO else cap)
    hides = 0
    if address(mask) != 0:
        hides = row(mask, n, head % extent(mask, 2), sequence % extent(mask, 3))
    top, total, record = HIDDEN, ZERO, records
    for j in range(extent(k, 1)):
        bias = slope * f16_at(hides + F16 * j) if hides != 0 else ZERO
        if bias == HIDDEN:
            continue
        score = _dot(query, row(k, j, key_head, key_sequence), extent(k, 0)) * scale
        if cap != ZERO:
            score = cap * tanh(score)
        score += bias
        shrink, weight = ONE, ONE
        if score > top:
            shrink, top = exp(top - score), score
        else:
            weight = exp(score - top)
        total = fused(total, shrink, weight)
        store_f32(record + SHRINK, shrink)
        store_f32(record + WEIGHT, weight)
        store_i64(record + WHERE, row(v, j, key_head, key_sequence))
        record += RECORD
    return (record - records) // RECORD, top, total


@inline
def _rounded(x: Any) -> Any:
    return widen_f16x16(narrow_f32x16(x))


@inline
def _gained(sums: Any, value: int, shrink: Any, weight: Any) -> Any:
    """16 channels of the sum after one more key."""
    return _rounded(fma_f32x16(widen_f16x16(load_f16x16(value)), weight, _rounded(mul_f32x16(sums, shrink))))


@plain
def _add_piece(out: int, records: int, count: int, offset: int, share: float) -> None:
    """64 channels of the result from byte `offset` of the values on."""
    s0 = s1 = s2 = s3 = zero_f32x16()
    for record in range(records, records + RECORD * count, RECORD):
        value = i64_at(record + WHERE) + offset
        shrink, weight = splat_f32x16(f32_at(record + SHRINK)), splat_f32x16(f32_at(record + WEIGHT))
        s0 = _gained(s0, value, shrink, weight)
        s1 = _gained(s1, value + 32, shrink, weight)
        s2 = _gained(s2, value + 64, shrink, weight)
        s3 = _gained(s3, value + 96, shrink, weight)
    factor = splat_f32x16(share)
    store_f32x16(out, mul_f32x16(s0, factor))
    store_f32x16(out + 64, mul_f32x16(s1, factor))
    store_f32x16(out + 128, mul_f32x16(s2, factor))
    store_f32x16(out + 192, mul_f32x16(s3, factor))


@plain
def _add_channel(out: int, records: int, count: int, offset: int, share: float) -> None:
    """One channel of the result."""
    total = ZERO
    for record in range(records, records + RECORD * count, RECORD):
        shrunk = rounded_to_f16(total * f32_at(record + SHRINK))
        total = rounded_to_f16(fused(f16_at(i64_at(record + WHERE) + offset), f32_at(record + WEIGHT), shrunk))
    store_f32(out, total * share)


@inline
def _share(step: int, head: int, top: float, total: float) -> Any:
    """What the sum of values is multiplied with in the end, after a sink has had its part; (before, at the end)."""
    before = ONE
    if address(step + SRC4) != 0:
        sink = f32_at(address(step + SRC4) + stride(step + SRC4, 0) * head)
        weight = ONE
        if sink > top:
            before = exp(top - sink)
        else:
            weight = exp(sink - top)
        total = fused(total, before, weight)
    return before, ZERO if total == ZERO else ONE / total


@plain
def _attend(step: int, room: int, unit: Any) -> None:
    n, head, sequence = unit
    q, d, dv = step + SRC0, extent(step + SRC0, 0), extent(step + DST, 0)
    source = row(q, n, head, sequence)
    for i in range(d):
        store_f32(room + F32 * i, rounded_to_f16(f32_at(source + F32 * i)))
    records = room + (F32 * d + 63) // 64 * 64
    count, top, total = _weigh(step, room, records, unit)
    before, share = _share(step, head, top, total)
    out = row(step + DST, head, n, sequence)
    whole = dv - dv % PIECE
    for i in range(0, whole, PIECE):
        _add_piece(out + F32 * i, records, count, F16 * i, before)
    for i in range(whole, dv):
        _add_channel(out + F32 * i, records, count, F16 * i, before)
    for i in range(dv):
        store_f32(out + F32 * i, f32_at(out + F32 * i) * share)


@kernel
def flash_attention_halves(step: int, worker: int) -> None:
    """dst = attention of src0 to src1 and src2, both F16, masked by src3, with sinks src4"""
    q = step + SRC0
    queries, heads = extent(q, 1), extent(q, 2)
    units = queries * heads * extent(q, 3)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            n, rest = number % queries, number // queries
            _attend(step, scratch(worker), (n, rest % heads, rest // heads))
        start = claim(step, worker, chunk)
