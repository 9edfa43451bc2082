"""Vector operations on words, for formats that keep several small numbers in one. Shifts take the same count in all."""

from typing import Any

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.simd import (
    I8X32,
    I32X8,
    I32X16,
    Vector,
    binary,
    cast,
    load,
    shuffle,
    splat,
    total,
)

__all__ = ["bits_i32x8", "widen_i16x16"]

splat_i32x8, mul_i32x16 = splat(I32X8), binary("mul", I32X16)
and_i32x8, or_i32x8, shl_i32x8, lshr_i32x8 = (binary(name, I32X8) for name in ("and_", "or_", "shl", "lshr"))
add_i32x8, sub_i32x8, mul_i32x8 = binary("add", I32X8), binary("sub", I32X8), binary("mul", I32X8)
load_i32x8, total_i32x8 = load(I32X8), total(I32X8)
bytes_i32x8 = cast("bitcast", I32X8, I8X32)
join_halves_i32x8 = shuffle(I32X8, [0, 1, 2, 3, 12, 13, 14, 15])
"""(a, b) -> lanes 0 .. 3 of a, 4 .. 7 of b"""
even_i32x8, odd_i32x8 = shuffle(I32X16, range(0, 16, 2)), shuffle(I32X16, range(1, 16, 2))
"""(a, _) -> every second lane of a"""

I16X16 = Vector("i16", 16)
load_i16x16, widened_i16x16 = load(I16X16), cast("sext", I16X16, I32X16)


@inline
def widen_i16x16(at: int) -> Any:
    """Sixteen signed 16-bit numbers at an address."""
    return widened_i16x16(load_i16x16(at))


@inline
def bits_i32x8(words: Any, shift: int, mask: int) -> Any:
    """(words >> shift) & mask"""
    return and_i32x8(lshr_i32x8(words, splat_i32x8(shift)), splat_i32x8(mask))
