"""ROPE: pairs of channels turned by an angle that grows with the position and falls with the channel; and YaRN.

Rules of this file:
- Modes NORMAL (neighbours are a pair) and NEOX (a channel and the one half the turned width further on). The modes
  with sections are to be refused before a step is made.
- A unit of work is a token. Its cosines and sines are made once, for all heads, in scratch: `n_dims` float32, the
  cosines of all pairs and then their sines. F16 needs `n_dims` more, in which a head is turned as float32.
- Results have the bits of ggml's CPU backend, compiled for AVX512: what follows is quantised to 8 bits, and a last bit
  that falls on the other side of a half there becomes another text. So angles are float32, each frequency the one
  before times a ratio, and their functions those of the C library. Of the four products of a pair two are fused with
  the addition, but for the last half mod 4 pairs of an F32 head in mode NORMAL.
- dst may be src0.

Unsatisfying: at position p an angle is wrong by about p * 2^-24 radians, and more with each pair (tolerance.py).
"""

import math
from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.lanes import (
    even_lanes,
    fma_f32,
    fma_f32x16,
    fms_f32x16,
    high_pairs,
    load_f32x16,
    low_pairs,
    mul_f32x16,
    odd_lanes,
    store_f32x16,
)
from refimpl.kernels.cpu.libm import cosf, logf, powf, sinf
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

FUSED_TOGETHER = 4
"""pairs of neighbours in the shortest vector of ggml's F32 loop; up to three behind them are turned one by one"""
ZERO, ONE, TWO, PI = np.float32(0), np.float32(1), np.float32(2), np.float32(math.pi)
NARROWEST_RAMP, YARN_MAGNITUDE = np.float32(0.001), np.float32(0.1)


@plain
def _pair_with(step: int, turns: Any) -> Any:
    """The pair, as a real number, that makes so many turns within the context of the training."""
    context, n_dims = np.float32(whole_param(step, N_CTX_ORIG)), np.float32(whole_param(step, N_DIMS))
    return n_dims * logf(context / (turns * TWO * PI)) / (TWO * logf(real_param(step, FREQ_BASE)))


@plain
def _ramp_edges(step: int) -> Any:
    """The pairs between which YaRN goes from extrapolation to interpolation; infinite without a context."""
    low = np.floor(_pair_with(step, real_param(step, BETA_FAST)))
    high = np.ceil(_pair_with(step, real_param(step, BETA_SLOW)))
    return max(ZERO, low), min(np.float32(whole_param(step, N_DIMS) - 1), high)


@inline
def _mixed(interpolated: Any, extrapolated: Any, pair: int, low: Any, high: Any, mixing: Any) -> Any:
    """The angle that YaRN takes between the two."""
    ramp = ONE - min(ONE, max(ZERO, (np.float32(pair) - low) / max(NARROWEST_RAMP, high - low)))
    mix = ramp * mixing
    return fma_f32(interpolated, ONE - mix, extrapolated * mix)


@plain
def _fill(step: int, table: int, position: int) -> None:
    """Cosines and sines of all pairs at a position, times their magnitude."""
    n_dims, factors = whole_param(step, N_DIMS), address(step + SRC2)
    half = n_dims // 2
    scale, mixing = real_param(step, FREQ_SCALE), real_param(step, EXT_FACTOR)
    magnitude, low, high = real_param(step, ATTN_FACTOR), ZERO, ZERO
    if mixing != 0:
        low, high = _ramp_edges(step)
        magnitude *= fma_f32(YARN_MAGNITUDE, logf(ONE / scale), ONE)
    ratio = powf(real_param(step, FREQ_BASE), -TWO / np.float32(n_dims))
    unscaled = np.float32(position)
    for pair in range(half):
        extrapolated = unscaled
        if factors != 0:
            extrapolated = unscaled / f32_at(factors + F32 * pair)
        angle = scale * extrapolated
        if mixing != 0:
            angle = _mixed(angle, extrapolated, pair, low, high, mixing)
        store_f32(table + F32 * pair, cosf(angle) * magnitude)
        store_f32(table + F32 * (half + pair), sinf(angle) * magnitude)
        unscaled *= ratio


@inline
def _turned(a: Any, b: Any, cos: Any, sin: Any) -> Any:
    """Sixteen pairs."""
    return fms_f32x16(a, cos, mul_f32x16(b, sin)), fma_f32x16(a, sin, mul_f32x16(b, cos))


@inline
def _turn_one(out: int, x: int, apart: int, cos: Any, sin: Any, fused: bool) -> Any:
    """The pair at x and `apart` bytes further on."""
    a, b = f32_at(x), f32_at(x + apart)
    first, second = a * cos - b * sin, a * sin + b * cos
    if fused:
        first, second = fma_f32(a, cos, -(b * sin)), fma_f32(a, sin, b * cos)
    store_f32(out, first)
    store_f32(out + apart, second)


@plain
def _turn_halves(out: int, x: int, half: int, table: int) -> None:
    """Pairs of a channel and the one `half` channels further on."""
    apart = F32 * half
    i = 0
    while i + LANES <= half:
        at = F32 * i
        cos, sin = load_f32x16(table + at), load_f32x16(table + apart + at)
        first, second = _turned(load_f32x16(x + at), load_f32x16(x + apart + at), cos, sin)
        store_f32x16(out + at, first)
        store_f32x16(out + apart + at, second)
        i += LANES
    while i < half:
        at = F32 * i
        _turn_one(out + at, x + at, apart, f32_at(table + at), f32_at(table + apart + at), True)
        i += 1


@plain
def _turn_neighbours(out: int, x: int, half: int, fused: int, table: int) -> None:
    """Pairs of a channel and the next; each product of those from `fused` on is rounded."""
    i = 0
    while i + LANES <= half:
        at = F32 * i
        cos, sin = load_f32x16(table + at), load_f32x16(table + F32 * half + at)
        left, right = load_f32x16(x + 2 * at), load_f32x16(x + 2 * at + VECTOR)
        firsts, seconds = _turned(even_lanes(left, right), odd_lanes(left, right), cos, sin)
        store_f32x16(out + 2 * at, low_pairs(firsts, seconds))
        store_f32x16(out + 2 * at + VECTOR, high_pairs(firsts, seconds))
        i += LANES
    while i < half:
        at = F32 * i
        _turn_one(out + 2 * at, x + 2 * at, F32, f32_at(table + at), f32_at(table + F32 * half + at), i < fused)
        i += 1


@plain
def _turn(step: int, out: int, x: int, fused: int, table: int) -> None:
    """n_dims channels in float32; `fused` as for neighbours"""
    half = whole_param(step, N_DIMS) // 2
    if whole_param(step, MODE) == NEOX:
        _turn_halves(out, x, half, table)
    else:
        _turn_neighbours(out, x, half, fused, table)


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
    fused = whole_param(step, N_DIMS) // 2 // FUSED_TOGETHER * FUSED_TOGETHER
    _turn(step, out + F32 * first, x + F32 * first, fused, table)


@plain
def _head_f16(step: int, out: int, x: int, table: int) -> None:
    n_dims, first = whole_param(step, N_DIMS), whole_param(step, N_OFFS)
    wide = table + F32 * n_dims
    _copy_others(step, out, x, F16, move_2)
    widen(wide, x + F16 * first, n_dims)
    _turn(step, wide, wide, n_dims // 2, table)
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
