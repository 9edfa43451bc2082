"""ROPE: pairs of channels turned by an angle that grows with the position and falls with the channel; and YaRN.

Rules of this file:
- Modes NORMAL (neighbours are a pair) and NEOX (a channel and the one half the turned width further on). The modes
  with sections are to be refused before a step is made.
- A unit of work is a token. Its cosines and sines are made once, for all heads, in scratch: `n_dims` float32, the
  cosines of all pairs and then their sines. F16 needs `n_dims` more, in which a head is turned as float32.
- Angles are float64, as positions times a frequency would lose their fraction in float32.
- dst may be src0.
"""

import math
from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import (
    even_lanes,
    fma_f32x16,
    high_pairs,
    load_f32x16,
    low_pairs,
    mul_f32x16,
    odd_lanes,
    store_f32x16,
    sub_f32x16,
)
from refimpl.kernels.cpu.moves import move_2, move_4, narrow, widen
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    SRC2,
    address,
    chunk_of,
    claim,
    extent,
    real_param,
    row,
    scratch,
    whole_param,
)
from refimpl.kernels.cpu.words import f32_at, i32_at, store_f32

__all__ = ["rope_f16", "rope_f32"]

F16, F32, I32 = 2, 4, 4
LANES = 16
VECTOR = F32 * LANES
NEOX = 2
"""the mode, as in spec.names.RopeMode, which the hash of compiled sources does not see"""

N_DIMS, MODE, N_CTX_ORIG = 1, 2, 4
FREQ_BASE, FREQ_SCALE, EXT_FACTOR, ATTN_FACTOR, BETA_FAST, BETA_SLOW = 5, 6, 7, 8, 9, 10
N_OFFS = 15

TURN = 2 * math.pi
NARROWEST_RAMP = 0.001
YARN_MAGNITUDE = 0.1


@plain
def _pair_with(step: int, turns: float) -> Any:
    """The pair, as a real number, that makes so many turns within the context of the training."""
    context, base = whole_param(step, N_CTX_ORIG), float(real_param(step, FREQ_BASE))
    return whole_param(step, N_DIMS) * math.log(context / (turns * TURN)) / (2 * math.log(base))


@plain
def _ramp_edges(step: int) -> Any:
    """The pairs between which YaRN goes from extrapolation to interpolation."""
    low = np.floor(_pair_with(step, float(real_param(step, BETA_FAST))))
    high = np.ceil(_pair_with(step, float(real_param(step, BETA_SLOW))))
    return max(0.0, low), min(whole_param(step, N_DIMS) - 1.0, high)


@plain
def _fill(step: int, table: int, position: int) -> None:
    """Cosines and sines of all pairs at a position, times their magnitude."""
    n_dims, factors = whole_param(step, N_DIMS), address(step + SRC2)
    half = n_dims // 2
    scale, mixing = float(real_param(step, FREQ_SCALE)), float(real_param(step, EXT_FACTOR))
    magnitude, low, high = float(real_param(step, ATTN_FACTOR)), 0.0, 0.0
    if mixing != 0:
        low, high = _ramp_edges(step)
        magnitude *= 1 + YARN_MAGNITUDE * math.log(1 / scale)
    ratio = float(real_param(step, FREQ_BASE)) ** (-2.0 / n_dims)
    extrapolated = float(position)
    for pair in range(half):
        turned = extrapolated
        if factors != 0:
            turned /= f32_at(factors + F32 * pair)
        angle = scale * turned
        if mixing != 0:
            mix = mixing * (1 - min(1.0, max(0.0, (pair - low) / max(NARROWEST_RAMP, high - low))))
            angle = angle * (1 - mix) + turned * mix
        store_f32(table + F32 * pair, np.float32(math.cos(angle) * magnitude))
        store_f32(table + F32 * (half + pair), np.float32(math.sin(angle) * magnitude))
        extrapolated *= ratio


@plain
def _turn_one(out: int, x: int, apart: int, cos: Any, sin: Any) -> None:
    """The pair at x and `apart` bytes further on."""
    a, b = f32_at(x), f32_at(x + apart)
    store_f32(out, a * cos - b * sin)
    store_f32(out + apart, a * sin + b * cos)


@plain
def _turn_halves(out: int, x: int, half: int, table: int) -> None:
    """Pairs of a channel and the one `half` channels further on."""
    apart = F32 * half
    i = 0
    while i + LANES <= half:
        at = F32 * i
        cos, sin = load_f32x16(table + at), load_f32x16(table + apart + at)
        a, b = load_f32x16(x + at), load_f32x16(x + apart + at)
        store_f32x16(out + at, sub_f32x16(mul_f32x16(a, cos), mul_f32x16(b, sin)))
        store_f32x16(out + apart + at, fma_f32x16(a, sin, mul_f32x16(b, cos)))
        i += LANES
    while i < half:
        at = F32 * i
        _turn_one(out + at, x + at, apart, f32_at(table + at), f32_at(table + apart + at))
        i += 1


@plain
def _turn_neighbours(out: int, x: int, half: int, table: int) -> None:
    """Pairs of a channel and the next."""
    i = 0
    while i + LANES <= half:
        at = F32 * i
        cos, sin = load_f32x16(table + at), load_f32x16(table + F32 * half + at)
        left, right = load_f32x16(x + 2 * at), load_f32x16(x + 2 * at + VECTOR)
        a, b = even_lanes(left, right), odd_lanes(left, right)
        firsts = sub_f32x16(mul_f32x16(a, cos), mul_f32x16(b, sin))
        seconds = fma_f32x16(a, sin, mul_f32x16(b, cos))
        store_f32x16(out + 2 * at, low_pairs(firsts, seconds))
        store_f32x16(out + 2 * at + VECTOR, high_pairs(firsts, seconds))
        i += LANES
    while i < half:
        at = F32 * i
        _turn_one(out + 2 * at, x + 2 * at, F32, f32_at(table + at), f32_at(table + F32 * half + at))
        i += 1


@plain
def _turn(step: int, out: int, x: int, table: int) -> None:
    """n_dims channels in float32"""
    half = whole_param(step, N_DIMS) // 2
    if whole_param(step, MODE) == NEOX:
        _turn_halves(out, x, half, table)
    else:
        _turn_neighbours(out, x, half, table)


@inline
def _copy_others(step: int, out: int, x: int, size: int, move: Any) -> Any:
    """Channels before and behind those that turn; `size` is the bytes of one."""
    if out != x:
        first = whole_param(step, N_OFFS)
        last = first + whole_param(step, N_DIMS)
        move(out, x, first)
        move(out + size * last, x + size * last, extent(step + DST, 0) - last)


@plain
def _head_f32(step: int, out: int, x: int, table: int) -> None:
    first = whole_param(step, N_OFFS)
    _copy_others(step, out, x, F32, move_4)
    _turn(step, out + F32 * first, x + F32 * first, table)


@plain
def _head_f16(step: int, out: int, x: int, table: int) -> None:
    n_dims, first = whole_param(step, N_DIMS), whole_param(step, N_OFFS)
    wide = table + F32 * n_dims
    _copy_others(step, out, x, F16, move_2)
    widen(wide, x + F16 * first, n_dims)
    _turn(step, wide, wide, table)
    narrow(out + F16 * first, wide, n_dims)


@inline
def _rope(step: int, worker: int, head: Any) -> Any:
    heads, tokens = extent(step + DST, 1), extent(step + DST, 2)
    positions, table = address(step + SRC1), scratch(worker)
    units = tokens * extent(step + DST, 3)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i2, i3 = number % tokens, number // tokens
            _fill(step, table, i32_at(positions + I32 * i2))
            for i1 in range(heads):
                head(step, row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3), table)
        start = claim(step, worker, chunk)


@kernel
def rope_f32(step: int, worker: int) -> None:
    """Scratch: 4 * n_dims bytes."""
    _rope(step, worker, _head_f32)


@kernel
def rope_f16(step: int, worker: int) -> None:
    """Scratch: 8 * n_dims bytes."""
    _rope(step, worker, _head_f16)
