"""FLASH_ATTN_EXT: `softmax(scale * q . k + slope * mask) @ v`, block by block of keys, nothing as long as the context.

    q F32 (d, n, h, s), k (d, kv, hk, sk), v (dv, kv, hk, sk), mask F16 (kv, >= n, m2, m3), sinks F32 (h)
    -> dst F32 (dv, h, n, s)

Rules of this file:
- A unit of work is up to ROWS rows, as units.py has them.
- A unit goes through the keys in blocks of KEYS. A block is read and computed up to the last vector of keys in which
  any query of the unit sees one: under a causal mask, half of them not at all.
- Scratch does not grow with the number of keys, and rows longer than LONG are worked on few at a time: it stays within
  a small multiple of the operands' rows.
- Few rows of single queries are multiplied with each key as it lies; for more queries the keys of a block are turned
  first, and every sum goes from one term to the next as in ggml, whose bits the results of 64 queries and more have but
  for a soft cap. F16 in whole vectors
  is multiplied where it is kept unless it has to be turned; everything else is widened into scratch first.
- Queries are not rounded to F16; scores, weights and sums are float32.
- extra 0 and 1 are the type numbers of keys and values, which `widened` knows.

Unsatisfying: the keys of one query are not shared among threads, since there is no memory in which they could meet. A
single query keeps no more threads busy than there are heads, and three key heads keep two threads busy three quarters
of the time.
"""

from typing import Any, NamedTuple

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import store_f32x16, zero_f32x16
from refimpl.kernels.cpu.ops.attention.blocks import (
    F32,
    KEYS,
    KEYS_ROW,
    KIND_F16,
    LANES,
    VECTOR,
    WIDE,
    padded,
    scaled,
    turned,
    widened,
)
from refimpl.kernels.cpu.ops.attention.products import Shape, dots_f16, dots_f32, product_f16, product_f32
from refimpl.kernels.cpu.ops.attention.units import Unit, place_of, rows_of_unit
from refimpl.kernels.cpu.ops.attention.weights import (
    RECORD,
    begun,
    capped,
    ended,
    seen,
    shares,
    sized,
    slope_of,
    weighted,
)
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

__all__ = ["flash_attention", "scratch_bytes"]

SCALE, MAX_BIAS, SOFTCAP = 0, 1, 2
KIND_OF_KEYS, KIND_OF_VALUES = 0, 1
ROWS = 64
"""most rows of a unit"""
FEW = 16
"""rows for which it is not worth while to turn keys"""
LONG = 1024
"""elements beyond which rows are LONG_ROWS to a unit and LONG_KEYS to a block"""
LONG_ROWS, LONG_KEYS = 4, 4
OVERHEAD = 2
"""what converting and turning keys costs a unit, in rows of it"""
ONE, ZERO = np.float32(1), np.float32(0)


class _Room(NamedTuple):
    """Where a thread's scratch holds what, and how much at once."""

    rows: int
    keys: int
    records: int
    queries: int
    """(rows, d)"""
    scores: int
    """(rows, KEYS): scores, then weights"""
    sums: int
    """(rows, dv)"""
    widened: int
    """(keys, d), then (keys, dv)"""
    turned: int
    """(d, KEYS); absent if d or dv is beyond LONG"""


@inline
def _room(at: int, d: int, dv: int) -> Any:
    rows, keys = (ROWS, KEYS) if max(d, dv) <= LONG else (LONG_ROWS, LONG_KEYS)
    queries = at + rows * RECORD
    scores = queries + rows * F32 * padded(d)
    sums = scores + rows * KEYS_ROW
    wide = sums + rows * F32 * padded(dv)
    return _Room(rows, keys, at, queries, scores, sums, wide, wide + keys * F32 * padded(max(d, dv)))


def scratch_bytes(d: int, dv: int, keys: int) -> int:
    """Bytes of scratch for one thread, for rows of d and dv elements; the number of keys does not matter."""
    rows, block, across = (ROWS, KEYS, d) if max(d, dv) <= LONG else (LONG_ROWS, LONG_KEYS, 0)
    d, dv, across = (-(-n // 16) * 16 for n in (d, dv, across))
    return rows * (RECORD + F32 * (d + KEYS + dv)) + F32 * (block * max(d, dv) + KEYS * across)


@plain
def _begin(step: int, room: _Room, unit: Unit) -> None:
    """Queries side by side, records and sums before the first key."""
    q, mask, d = step + SRC0, step + SRC3, extent(step + SRC0, 0)
    heads = extent(q, 2)
    for r in range(unit.rows):
        n, head = place_of(step, unit, r)
        to = room.queries + F32 * padded(d) * r
        if d % 16 != 0:
            store_f32x16(to + F32 * padded(d) - VECTOR, zero_f32x16())
        scaled(to, row(q, n, head, unit.sequence), d, ONE)
        hides = 0
        if address(mask) != 0:
            hides = row(mask, n, head % extent(mask, 2), unit.sequence % extent(mask, 3))
        begun(room.records + RECORD * r, hides, slope_of(real_param(step, MAX_BIAS), head, heads))
    across = F32 * padded(extent(step + DST, 0))
    for i in range(0, across * ((unit.rows + 3) // 4 * 4), VECTOR):
        store_f32x16(room.sums + i, zero_f32x16())


@plain
def _score(step: int, room: _Room, rows: int, keys: int, at: int) -> None:
    """room.scores (rows, keys) = queries (rows, d) @ keys (keys, d) turned, the first of which lies at `at`"""
    d, gap, kind = extent(step + SRC1, 0), stride(step + SRC1, 1), extra(step, KIND_OF_KEYS)
    across = F32 * padded(d)
    few = rows <= FEW and (extent(step + SRC0, 1) == 1 or d > LONG)
    if few and kind == KIND_F16 and d % LANES == 0:
        dots_f16(room.scores, room.queries, at, Shape(rows, d, keys, across, gap, KEYS_ROW, 0))
    else:
        widened(room.widened, at, gap, keys, d, kind)
        if few:
            dots_f32(room.scores, room.queries, room.widened, Shape(rows, d, keys, across, across, KEYS_ROW, 0))
        else:
            turned(room.turned, room.widened, keys, d)
            columns = LANES if keys <= LANES else (keys + WIDE - 1) // WIDE * WIDE
            shape = Shape(rows, d, columns, across, KEYS_ROW, KEYS_ROW, 0)
            product_f32(room.scores, room.queries, room.turned, shape)
    cap = real_param(step, SOFTCAP)
    sized(room.scores, rows, keys, real_param(step, SCALE) / (ONE if cap == ZERO else cap))
    if cap != ZERO:
        capped(room.scores, rows, keys, cap)


@plain
def _add_up(step: int, room: _Room, rows: int, keys: int, at: int) -> None:
    """room.sums (rows, dv) += weights (rows, keys) @ values (keys, dv), the first of which lies at `at`"""
    dv, gap, kind = extent(step + SRC2, 0), stride(step + SRC2, 1), extra(step, KIND_OF_VALUES)
    across = F32 * padded(dv)
    if kind == KIND_F16 and dv % LANES == 0:
        product_f16(room.sums, room.scores, at, Shape(rows, keys, dv, KEYS_ROW, gap, across, 1))
    else:
        widened(room.widened, at, gap, keys, dv, kind)
        shape = Shape(rows, keys, padded(dv), KEYS_ROW, across, across, 1)
        product_f32(room.sums, room.scores, room.widened, shape)


@plain
def _attend(step: int, room: _Room, unit: Unit) -> None:
    """All keys, block by block."""
    k, v, rows = step + SRC1, step + SRC2, unit.rows
    across = padded(extent(v, 0))
    sequence = unit.sequence // (extent(step + SRC0, 3) // extent(k, 3))
    _begin(step, room, unit)
    for start in range(0, extent(k, 1), room.keys):
        keys = seen(room.records, rows, start, min(room.keys, extent(k, 1) - start))
        if keys == 0:
            continue
        _score(step, room, rows, keys, row(k, start, unit.head, sequence))
        for r in range(rows):
            factor = weighted(room.scores + KEYS_ROW * r, keys, room.records + RECORD * r, start)
            if factor != ONE:
                sums = room.sums + F32 * across * r
                scaled(sums, sums, across, factor)
        _add_up(step, room, rows, keys, row(v, start, unit.head, sequence))


@plain
def _finish(step: int, room: _Room, unit: Unit) -> None:
    """The sums by their weights to the result; zeros for a query that saw no key."""
    dv = extent(step + DST, 0)
    for r in range(unit.rows):
        n, head = place_of(step, unit, r)
        top, total = ended(room.records + RECORD * r)
        before, share = shares(step, head, top, total)
        sums = room.sums + F32 * padded(dv) * r
        if before != ONE:
            scaled(sums, sums, dv, before)
        scaled(row(step + DST, head, n, unit.sequence), sums, dv, share)


@kernel
def flash_attention(step: int, worker: int) -> None:
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
