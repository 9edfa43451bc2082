"""ADD, SUB, MUL, DIV: `dst (n, ...) = src0 (n, ...) op src1 (m, ...)`, src1 repeated in every dimension.

With F32 throughout, sixteen elements at once where rows are packed. The `mixed` kernels take F16 and BF16 as
extra words 0, 1 and 2 say (types of src0, src1 and dst), one by one: computed in float32, rounded once.
"""

from typing import Any

from refimpl.kernels.cpu.bf16 import bf16_at, store_bf16
from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import add_f32x16, div_f32x16, load_f32x16, mul_f32x16, store_f32x16, sub_f32x16
from refimpl.kernels.cpu.step import DST, SRC0, SRC1, chunk_of, claim, count, extent, extra, row, rows_of, stride
from refimpl.kernels.cpu.words import f16_at, f32_at, store_f16, store_f32

__all__ = ["add_f32", "add_mixed", "div_f32", "div_mixed", "mul_f32", "mul_mixed", "sub_f32", "sub_mixed"]

F16, F32 = 2, 4
F16_TYPE, BF16_TYPE = 1, 30
LANES = 16


@inline
def _repeated_row(step: int, i1: int, i2: int, i3: int) -> Any:
    """The row of src1 that belongs to a row of the result."""
    small = step + SRC1
    return row(small, i1 % extent(small, 1), i2 % extent(small, 2), i3 % extent(small, 3))


@inline
def _floats(step: int, worker: int, sixteen: Any, one: Any) -> None:
    """F32 in all operands; `sixteen` and `one` are the same operation."""
    n, m, gap = extent(step + DST, 0), extent(step + SRC1, 0), stride(step + SRC1, 0)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x, y = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3), _repeated_row(step, i1, i2, i3)
            i = 0
            if m == n and (gap == F32 or n == 1):
                while i + LANES <= n:
                    store_f32x16(out + F32 * i, sixteen(load_f32x16(x + F32 * i), load_f32x16(y + F32 * i)))
                    i += LANES
            while i < n:
                store_f32(out + F32 * i, one(f32_at(x + F32 * i), f32_at(y + gap * (i % m))))
                i += 1
        start = claim(step, worker, chunk)


@inline
def _element(type_: int, at: int) -> Any:
    if type_ == F16_TYPE:
        return f16_at(at)
    return bf16_at(at) if type_ == BF16_TYPE else f32_at(at)


@inline
def _size(type_: int) -> Any:
    return F16 if type_ in (F16_TYPE, BF16_TYPE) else F32


@inline
def _mixed(step: int, worker: int, one: Any) -> None:
    n, m, gap = extent(step + DST, 0), extent(step + SRC1, 0), stride(step + SRC1, 0)
    x_type, y_type, out_type = extra(step, 0), extra(step, 1), extra(step, 2)
    x_size = _size(x_type)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x, y = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3), _repeated_row(step, i1, i2, i3)
            for i in range(n):
                value = one(_element(x_type, x + x_size * i), _element(y_type, y + gap * (i % m)))
                if out_type == F16_TYPE:
                    store_f16(out + F16 * i, value)
                elif out_type == BF16_TYPE:
                    store_bf16(out + F16 * i, value)
                else:
                    store_f32(out + F32 * i, value)
        start = claim(step, worker, chunk)


@inline
def _add_16(x: Any, y: Any) -> Any:
    return add_f32x16(x, y)


@inline
def _add_1(x: Any, y: Any) -> Any:
    return x + y


@inline
def _sub_16(x: Any, y: Any) -> Any:
    return sub_f32x16(x, y)


@inline
def _sub_1(x: Any, y: Any) -> Any:
    return x - y


@inline
def _mul_16(x: Any, y: Any) -> Any:
    return mul_f32x16(x, y)


@inline
def _mul_1(x: Any, y: Any) -> Any:
    return x * y


@inline
def _div_16(x: Any, y: Any) -> Any:
    return div_f32x16(x, y)


@inline
def _div_1(x: Any, y: Any) -> Any:
    return x / y


@kernel
def add_f32(step: int, worker: int) -> None:
    """dst = src0 + src1"""
    _floats(step, worker, _add_16, _add_1)


@kernel
def sub_f32(step: int, worker: int) -> None:
    """dst = src0 - src1"""
    _floats(step, worker, _sub_16, _sub_1)


@kernel
def mul_f32(step: int, worker: int) -> None:
    """dst = src0 * src1"""
    _floats(step, worker, _mul_16, _mul_1)


@kernel
def div_f32(step: int, worker: int) -> None:
    """dst = src0 / src1"""
    _floats(step, worker, _div_16, _div_1)


@kernel
def add_mixed(step: int, worker: int) -> None:
    """dst = src0 + src1"""
    _mixed(step, worker, _add_1)


@kernel
def sub_mixed(step: int, worker: int) -> None:
    """dst = src0 - src1"""
    _mixed(step, worker, _sub_1)


@kernel
def mul_mixed(step: int, worker: int) -> None:
    """dst = src0 * src1"""
    _mixed(step, worker, _mul_1)


@kernel
def div_mixed(step: int, worker: int) -> None:
    """dst = src0 / src1"""
    _mixed(step, worker, _div_1)
