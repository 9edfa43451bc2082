"""Single numbers at an address: loads, stores, bit patterns, and the atomic operations that threads meet with.

Addresses are int64 and need no alignment, except for atomics (8 bytes). Every load widens at once: integers to int64,
F16 to float32. Little-endian, as the types are.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "add_release",
    "bits_of",
    "f16_at",
    "f16_bits",
    "f32_at",
    "float_of",
    "fused",
    "i8_at",
    "i32_at",
    "i64_at",
    "load_acquire",
    "pause",
    "pointer",
    "rounded_to_f16",
    "store_f16",
    "store_f32",
    "store_i8",
    "store_i16",
    "store_i32",
    "store_i64",
    "store_release",
    "u8_at",
    "u16_at",
]

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F16, F32, F64 = ir.HalfType(), ir.FloatType(), ir.DoubleType()


def pointer(builder: ir.IRBuilder, address: ir.Value, to: ir.Type) -> ir.Value:
    return builder.inttoptr(address, to.as_pointer())


def _load(stored: ir.Type, result: Any, widen: Callable[[ir.IRBuilder, ir.Value], ir.Value]) -> Any:
    @intrinsic
    def load(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return widen(builder, builder.load(pointer(builder, arguments[0], stored), align=1))

        return result(types.int64), generate

    return load


def _store(stored: ir.Type, given: Any, narrow: Callable[[ir.IRBuilder, ir.Value], ir.Value]) -> Any:
    @intrinsic
    def store(typing: Any, address: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(narrow(builder, arguments[1]), pointer(builder, arguments[0], stored), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, given), generate

    return store


f32_at = _load(F32, types.float32, lambda b, v: v)
f16_at = _load(F16, types.float32, lambda b, v: b.fpext(v, F32))
i64_at = _load(I64, types.int64, lambda b, v: v)
i32_at = _load(I32, types.int64, lambda b, v: b.sext(v, I64))
i8_at = _load(I8, types.int64, lambda b, v: b.sext(v, I64))
u8_at = _load(I8, types.int64, lambda b, v: b.zext(v, I64))
u16_at = _load(I16, types.int64, lambda b, v: b.zext(v, I64))

store_f32 = _store(F32, types.float32, lambda b, v: v)
store_f16 = _store(F16, types.float32, lambda b, v: b.fptrunc(v, F16))
store_i64 = _store(I64, types.int64, lambda b, v: v)
store_i32 = _store(I32, types.int64, lambda b, v: b.trunc(v, I32))
store_i16 = _store(I16, types.int64, lambda b, v: b.trunc(v, I16))
store_i8 = _store(I8, types.int64, lambda b, v: b.trunc(v, I8))


def _convert(given: Any, result: Any, change: Callable[[ir.IRBuilder, ir.Value], ir.Value]) -> Any:
    @intrinsic
    def convert(typing: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return change(builder, arguments[0])

        return result(given), generate

    return convert


rounded_to_f16 = _convert(types.float32, types.float32, lambda b, v: b.fpext(b.fptrunc(v, F16), F32))
"""float32 -> the nearest F16, ties to even, as a float32"""
f16_bits = _convert(types.float32, types.int64, lambda b, v: b.zext(b.bitcast(b.fptrunc(v, F16), I16), I64))
bits_of = _convert(types.float32, types.int64, lambda b, v: b.zext(b.bitcast(v, I32), I64))
float_of = _convert(types.int64, types.float32, lambda b, v: b.bitcast(b.trunc(v, I32), F32))
"""the float32 whose bit pattern an op_params word holds"""


@intrinsic
def fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c in float32, rounded once"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(F32, [F32] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.f32"), arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@intrinsic
def add_release(typing: Any, address: Any, value: Any) -> Any:
    """Add to the int64 at `address`; what was there before. No access moves across it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", pointer(builder, arguments[0], I64), arguments[1], "seq_cst")

    return types.int64(types.int64, types.int64), generate


@intrinsic
def load_acquire(typing: Any, address: Any) -> Any:
    """The int64 at `address`, and all that was written before it was stored."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(pointer(builder, arguments[0], I64), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def store_release(typing: Any, address: Any, value: Any) -> Any:
    """Publish an int64 together with all that was written before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], pointer(builder, arguments[0], I64), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


X86 = llvm.get_process_triple().startswith(("x86_64", "i686"))


@intrinsic
def pause(typing: Any) -> Any:
    """Tell the processor that this is a loop that waits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate
