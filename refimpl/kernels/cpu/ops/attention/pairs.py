"""Products of BF16 two at a time, into sums of float32."""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils

from refimpl.kernels.cpu.simd import F32X16, I32X16, Vector, operation
from refimpl.kernels.cpu.words import pointer

__all__ = ["HAS_BF16_DOT", "dot_bf16x32", "dot_pairs"]

HAS_BF16_DOT = bool(llvm.get_host_cpu_features().get("avx512bf16"))
"""whether the processor has an instruction for it"""

I16X32 = Vector("i16", 32)


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's type, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


def _call(b: ir.IRBuilder, name: str, *given: ir.Value) -> ir.Value:
    kind = ir.FunctionType(F32X16.ir, [value.type for value in given])
    return b.call(cgutils.get_or_insert_function(b.module, kind, name), given)


def _side(b: ir.IRBuilder, pairs: ir.Value, side: int) -> ir.Value:
    """The first or the second of each pair, as float32: the upper or the lower half of a word."""
    words, sixteen = b.bitcast(pairs, I32X16.ir), ir.Constant(I32X16.ir, [16] * I32X16.lanes)
    upper = ir.Constant(I32X16.ir, [0xFFFF0000] * I32X16.lanes)
    return b.bitcast(b.and_(words, upper) if side else b.shl(words, sixteen), F32X16.ir)


def dot_pairs(native: bool) -> Any:
    """With the processor's instruction, or the same products in the same order, each fused with the sum."""

    def emit(b: ir.IRBuilder, sums: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
        pairs = [b.load(pointer(b, at, I16X32.ir), align=1) for at in (x, y)]
        if native:
            kind = ir.VectorType(_BFloat(), I16X32.lanes)
            return _call(b, "llvm.x86.avx512bf16.dpbf16ps.512", sums, *(b.bitcast(pair, kind) for pair in pairs))
        for side in (1, 0):
            sums = _call(b, "llvm.fma.v16f32", _side(b, pairs[0], side), _side(b, pairs[1], side), sums)
        return sums

    return operation(F32X16, [F32X16, types.int64, types.int64], emit)


dot_bf16x32 = dot_pairs(HAS_BF16_DOT)
"""(sums, address of 32 BF16, address of 32 BF16) -> sums; lane i gains the products of numbers 2i + 1 and 2i

The processor's instruction takes subnormal numbers for 0.
"""
