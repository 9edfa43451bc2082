"""The fifth bits of Q5_0, Q5_1 and Q5_K: as bytes of 16 or 0, which are ORed to nibbles.

In a block of Q5_0 or Q5_1 bit i of a word belongs to element i. For vectors that work on 16 rows at once the 32 bits
are turned: byte t of the word then has in bit j what belongs to element 4 j + t, as Q5_K has it for each of its words.
"""

from typing import Any

from llvmlite import ir
from numba import types

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.lanes import splat_i32x16
from refimpl.kernels.cpu.simd import I8X32, I32X16, binary, operation

__all__ = ["FIFTH", "fifth_plane", "fifths_i8x32", "turned", "turned_back"]

FIFTH = 0x10
EACH_BYTE = 0x10101010
"""the fifth bit of four bytes"""

_and, _shl, _lshr = binary("and_", I32X16), binary("shl", I32X16), binary("lshr", I32X16)


def _spread(b: Any, word: Any) -> Any:
    bits = b.trunc(word, ir.IntType(I8X32.lanes))
    chosen = b.bitcast(bits, ir.VectorType(ir.IntType(1), I8X32.lanes))
    return b.select(chosen, ir.Constant(I8X32.ir, [FIFTH] * I8X32.lanes), ir.Constant(I8X32.ir, None))


fifths_i8x32 = operation(I8X32, [types.int64], _spread)
"""word -> 32 bytes, 16 where the bit of the byte's number is set"""


@inline
def fifth_plane(words: Any, bit: int) -> Any:
    """16 words of turned bits -> in each byte 16 where its `bit` is set; `bit` is a constant."""
    if bit < 4:
        return _and(_shl(words, splat_i32x16(4 - bit)), splat_i32x16(EACH_BYTE))
    return _and(_lshr(words, splat_i32x16(bit - 4)), splat_i32x16(EACH_BYTE))


@inline
def turned(word: int) -> Any:
    """Bit 4 j + t -> bit 8 t + j."""
    made = 0
    for t in range(4):
        x = (word >> t) & 0x11111111
        x = (x | x >> 3) & 0x03030303
        x = (x | x >> 6) & 0x000F000F
        made |= ((x | x >> 12) & 0xFF) << (8 * t)
    return made


@inline
def turned_back(word: int) -> Any:
    """Bit 8 t + j -> bit 4 j + t."""
    made = 0
    for t in range(4):
        x = (word >> (8 * t)) & 0xFF
        x = (x | x << 12) & 0x000F000F
        x = (x | x << 6) & 0x03030303
        made |= ((x | x << 3) & 0x11111111) << t
    return made
