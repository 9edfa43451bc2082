"""Weights change between their own layout and the packed one, in place, 16 rows at a time (layout.py says how).

A step's src0 is the whole matrix, without gaps, its rows a multiple of 16. Scratch: 16 rows. Both ways are exact, so
what is unpacked is byte for byte what was packed.
"""

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import flip_signs_32, load_i8x32, load_i8x64, store_i8x32, store_i8x64
from refimpl.kernels.cpu.matmul.layout import (
    BLOCK,
    GROUP,
    HALVES,
    PLANE,
    Q4_0_BYTES,
    Q4_1_BYTES,
    Q8_0_BYTES,
)
from refimpl.kernels.cpu.step import SRC0, address, chunk_of, claim, count, extent, scratch
from refimpl.kernels.cpu.words import i8_at, i32_at, store_i8, store_i32

__all__ = ["pack_q4_0", "pack_q4_1", "pack_q8_0", "unpack_q4_0", "unpack_q4_1", "unpack_q8_0"]

WORD = 4


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
def _pack_group(rows: int, packed: int, blocks: int, size: int, halves: int) -> None:
    """16 rows of `blocks` blocks of `size` bytes, of which the first 2 * halves are scales, to `packed`."""
    planes = (size - 2 * halves) // WORD
    for b in range(blocks):
        for r in range(GROUP):
            source = rows + (r * blocks + b) * size
            for h in range(halves):
                _move_half(source + 2 * h, packed + h * HALVES + 2 * r)
            for j in range(planes):
                target = packed + halves * HALVES + j * PLANE + WORD * r
                store_i32(target, i32_at(source + 2 * halves + WORD * j))
        packed += GROUP * size


@inline
def _unpack_group(packed: int, rows: int, blocks: int, size: int, halves: int) -> None:
    """The way back."""
    planes = (size - 2 * halves) // WORD
    for b in range(blocks):
        for r in range(GROUP):
            target = rows + (r * blocks + b) * size
            for h in range(halves):
                _move_half(packed + h * HALVES + 2 * r, target + 2 * h)
            for j in range(planes):
                source = packed + halves * HALVES + j * PLANE + WORD * r
                store_i32(target + 2 * halves + WORD * j, i32_at(source))
        packed += GROUP * size


@inline
def _flip_group(rows: int, blocks: int) -> None:
    """Flip the sign of every quant of 16 rows of Q8_0."""
    for b in range(GROUP * blocks):
        quants = rows + b * Q8_0_BYTES + 2
        store_i8x32(quants, flip_signs_32(load_i8x32(quants)))


@inline
def _pack(step: int, worker: int, size: int, halves: int, signed: bool) -> None:
    blocks = extent(step + SRC0, 0) // BLOCK
    group, spare = GROUP * blocks * size, scratch(worker)
    units = count(step + SRC0) // GROUP
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            place = address(step + SRC0) + unit * group
            _copy(place, spare, group)
            if signed:
                _flip_group(spare, blocks)
            _pack_group(spare, place, blocks, size, halves)
        start = claim(step, worker, chunk)


@inline
def _unpack(step: int, worker: int, size: int, halves: int, signed: bool) -> None:
    blocks = extent(step + SRC0, 0) // BLOCK
    group, spare = GROUP * blocks * size, scratch(worker)
    units = count(step + SRC0) // GROUP
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for unit in range(start, min(units, start + chunk)):
            place = address(step + SRC0) + unit * group
            _copy(place, spare, group)
            _unpack_group(spare, place, blocks, size, halves)
            if signed:
                _flip_group(place, blocks)
        start = claim(step, worker, chunk)


@kernel
def pack_q4_0(step: int, worker: int) -> None:
    """Q4_0, own layout -> packed"""
    _pack(step, worker, Q4_0_BYTES, 1, False)


@kernel
def pack_q4_1(step: int, worker: int) -> None:
    """Q4_1, own layout -> packed"""
    _pack(step, worker, Q4_1_BYTES, 2, False)


@kernel
def pack_q8_0(step: int, worker: int) -> None:
    """Q8_0, own layout -> packed"""
    _pack(step, worker, Q8_0_BYTES, 1, True)


@kernel
def unpack_q4_0(step: int, worker: int) -> None:
    """Q4_0, packed -> own layout"""
    _unpack(step, worker, Q4_0_BYTES, 1, False)


@kernel
def unpack_q4_1(step: int, worker: int) -> None:
    """Q4_1, packed -> own layout"""
    _unpack(step, worker, Q4_1_BYTES, 2, False)


@kernel
def unpack_q8_0(step: int, worker: int) -> None:
    """Q8_0, packed -> own layout"""
    _unpack(step, worker, Q8_0_BYTES, 1, True)
