"""Weights change between their own layout and the packed one, in place, 16 rows at a time (layout.py, k_quants too).

A step's src0 is the whole matrix, without gaps, its rows a multiple of 16. Scratch: 16 rows. Both ways are exact, so
what is unpacked is byte for byte what was packed.
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import flip_signs_32, load_i8x32, load_i8x64, store_i8x32, store_i8x64
from refimpl.kernels.cpu.matmul.fifths import turned, turned_back
from refimpl.kernels.cpu.matmul.k_quants.layout import BLOCK as BLOCK_K
from refimpl.kernels.cpu.matmul.k_quants.layout import Q4_K_BYTES, Q5_K_BYTES, Q6_K_BYTES
from refimpl.kernels.cpu.matmul.layout import (
    BLOCK,
    GROUP,
    HALVES,
    PLANE,
    Q4_0_BYTES,
    Q4_1_BYTES,
    Q5_0_BYTES,
    Q5_1_BYTES,
    Q8_0_BYTES,
)
from refimpl.kernels.cpu.step import SRC0, address, chunk_of, claim, count, extent, scratch
from refimpl.kernels.cpu.words import i8_at, i32_at, store_i8, store_i32

__all__ = [
    "pack_q4_0",
    "pack_q4_1",
    "pack_q4_k",
    "pack_q5_0",
    "pack_q5_1",
    "pack_q5_k",
    "pack_q6_k",
    "pack_q8_0",
    "unpack_q4_0",
    "unpack_q4_1",
    "unpack_q4_k",
    "unpack_q5_0",
    "unpack_q5_1",
    "unpack_q5_k",
    "unpack_q6_k",
    "unpack_q8_0",
]

WORD = 4
SIZE, ELEMENTS, SCALES, SCALES_AT, WORDS_AT, CHANGE = range(6)
"""of a form: bytes and elements of a block, how many F16 it has and where, where its words begin, what is changed"""
NOTHING, SIGNS, FIFTHS = range(3)
Q4_0 = Q4_0_BYTES, BLOCK, 1, 0, 2, NOTHING
Q4_1 = Q4_1_BYTES, BLOCK, 2, 0, 4, NOTHING
Q5_0 = Q5_0_BYTES, BLOCK, 1, 0, 2, FIFTHS
Q5_1 = Q5_1_BYTES, BLOCK, 2, 0, 4, FIFTHS
Q8_0 = Q8_0_BYTES, BLOCK, 1, 0, 2, SIGNS
Q4_K = Q4_K_BYTES, BLOCK_K, 2, 0, 4, NOTHING
Q5_K = Q5_K_BYTES, BLOCK_K, 2, 0, 4, NOTHING
Q6_K = Q6_K_BYTES, BLOCK_K, 1, 208, 0, NOTHING


@inline
def _copy(source: int, target: int, size: int) -> None:
    i = 0
    while i + 64 <= size:
        store_i8x64(target + i, load_i8x64(source + i))
        i += 64
    while i < size:
        store_i8(target + i, i8_at(source + i))
        i += 1


@inline
def _move_half(source: int, target: int) -> None:
    store_i8(target, i8_at(source))
    store_i8(target + 1, i8_at(source + 1))


@inline
def _pack_group(form: Any, rows: int, packed: int, blocks: int) -> None:
    """16 rows of `blocks` blocks to `packed`."""
    for b in range(blocks):
        for r in range(GROUP):
            source = rows + (r * blocks + b) * form[SIZE]
            for h in range(form[SCALES]):
                _move_half(source + form[SCALES_AT] + 2 * h, packed + h * HALVES + 2 * r)
            source += form[WORDS_AT]
            target = packed + form[SCALES] * HALVES + WORD * r
            for j in range((form[SIZE] - 2 * form[SCALES]) // WORD):
                store_i32(target + j * PLANE, i32_at(source + WORD * j))
            if form[CHANGE] == FIFTHS:
                store_i32(target, turned(i32_at(target)))
        packed += GROUP * form[SIZE]


@inline
def _unpack_group(form: Any, packed: int, rows: int, blocks: int) -> None:
    """The way back."""
    for b in range(blocks):
        for r in range(GROUP):
            target = rows + (r * blocks + b) * form[SIZE]
            for h in range(form[SCALES]):
                _move_half(packed + h * HALVES + 2 * r, target + form[SCALES_AT] + 2 * h)
            target += form[WORDS_AT]
            source = packed + form[SCALES] * HALVES + WORD * r
            for j in range((form[SIZE] - 2 * form[SCALES]) // WORD):
                store_i32(target + WORD * j, i32_at(source + j * PLANE))
            if form[CHANGE] == FIFTHS:
                store_i32(target, turned_back(i32_at(target)))
        packed += GROUP * form[SIZE]


@inline
def _flip_group(rows: int, blocks: int) -> None:
    """Flip the sign of every quant of 16 rows of Q8_0."""
    for b in range(GROUP * blocks):
        quants = rows + b * Q8_0_BYTES + 2
        store_i8x32(quants, flip_signs_32(load_i8x32(quants)))


@inline
def _rearrange(form: Any, step: int, worker: int, packing: bool) -> None:
    """All groups, one way or the other; signs are flipped while rows lie in their own layout."""
    blocks = extent(step + SRC0, 0) // form[ELEMENTS]
    group, spare = GROUP * blocks * form[SIZE], scratch(worker)
    units = count(step + SRC0) // GROUP
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            place = address(step + SRC0) + unit * group
            _copy(place, spare, group)
            if packing:
                if form[CHANGE] == SIGNS:
                    _flip_group(spare, blocks)
                _pack_group(form, spare, place, blocks)
            else:
                _unpack_group(form, spare, place, blocks)
                if form[CHANGE] == SIGNS:
                    _flip_group(place, blocks)
        start = claim(step, worker, chunk)


@kernel
def pack_q4_0(step: int, worker: int) -> None:
    """Q4_0, own layout -> packed"""
    _rearrange(Q4_0, step, worker, True)


@kernel
def pack_q4_1(step: int, worker: int) -> None:
    """Q4_1, own layout -> packed"""
    _rearrange(Q4_1, step, worker, True)


@kernel
def pack_q5_0(step: int, worker: int) -> None:
    """Q5_0, own layout -> packed"""
    _rearrange(Q5_0, step, worker, True)


@kernel
def pack_q5_1(step: int, worker: int) -> None:
    """Q5_1, own layout -> packed"""
    _rearrange(Q5_1, step, worker, True)


@kernel
def pack_q8_0(step: int, worker: int) -> None:
    """Q8_0, own layout -> packed"""
    _rearrange(Q8_0, step, worker, True)


@kernel
def pack_q4_k(step: int, worker: int) -> None:
    """Q4_K, own layout -> packed"""
    _rearrange(Q4_K, step, worker, True)


@kernel
def pack_q5_k(step: int, worker: int) -> None:
    """Q5_K, own layout -> packed"""
    _rearrange(Q5_K, step, worker, True)


@kernel
def pack_q6_k(step: int, worker: int) -> None:
    """Q6_K, own layout -> packed"""
    _rearrange(Q6_K, step, worker, True)


@kernel
def unpack_q4_0(step: int, worker: int) -> None:
    """Q4_0, packed -> own layout"""
    _rearrange(Q4_0, step, worker, False)


@kernel
def unpack_q4_1(step: int, worker: int) -> None:
    """Q4_1, packed -> own layout"""
    _rearrange(Q4_1, step, worker, False)


@kernel
def unpack_q5_0(step: int, worker: int) -> None:
    """Q5_0, packed -> own layout"""
    _rearrange(Q5_0, step, worker, False)


@kernel
def unpack_q5_1(step: int, worker: int) -> None:
    """Q5_1, packed -> own layout"""
    _rearrange(Q5_1, step, worker, False)


@kernel
def unpack_q8_0(step: int, worker: int) -> None:
    """Q8_0, packed -> own layout"""
    _rearrange(Q8_0, step, worker, False)


@kernel
def unpack_q4_k(step: int, worker: int) -> None:
    """Q4_K, packed -> own layout"""
    _rearrange(Q4_K, step, worker, False)


@kernel
def unpack_q5_k(step: int, worker: int) -> None:
    """Q5_K, packed -> own layout"""
    _rearrange(Q5_K, step, worker, False)


@kernel
def unpack_q6_k(step: int, worker: int) -> None:
    """Q6_K, packed -> own layout"""
    _rearrange(Q6_K, step, worker, False)
