"""CONCAT, REPEAT, PAD and ARANGE: rows of the result put together from rows of the operands, or from nothing.

Extra word 0 of CONCAT and REPEAT is the number of bytes of an element, or of a block; extra word 1 of CONCAT is the
number of elements in it. Elements are moved as they are, whatever their type.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.moves import move_1
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    address,
    chunk_of,
    claim,
    count,
    extent,
    extra,
    real_param,
    row,
    rows_of,
    stride,
    whole_param,
)
from refimpl.kernels.cpu.words import (
    f32_at,
    fused,
    i32_at,
    store_f32,
    store_i16,
    store_i32,
    u16_at,
)

__all__ = ["arange_f32", "concat", "pad_f32", "repeat"]

SIZE, BLOCK = 0, 1
"""extra words"""
CONCAT_DIM = 0
PAD_CIRCULAR = 8
ARANGE_START, ARANGE_STEP = 0, 2
F32 = 4
PIECE = 1024
"""elements of ARANGE in one unit of work"""
ZERO = np.float32(0)


@inline
def _move(out: int, x: int, n: int, size: int, gap: int) -> None:
    """n elements of `size` bytes, which stand `gap` bytes apart at x, to packed ones."""
    if gap == size or n == 1:
        move_1(out, x, n * size)
    elif size == 4:
        for i in range(n):
            store_i32(out + 4 * i, i32_at(x + gap * i))
    elif size == 2:
        for i in range(n):
            store_i16(out + 2 * i, u16_at(x + gap * i))
    else:
        for i in range(n):
            move_1(out + size * i, x + gap * i, size)


@inline
def _joined(step: int, out: int, i1: int, i2: int, i3: int) -> None:
    """Row (i1, i2, i3) of CONCAT."""
    dim, size, block = whole_param(step, CONCAT_DIM), extra(step, SIZE), extra(step, BLOCK)
    a, b = step + SRC0, step + SRC1
    n = extent(a, 0) // block
    if dim == 0:
        _move(out, row(a, i1, i2, i3), n, size, stride(a, 0))
        _move(out + size * n, row(b, i1, i2, i3), extent(b, 0) // block, size, stride(b, 0))
        return
    place, behind = (i1 if dim == 1 else i2 if dim == 2 else i3), extent(a, dim)
    if place < behind:
        _move(out, row(a, i1, i2, i3), n, size, stride(a, 0))
    else:
        j1 = i1 - behind if dim == 1 else i1
        j2 = i2 - behind if dim == 2 else i2
        j3 = i3 - behind if dim == 3 else i3
        _move(out, row(b, j1, j2, j3), n, size, stride(b, 0))


@kernel
def concat(step: int, worker: int) -> None:
    """dst = src0, and behind it along one dimension src1"""
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            _joined(step, row(step + DST, i1, i2, i3), i1, i2, i3)
        start = claim(step, worker, chunk)


@kernel
def repeat(step: int, worker: int) -> None:
    """dst = src0, again and again in every dimension"""
    n, m, size, small = extent(step + DST, 0), extent(step + SRC0, 0), extra(step, SIZE), step + SRC0
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out = row(step + DST, i1, i2, i3)
            x = row(small, i1 % extent(small, 1), i2 % extent(small, 2), i3 % extent(small, 3))
            if m == 1:
                _move(out, x, n, size, 0)
            else:
                for first in range(0, n, m):
                    move_1(out + size * first, x, size * m)
        start = claim(step, worker, chunk)


@inline
def _padded_place(step: int, dim: int, i: int) -> Any:
    """Index into src0 for index i into dst; -1 where there is none."""
    n, place = extent(step + SRC0, dim), i - whole_param(step, 2 * dim)
    if whole_param(step, PAD_CIRCULAR) != 0:
        return place % n
    return place if 0 <= place < n else -1


@kernel
def pad_f32(step: int, worker: int) -> None:
    """dst = src0 with 0, or with its continuation, around it"""
    n, gap = extent(step + DST, 0), stride(step + SRC0, 0)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out = row(step + DST, i1, i2, i3)
            j1, j2, j3 = _padded_place(step, 1, i1), _padded_place(step, 2, i2), _padded_place(step, 3, i3)
            for i in range(n):
                j, value = _padded_place(step, 0, i), ZERO
                if j >= 0 and j1 >= 0 and j2 >= 0 and j3 >= 0:
                    value = f32_at(row(step + SRC0, j1, j2, j3) + gap * j)
                store_f32(out + F32 * i, value)
        start = claim(step, worker, chunk)


@kernel
def arange_f32(step: int, worker: int) -> None:
    """dst[i] = start + step * i, rounded once"""
    n, begin, each = extent(step + DST, 0), real_param(step, ARANGE_START), real_param(step, ARANGE_STEP)
    units = (n + PIECE - 1) // PIECE
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for i in range(start * PIECE, min(n, (start + chunk) * PIECE)):
            store_f32(address(step + DST) + F32 * i, fused(each, np.float32(i), begin))
        start = claim(step, worker, chunk)
