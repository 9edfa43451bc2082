"""From scores to weights: mask, soft cap, and a softmax that goes on from block to block of keys.

For each query a unit keeps a record in scratch: where its row of the mask lies, the largest score so far (`top`) and
the sum of all e^(score - top) so far. When a block has a larger score, what was summed so far shrinks by a factor.

A sink is a score without a key that takes its part at the end. While all keys are hidden the top is -inf and the total
0.

The operations are those of ggml's tiles, in their order, and the results have its bits: the sum of weights is made of
float32 sums of sixteen, added up in float64 for a block of keys; a score is scaled, capped and masked, and rounded each
time.

Unsatisfying: a NaN in a mask is passed over if the keys around it are hidden from all queries of the unit.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, plain
from refimpl.kernels.cpu.lanes import (
    abs_f32x16,
    add_f32x16,
    div_f32x16,
    exp_f32x16,
    fma_f32x16,
    largest_f32x16,
    load_f16x16,
    load_f32x16,
    max_f32x16,
    mul_f32x16,
    splat_f32x16,
    store_f32x16,
    sub_f32x16,
    total_f32x16,
    widen_f16x16,
    zero_below,
)
from refimpl.kernels.cpu.libm import expf, powf
from refimpl.kernels.cpu.ops.attention.blocks import F16, F32, KEYS_ROW, LANES
from refimpl.kernels.cpu.step import SRC4, address, stride
from refimpl.kernels.cpu.words import f16_at, f32_at, i64_at, store_f32, store_i64

__all__ = ["RECORD", "begun", "capped", "ended", "seen", "shares", "sized", "slope_of", "weighted"]

MASK, SLOPE, TOP, TOTAL = 0, 8, 12, 16
"""bytes of a record: address of the mask's row or 0, factor of the mask, largest score, sum of weights"""
RECORD = 32
HIDDEN = np.float32(-np.inf)
ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)
FAR = np.float32(0.625)
BELOW_FAR = np.nextafter(FAR, ZERO)
T5, T4, T3 = np.float32(-5.70498872745e-3), np.float32(2.06390887954e-2), np.float32(-5.37397155531e-2)
T2, T1 = np.float32(1.33314422036e-1), np.float32(-3.33332819422e-1)
"""coefficients of (tanh x / x - 1) / x^2 for |x| < FAR"""


@inline
def begun(record: int, mask: int, slope: float) -> None:
    """The record of a query that has met no keys."""
    store_i64(record + MASK, mask)
    store_f32(record + SLOPE, slope)
    store_f32(record + TOP, HIDDEN)
    store_f32(record + TOTAL, ZERO)


@inline
def ended(record: int) -> Any:
    """(largest score, sum of weights) of a query that has met all keys."""
    return f32_at(record + TOP), f32_at(record + TOTAL)


@plain
def slope_of(max_bias: float, head: int, heads: int) -> Any:
    """ALiBi: what the mask is multiplied with for one of the heads; 1 without a bias. Each power is rounded."""
    if max_bias <= ZERO:
        return ONE
    turn = 1
    while 2 * turn <= heads:
        turn *= 2
    if head < turn:
        return powf(powf(TWO, -max_bias / np.float32(turn)), np.float32(head + 1))
    return powf(powf(TWO, -(max_bias / TWO) / np.float32(turn)), np.float32(2 * (head - turn) + 1))


@plain
def shares(step: int, head: int, top: Any, total: Any) -> Any:
    """What the sum of values is multiplied with once a sink has had its part; (before, at the end)."""
    before = ONE
    if address(step + SRC4) != 0:
        sink = f32_at(address(step + SRC4) + stride(step + SRC4, 0) * head)
        weight = ONE
        if sink > top:
            before = expf(top - sink)
        else:
            weight = expf(sink - top)
        total = total * before + weight
    return before, ZERO if total == ZERO else ONE / total


@inline
def _any_seen(mask: int, n: int) -> Any:
    """Whether one of up to 16 keys is not hidden."""
    if n >= LANES:
        return largest_f32x16(widen_f16x16(load_f16x16(mask))) != HIDDEN
    found = False
    for i in range(n):
        found = found or f16_at(mask + F16 * i) != HIDDEN
    return found


@plain
def seen(records: int, rows: int, start: int, keys: int) -> Any:
    """How many of the `keys` keys from `start` on there are up to the last vector in which any query sees one."""
    if i64_at(records + MASK) == 0:
        return keys
    while keys > 0:
        begin = (keys - 1) // LANES * LANES
        before = 0
        for r in range(rows):
            mask = i64_at(records + RECORD * r + MASK)
            if mask != before and _any_seen(mask + F16 * (start + begin), keys - begin):
                return keys
            before = mask
        keys = begin
    return keys


@inline
def _tanh(x: Any) -> Any:
    """Within a few units of the last place also near 0, where 1 - 2 / (e^2x + 1) would cancel."""
    size, square = abs_f32x16(x), mul_f32x16(x, x)
    p = splat_f32x16(T5)
    p = fma_f32x16(p, square, splat_f32x16(T4))
    p = fma_f32x16(p, square, splat_f32x16(T3))
    p = fma_f32x16(p, square, splat_f32x16(T2))
    p = fma_f32x16(p, square, splat_f32x16(T1))
    near = fma_f32x16(mul_f32x16(p, square), x, x)
    power = exp_f32x16(add_f32x16(x, x))
    far = sub_f32x16(splat_f32x16(ONE), div_f32x16(splat_f32x16(TWO), add_f32x16(power, splat_f32x16(ONE))))
    near = zero_below(mul_f32x16(size, splat_f32x16(-ONE)), splat_f32x16(-BELOW_FAR), near)
    return add_f32x16(near, zero_below(size, splat_f32x16(FAR), far))


@plain
def sized(scores: int, rows: int, keys: int, scale: float) -> None:
    """scores (rows, keys) *= scale"""
    scales = splat_f32x16(scale)
    for r in range(rows):
        for i in range(0, keys, LANES):
            at = scores + KEYS_ROW * r + F32 * i
            store_f32x16(at, mul_f32x16(load_f32x16(at), scales))


@plain
def capped(scores: int, rows: int, keys: int, cap: float) -> None:
    """scores (rows, keys) = cap * tanh(scores)"""
    caps = splat_f32x16(cap)
    for r in range(rows):
        for i in range(0, keys, LANES):
            at = scores + KEYS_ROW * r + F32 * i
            store_f32x16(at, mul_f32x16(caps, _tanh(load_f32x16(at))))


@inline
def _biased(scores: int, keys: int, mask: int, slope: float) -> Any:
    """Add slope * mask (keys,) and hide what lies behind the last key; -> the largest score"""
    slopes, top = splat_f32x16(slope), splat_f32x16(HIDDEN)
    i = 0
    while i + LANES <= keys:
        x = load_f32x16(scores + F32 * i)
        if mask != 0:
            x = add_f32x16(x, mul_f32x16(slopes, widen_f16x16(load_f16x16(mask + F16 * i))))
            store_f32x16(scores + F32 * i, x)
        top = max_f32x16(x, top)
        i += LANES
    if i < keys:
        for k in range(i, i + LANES):
            at = scores + F32 * k
            if k >= keys:
                store_f32(at, HIDDEN)
            elif mask != 0:
                store_f32(at, f32_at(at) + slope * f16_at(mask + F16 * k))
        top = max_f32x16(load_f32x16(scores + F32 * i), top)
    return largest_f32x16(top)


@plain
def weighted(scores: int, keys: int, record: int, start: int) -> Any:
    """The scores of one query with `keys` keys from `start` on become weights; -> factor of what was summed before"""
    mask, top = i64_at(record + MASK), f32_at(record + TOP)
    if mask != 0:
        mask += F16 * start
    risen = max(top, _biased(scores, keys, mask, f32_at(record + SLOPE)))
    base = ZERO if risen == HIDDEN else risen
    bases, gained = splat_f32x16(base), 0.0
    for i in range(0, keys, LANES):
        weight = exp_f32x16(sub_f32x16(load_f32x16(scores + F32 * i), bases))
        store_f32x16(scores + F32 * i, weight)
        gained += np.float64(total_f32x16(weight))
    factor, total = ONE, f32_at(record + TOTAL)
    if risen != top:
        factor = expf(top - base)
        total *= factor
    store_f32(record + TOP, risen)
    store_f32(record + TOTAL, np.float32(np.float64(total) + gained))
    return factor
