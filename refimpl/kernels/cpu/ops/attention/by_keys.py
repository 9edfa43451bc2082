"""FLASH_ATTN_EXT one key after the other, as ggml does it: with its rounding, and therefore its bits.

    q F32 (d, n, h, s), k (d, kv, hk, sk), v (dv, kv, hk, sk), mask F16 (kv, >= n, m2, m3), sinks F32 (h)
    -> dst F32 (dv, h, n, s)

Attention has two kernels because ggml's CPU backend has two ways, and a text made over nodes must be the one that
ggml makes alone: activations are quantised anew in every layer, so that another rounding soon makes another token.
ggml meets the keys one by one, with the query in the form that keys of their type are multiplied in (partners.py),
and keeps the running sum of values in F32, or in F16 if the values are F16: rounded when it shrinks under a new largest
score, and again when a value is added. Here are the same operations in the same order. Only where keys and values are
both F32 or both F16 it does otherwise: with FEW_QUERIES queries or more it works on tiles, and with a single query of
SPLIT_KEYS keys or more its result depends on its number of threads, so that there is nothing to be equal to. Those
cases belong to tiled.py, which is faster and rounds nothing.

Rules of this file:
- A unit of work is up to ROWS rows, as units.py has them. It goes through the keys in blocks of KEYS, of which the
  values are widened once for all its rows.
- For each row of a block first come records of the keys that it sees: the key's weight, what the sum shrinks by before
  its value is added, and where that is. Then the sum goes through them, up to 64 channels at a time in registers.
- Scratch does not grow with the number of keys; with rows longer than LONG there are few of them at a time.
- extra 0 and 1 are the type numbers of keys and values.
"""

from typing import Any, NamedTuple

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import (
    fma_f32x16,
    load_f32x16,
    mul_f32x16,
    narrow_f32x16,
    splat_f32x16,
    store_f32x16,
    widen_f16x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.libm import expf, tanhf
from refimpl.kernels.cpu.ops.attention.blocks import F16, F32, KIND_F16, LANES, VECTOR, WIDE, padded, scaled, widened
from refimpl.kernels.cpu.ops.attention.partners import multiplied, prepared, query_bytes
from refimpl.kernels.cpu.ops.attention.units import Unit, place_of, rows_of_unit
from refimpl.kernels.cpu.ops.attention.weights import shares, slope_of
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    SRC2,
    SRC3,
    address,
    claim,
    extent,
    extra,
    real_param,
    row,
    scratch,
    stride,
    threads,
)
from refimpl.kernels.cpu.words import f16_at, f32_at, fused, i64_at, store_f32, store_i64

__all__ = ["FEW_QUERIES", "SPLIT_KEYS", "flash_attention_by_keys", "scratch_bytes"]

FEW_QUERIES, SPLIT_KEYS = 64, 512
SCALE, MAX_BIAS, SOFTCAP = 0, 1, 2
KIND_OF_KEYS, KIND_OF_VALUES = 0, 1
ROWS, KEYS = 16, 64
LONG = 1024
"""elements beyond which there are LONG_ROWS rows to a unit and LONG_KEYS keys to a block"""
LONG_ROWS, LONG_KEYS = 4, 4
OVERHEAD = 1
"""what widening the values costs a unit, in rows of it"""
STATE, TOP, TOTAL, COUNT = 16, 0, 4, 8
"""bytes of a row's state: largest score, sum of weights, number of records of this block"""
RECORD, SHRINK, WEIGHT, WHERE = 16, 0, 4, 8
"""bytes of a key's record: what the sum shrinks by, the key's weight, where its value is"""
HIDDEN, ZERO, ONE = np.float32(-np.inf), np.float32(0), np.float32(1)


class _Room(NamedTuple):
    """Where a thread's scratch holds what, and how much at once."""

    rows: int
    keys: int
    states: int
    queries: int
    """(rows, query_bytes(d))"""
    records: int
    """(rows, keys)"""
    scores: int
    """(keys,)"""
    sums: int
    """(rows, dv)"""
    values: int
    """(keys, dv)"""


@inline
def _room(at: int, d: int, dv: int) -> Any:
    rows, keys = (ROWS, KEYS) if max(d, dv) <= LONG else (LONG_ROWS, LONG_KEYS)
    queries = at + STATE * rows
    records = queries + query_bytes(d) * rows
    scores = records + RECORD * keys * rows
    sums = scores + F32 * padded(keys)
    return _Room(rows, keys, at, queries, records, scores, sums, sums + F32 * padded(dv) * rows)


def scratch_bytes(d: int, dv: int) -> int:
    """Bytes of scratch for one thread, for rows of d and dv elements."""
    rows, keys = (ROWS, KEYS) if max(d, dv) <= LONG else (LONG_ROWS, LONG_KEYS)
    d, dv = -(-d // 16) * 16, -(-dv // 16) * 16
    return rows * (STATE + F32 * (d + dv) + RECORD * keys) + keys * F32 * dv + F32 * KEYS


@plain
def _begin(step: int, room: _Room, unit: Unit) -> None:
    d, across = extent(step + SRC0, 0), F32 * padded(extent(step + DST, 0))
    for r in range(unit.rows):
        n, head = place_of(step, unit, r)
        source = row(step + SRC0, n, head, unit.sequence)
        prepared(room.queries + query_bytes(d) * r, source, d, extra(step, KIND_OF_KEYS))
        store_f32(room.states + STATE * r + TOP, HIDDEN)
        store_f32(room.states + STATE * r + TOTAL, ZERO)
        for i in range(0, across, VECTOR):
            store_f32x16(room.sums + across * r + i, zero_f32x16())


@inline
def _bias(hides: int, slope: float, key: int) -> Any:
    return slope * f16_at(hides + F16 * key) if hides != 0 else ZERO


@plain
def _weigh(step: int, room: _Room, unit: Unit, r: int, start: int, end: int) -> Any:
    """Records of the keys start .. end - 1 that row r sees; -> the first of them, and behind the last"""
    k, mask, across = step + SRC1, step + SRC3, F32 * padded(extent(step + DST, 0))
    n, head = place_of(step, unit, r)
    slope, cap = slope_of(real_param(step, MAX_BIAS), head, extent(step + SRC0, 2)), real_param(step, SOFTCAP)
    scale = real_param(step, SCALE) / (ONE if cap == ZERO else cap)
    hides, first, last = 0, start, end
    if address(mask) != 0:
        hides = row(mask, n, head % extent(mask, 2), unit.sequence % extent(mask, 3))
    while first < last and _bias(hides, slope, first) == HIDDEN:
        first += 1
    while first < last and _bias(hides, slope, last - 1) == HIDDEN:
        last -= 1
    query = room.queries + query_bytes(extent(k, 0)) * r
    key = row(k, first, unit.head, unit.sequence // (extent(step + SRC0, 3) // extent(k, 3)))
    multiplied(room.scores, query, key, stride(k, 1), (last - first, extent(k, 0)), extra(step, KIND_OF_KEYS))
    state, records = room.states + STATE * r, room.records + RECORD * room.keys * r
    top, total, record = f32_at(state + TOP), f32_at(state + TOTAL), records
    for j in range(first, last):
        bias = _bias(hides, slope, j)
        if bias == HIDDEN:
            continue
        score = f32_at(room.scores + F32 * (j - first)) * scale
        score = score + bias if cap == ZERO else cap * tanhf(score) + bias
        shrink, weight = ONE, ONE
        if score > top:
            shrink, top = expf(top - score), score
        else:
            weight = expf(score - top)
        total = fused(total, shrink, weight)
        store_f32(record + SHRINK, shrink)
        store_f32(record + WEIGHT, weight)
        store_i64(record + WHERE, room.values + across * (j - start))
        record += RECORD
    store_f32(state + TOP, top)
    store_f32(state + TOTAL, total)
    store_i64(state + COUNT, (record - records) // RECORD)
    return first, last


@inline
def _rounded(x: Any) -> Any:
    return widen_f16x16(narrow_f32x16(x))


@inline
def _gained(halves: int, sums: Any, value: int, shrink: Any, weight: Any) -> Any:
    """16 channels of the sum after one more key; `halves` is a constant."""
    if halves != 0:
        return _rounded(fma_f32x16(load_f32x16(value), weight, _rounded(mul_f32x16(sums, shrink))))
    return fma_f32x16(load_f32x16(value), weight, mul_f32x16(sums, shrink))


@inline
def _add_piece(halves: int, sums: int, records: int, count: int, offset: int) -> None:
    """64 channels, from byte `offset` of each value on."""
    s0, s1, s2, s3 = load_f32x16(sums), load_f32x16(sums + 64), load_f32x16(sums + 128), load_f32x16(sums + 192)
    for record in range(records, records + RECORD * count, RECORD):
        value = i64_at(record + WHERE) + offset
        shrink, weight = splat_f32x16(f32_at(record + SHRINK)), splat_f32x16(f32_at(record + WEIGHT))
        s0 = _gained(halves, s0, value, shrink, weight)
        s1 = _gained(halves, s1, value + 64, shrink, weight)
        s2 = _gained(halves, s2, value + 128, shrink, weight)
        s3 = _gained(halves, s3, value + 192, shrink, weight)
    store_f32x16(sums, s0)
    store_f32x16(sums + 64, s1)
    store_f32x16(sums + 128, s2)
    store_f32x16(sums + 192, s3)


@inline
def _add_vector(halves: int, sums: int, records: int, count: int, offset: int) -> None:
    """16 channels."""
    s = load_f32x16(sums)
    for record in range(records, records + RECORD * count, RECORD):
        shrink, weight = splat_f32x16(f32_at(record + SHRINK)), splat_f32x16(f32_at(record + WEIGHT))
        s = _gained(halves, s, i64_at(record + WHERE) + offset, shrink, weight)
    store_f32x16(sums, s)


@inline
def _add_up(halves: int, room: _Room, r: int, dv: int) -> None:
    """Row r's sums go through its records; whole vectors, of which the last may hold zeros behind the last channel."""
    sums, records = room.sums + F32 * padded(dv) * r, room.records + RECORD * room.keys * r
    count, i = i64_at(room.states + STATE * r + COUNT), 0
    while i + WIDE <= dv:
        _add_piece(halves, sums + F32 * i, records, count, F32 * i)
        i += WIDE
    while i < dv:
        _add_vector(halves, sums + F32 * i, records, count, F32 * i)
        i += LANES


@plain
def _add_up_f32(room: _Room, r: int, dv: int) -> None:
    _add_up(0, room, r, dv)


@plain
def _add_up_f16(room: _Room, r: int, dv: int) -> None:
    _add_up(1, room, r, dv)


@plain
def _attend(step: int, room: _Room, unit: Unit) -> None:
    """All keys, block by block."""
    v, kind, dv = step + SRC2, extra(step, KIND_OF_VALUES), extent(step + DST, 0)
    keys, sequence = extent(v, 1), unit.sequence // (extent(step + SRC0, 3) // extent(v, 3))
    _begin(step, room, unit)
    for start in range(0, keys, room.keys):
        end = min(keys, start + room.keys)
        first, last = end, start
        for r in range(unit.rows):
            from_, to = _weigh(step, room, unit, r, start, end)
            if from_ < to:
                first, last = min(first, from_), max(last, to)
        if first >= last:
            continue
        into = room.values + F32 * padded(dv) * (first - start)
        widened(into, row(v, first, unit.head, sequence), stride(v, 1), last - first, dv, kind)
        for r in range(unit.rows):
            if kind == KIND_F16:
                _add_up_f16(room, r, dv)
            else:
                _add_up_f32(room, r, dv)


@plain
def _finish(step: int, room: _Room, unit: Unit) -> None:
    """The sums by their weights to the result; zeros for a query that saw no key."""
    dv = extent(step + DST, 0)
    for r in range(unit.rows):
        n, head = place_of(step, unit, r)
        state, sums = room.states + STATE * r, room.sums + F32 * padded(dv) * r
        before, share = shares(step, head, f32_at(state + TOP), f32_at(state + TOTAL))
        if before != ONE:
            scaled(sums, sums, dv, before)
        scaled(row(step + DST, head, n, unit.sequence), sums, dv, share)


@kernel
def flash_attention_by_keys(step: int, worker: int) -> None:
    """dst = attention of src0 to src1 and src2, masked by src3, with sinks src4; extra: types of src1 and src2"""
    q, k = step + SRC0, step + SRC1
    room = _room(scratch(worker), extent(q, 0), extent(step + DST, 0))
    matrices = extent(k, 2) * extent(q, 3)
    rows = extent(q, 1) * (extent(q, 2) // extent(k, 2))
    size = rows_of_unit(room.rows, rows, matrices, threads(worker), OVERHEAD)
    tiles = (rows + size - 1) // size
    number = claim(step, worker, 1)
    while number < matrices * tiles:
        tile, matrix = tiles - 1 - number // matrices, number % matrices  # the last first: a causal mask hides least
        unit = Unit(tile * size, min(size, rows - tile * size), matrix % extent(k, 2), matrix // extent(k, 2))
        _attend(step, room, unit)
        _finish(step, room, unit)
        number = claim(step, worker, 1)
