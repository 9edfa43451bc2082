"""DUP, CONT, CPY: element n of src0, counted with dimension 0 fastest, becomes element n of dst.

Rules of this file:
- Plain types lie with any strides on both sides, in shapes that may differ. The elements are cut into PIECES. A piece
  finds its place on both sides once and goes on from there, in runs as long as both sides keep a single step; a run
  without gaps on either side is moved sixteen elements at once.
- Leading dimensions that follow each other with one step are one run: of a tensor without gaps, all of it.
- Block types go by rows, which are packed and equally long. To the same type they go byte by byte, and extra word 0
  holds the bytes of a row; rows may be counted otherwise on the two sides. To another type shapes are the same.

Unsatisfying: a transposed source is read one element of each cache line at a time; tiles would read whole lines.
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.moves import from_q4_0, from_q4_1, from_q8_0, move_1, move_2, move_4, narrow, widen
from refimpl.kernels.cpu.step import DST, SRC0, chunk_of, claim, count, extent, extra, row, rows_of, stride
from refimpl.kernels.cpu.words import f16_at, f32_at, i32_at, store_f16, store_f32, store_i16, store_i32, u16_at

__all__ = [
    "copy_2_bytes",
    "copy_4_bytes",
    "copy_block_rows",
    "copy_f16_to_f32",
    "copy_f32_to_f16",
    "copy_q4_0_to_f32",
    "copy_q4_1_to_f32",
    "copy_q8_0_to_f32",
    "elements_copied",
    "rows_copied",
]

PIECE = 2048
"""elements of one unit of work"""
F16, F32 = 2, 4
ROW_BYTES = 0
"""extra word of `copy_block_rows`"""


@inline
def _run_of(operand: int) -> Any:
    """(elements that follow each other with one step, that step, how many such runs in dimensions 1, 2 and 3)

    A dimension that is part of the run counts as 1 there.
    """
    length, step = extent(operand, 0), stride(operand, 0)
    n1, n2, n3 = extent(operand, 1), extent(operand, 2), extent(operand, 3)
    if length == 1:
        step = stride(operand, 1)
    if length == 1 or n1 == 1 or stride(operand, 1) == length * step:
        length, n1 = length * n1, 1
        if length == 1:
            step = stride(operand, 2)
        if length == 1 or n2 == 1 or stride(operand, 2) == length * step:
            length, n2 = length * n2, 1
            if length == 1:
                step = stride(operand, 3)
            if length == 1 or n3 == 1 or stride(operand, 3) == length * step:
                length, n3 = length * n3, 1
    return length, step, n1, n2, n3


@inline
def _place(element: int, run: Any) -> Any:
    """(how far into its run an element is, the run's place in dimensions 1, 2 and 3)"""
    length, _, n1, n2, _ = run
    number = element // length
    rest = number // n1
    return element - number * length, number - rest * n1, rest % n2, rest // n2


@inline
def _next(place: Any, run: Any) -> Any:
    """The beginning of the run behind the one that `place` is in."""
    _, _, n1, n2, _ = run
    _, i1, i2, i3 = place
    i1 += 1
    if i1 == n1:
        i1, i2 = 0, i2 + 1
        if i2 == n2:
            i2, i3 = 0, i3 + 1
    return 0, i1, i2, i3


@inline
def _start(operand: int, place: Any) -> Any:
    """Address of the first element of a run."""
    _, i1, i2, i3 = place
    return row(operand, i1, i2, i3)


@inline
def _copy_elements(step: int, first: int, last: int, move: Any, move_one: Any, gaps: Any) -> Any:
    """Elements first .. last - 1; `gaps` are the bytes of one element in dst and src0."""
    dst, src = step + DST, step + SRC0
    out_run, x_run = _run_of(dst), _run_of(src)
    out_gap, x_gap = out_run[1], x_run[1]
    packed = out_gap == gaps[0] and x_gap == gaps[1]
    out_place, x_place = _place(first, out_run), _place(first, x_run)
    out, x = _start(dst, out_place) + out_gap * out_place[0], _start(src, x_place) + x_gap * x_place[0]
    out_left, x_left = out_run[0] - out_place[0], x_run[0] - x_place[0]
    left = last - first
    while left > 0:
        n = min(left, out_left, x_left)
        if packed:
            move(out, x, n)
        else:
            for i in range(n):
                move_one(out + out_gap * i, x + x_gap * i)
        left, out_left, x_left = left - n, out_left - n, x_left - n
        out, x = out + out_gap * n, x + x_gap * n
        if out_left == 0:
            out_place = _next(out_place, out_run)
            out, out_left = _start(dst, out_place), out_run[0]
        if x_left == 0:
            x_place = _next(x_place, x_run)
            x, x_left = _start(src, x_place), x_run[0]


@inline
def elements_copied(step: int, worker: int, move: Any, move_one: Any, gaps: Any) -> Any:
    total = extent(step + DST, 0) * count(step + DST)
    units = (total + PIECE - 1) // PIECE
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        _copy_elements(step, start * PIECE, min(total, (start + chunk) * PIECE), move, move_one, gaps)
        start = claim(step, worker, chunk)


@plain
def _move_one_2(out: int, x: int) -> None:
    store_i16(out, u16_at(x))


@plain
def _move_one_4(out: int, x: int) -> None:
    store_i32(out, i32_at(x))


@plain
def _narrow_one(out: int, x: int) -> None:
    store_f16(out, f32_at(x))


@plain
def _widen_one(out: int, x: int) -> None:
    store_f32(out, f16_at(x))


@kernel
def copy_2_bytes(step: int, worker: int) -> None:
    """From a type of 2 bytes to itself."""
    elements_copied(step, worker, move_2, _move_one_2, (2, 2))


@kernel
def copy_4_bytes(step: int, worker: int) -> None:
    """From a type of 4 bytes to itself."""
    elements_copied(step, worker, move_4, _move_one_4, (4, 4))


@kernel
def copy_f32_to_f16(step: int, worker: int) -> None:
    """Rounded to the nearest F16, ties to even."""
    elements_copied(step, worker, narrow, _narrow_one, (F16, F32))


@kernel
def copy_f16_to_f32(step: int, worker: int) -> None:
    """Exact."""
    elements_copied(step, worker, widen, _widen_one, (F32, F16))


@inline
def rows_copied(step: int, worker: int, n: int, move: Any) -> Any:
    """Row by row; `n` is what `move` counts in."""
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            move(row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3), n)
        start = claim(step, worker, chunk)


@kernel
def copy_block_rows(step: int, worker: int) -> None:
    """From a block type to itself, row n to row n; extra word 0: bytes of a row"""
    length, units = extra(step, ROW_BYTES), count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            j1, j2, j3 = rows_of(step + SRC0, number)
            move_1(row(step + DST, i1, i2, i3), row(step + SRC0, j1, j2, j3), length)
        start = claim(step, worker, chunk)


@kernel
def copy_q4_0_to_f32(step: int, worker: int) -> None:
    """Dequantised."""
    rows_copied(step, worker, extent(step + DST, 0), from_q4_0)


@kernel
def copy_q4_1_to_f32(step: int, worker: int) -> None:
    """Dequantised."""
    rows_copied(step, worker, extent(step + DST, 0), from_q4_1)


@kernel
def copy_q8_0_to_f32(step: int, worker: int) -> None:
    """Dequantised."""
    rows_copied(step, worker, extent(step + DST, 0), from_q8_0)
