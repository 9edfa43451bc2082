"""Blocks of float32 in scratch, and how keys and values come into them.

Rules of this file:
- A block is rows of whole vectors, one behind the other: a row of n elements takes `padded(n)`, and what lies behind
  the n-th is 0. Products therefore have no tails, and know nothing of the types that keys and values are kept in.
- Operands are read to their last byte and no further.
- A new type of keys or values is one more branch in `_widen_row`: a row is converted once for all queries of a unit.
"""

from typing import Any

from llvmlite import ir
from numba import types

from refimpl.kernels.cpu.compiled import inline, plain
from refimpl.kernels.cpu.lanes import (
    load_f32x16,
    mul_f32x16,
    splat_f32x16,
    store_f32x16,
    zero_f32x16,
)
from refimpl.kernels.cpu.moves import (
    from_q4_0,
    from_q4_1,
    from_q5_0,
    from_q5_1,
    from_q8_0,
    move_4,
    widen,
    widen_bf16,
)
from refimpl.kernels.cpu.simd import F32X16, operation
from refimpl.kernels.cpu.words import I32, I64, f32_at, pointer, store_f32
from spec.names import Type

__all__ = [
    "F16",
    "F32",
    "KEYS",
    "KEYS_ROW",
    "KIND_BF16",
    "KIND_F16",
    "KIND_F32",
    "KIND_Q4_0",
    "KIND_Q4_1",
    "KIND_Q5_0",
    "KIND_Q5_1",
    "KIND_Q8_0",
    "LANES",
    "VECTOR",
    "WIDE",
    "padded",
    "scaled",
    "turned",
    "widened",
]

F16, F32 = 2, 4
"""bytes"""
KIND_F32, KIND_F16, KIND_BF16 = int(Type.F32), int(Type.F16), int(Type.BF16)
KIND_Q4_0, KIND_Q4_1, KIND_Q8_0 = int(Type.Q4_0), int(Type.Q4_1), int(Type.Q8_0)
KIND_Q5_0, KIND_Q5_1 = int(Type.Q5_0), int(Type.Q5_1)
LANES = 16
VECTOR = LANES * F32
WIDE = 4 * LANES
"""elements that products work on side by side"""
KEYS = 64
"""keys in one block; a row of scores or of turned keys is KEYS float32"""
KEYS_ROW = KEYS * F32


@inline
def padded(n: int) -> Any:
    """Elements of a row of n in a block."""
    return (n + LANES - 1) // LANES * LANES


@inline
def scaled(to: int, at: int, n: int, factor: float) -> None:
    """to (n,) = factor * at (n,), float32"""
    factors = splat_f32x16(factor)
    i = 0
    while i + LANES <= n:
        store_f32x16(to + F32 * i, mul_f32x16(load_f32x16(at + F32 * i), factors))
        i += LANES
    while i < n:
        store_f32(to + F32 * i, f32_at(at + F32 * i) * factor)
        i += 1


@inline
def _widen_row(to: int, at: int, n: int, kind: int) -> None:
    if kind == KIND_F16:
        widen(to, at, n)
    elif kind == KIND_F32:
        move_4(to, at, n)
    elif kind == KIND_BF16:
        widen_bf16(to, at, n)
    elif kind == KIND_Q8_0:
        from_q8_0(to, at, n)
    elif kind == KIND_Q4_0:
        from_q4_0(to, at, n)
    elif kind == KIND_Q4_1:
        from_q4_1(to, at, n)
    elif kind == KIND_Q5_0:
        from_q5_0(to, at, n)
    else:
        from_q5_1(to, at, n)


@plain
def widened(to: int, at: int, gap: int, count: int, n: int, kind: int) -> None:
    """block (count, n) = rows of `kind`, a type number, `gap` bytes apart"""
    row = F32 * padded(n)
    for number in range(count):
        into, source = to + row * number, at + gap * number
        if n % LANES != 0:
            store_f32x16(into + row - VECTOR, zero_f32x16())
        _widen_row(into, source, n, kind)


def _tile_turned() -> Any:
    """(source, bytes between its rows, target): 16 rows of 16 float32 to 16 columns, in rows KEYS_ROW apart"""

    def emit(b: ir.IRBuilder, source: ir.Value, gap: ir.Value, target: ir.Value) -> None:
        lines = []
        for number in range(LANES):
            at = b.add(source, b.mul(gap, I64(number)))
            lines.append(b.load(pointer(b, at, F32X16.ir), align=1))
        for width in (1, 2, 4, 8):
            upper = [lane & ~width if lane & width == 0 else LANES + (lane & ~width) for lane in range(LANES)]
            lower = [lane + width for lane in upper]
            for number in range(LANES):
                if number & width == 0:
                    first, second = lines[number], lines[number + width]
                    for place, lanes in ((number, upper), (number + width, lower)):
                        mask = ir.Constant(ir.VectorType(I32, LANES), lanes)
                        lines[place] = b.shuffle_vector(first, second, mask)
        for number, line in enumerate(lines):
            b.store(line, pointer(b, b.add(target, I64(KEYS_ROW * number)), F32X16.ir), align=1)

    return operation(types.void, [types.int64, types.int64, types.int64], emit)


_turn_tile = _tile_turned()


@plain
def turned(to: int, block: int, count: int, n: int) -> None:
    """to (n, KEYS) = block (count, n) with rows as columns; whole vectors both ways"""
    row = F32 * padded(n)
    for number in range(0, count, LANES):
        for i in range(0, padded(n), LANES):
            _turn_tile(block + row * number + F32 * i, row, to + KEYS_ROW * i + F32 * number)
