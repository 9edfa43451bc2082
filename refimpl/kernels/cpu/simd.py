"""LLVM vectors as numba types, and one intrinsic for each operation on them, so that kernels read like C intrinsics.

Names: operation, element, lanes. `f32x16` is sixteen float32 in one 64-byte register; where the processor has only
shorter ones LLVM splits them. Loads and stores need no alignment. Arithmetic is IEEE, never reassociated; `fma_*`
rounds once.

The dot product of unsigned by signed bytes is one instruction with AVX512-VNNI and plain vector code elsewhere: the
same sums, since neither saturates.
"""

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from refimpl.kernels.cpu.words import F16, F32, F64, I8, I16, I32, I64, pointer

__all__ = [
    "F16X16",
    "F32X8",
    "F32X16",
    "F64X8",
    "HAS_SCALEF",
    "HAS_VNNI",
    "I8X16",
    "I8X32",
    "I8X64",
    "I32X8",
    "I32X16",
    "Vector",
    "VectorModel",
    "binary",
    "cast",
    "constant_operand",
    "dot_bytes",
    "first",
    "fma",
    "fma_each",
    "fms",
    "gain_planes",
    "larger",
    "largest",
    "load",
    "load_part",
    "operation",
    "same",
    "scalef",
    "shuffle",
    "smaller",
    "splat",
    "store",
    "store_part",
    "total",
    "unary",
    "where_not_below",
    "zero",
]

HAS_VNNI = bool(llvm.get_host_cpu_features().get("avx512vnni"))
HAS_SCALEF = bool(llvm.get_host_cpu_features().get("avx512f"))

ELEMENTS = {"i8": I8, "i16": I16, "i32": I32, "i64": I64, "f16": F16, "f32": F32, "f64": F64}
SCALARS = {"f32": types.float32, "f64": types.float64, "i32": types.int64, "i8": types.int64}


class Vector(types.Type):  # type: ignore[misc]
    """`lanes` elements of one kind."""

    def __init__(self, element: str, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"{element}x{lanes}")

    @property
    def ir(self) -> ir.Type:
        return ir.VectorType(ELEMENTS[self.element], self.lanes)


@register_model(Vector)
class VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    """A vector is one LLVM value."""

    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, vector.ir)


F32X16, I32X16, F16X16 = Vector("f32", 16), Vector("i32", 16), Vector("f16", 16)
I8X16, I8X32, I8X64 = Vector("i8", 16), Vector("i8", 32), Vector("i8", 64)
F32X8, I32X8, F64X8 = Vector("f32", 8), Vector("i32", 8), Vector("f64", 8)
PLANES = 8
"""words of a block of 32 bytes"""

Emit = Callable[..., Any]


def operation(result: Any, given: Sequence[Any], emit: Emit) -> Any:
    """An intrinsic of fixed types; `emit(builder, *values)` writes its instructions and returns the result."""
    signature = result(*given)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        made = emit(builder, *arguments)
        return context.get_dummy_value() if made is None else made

    return ARITY[len(given)](signature, generate)


def _nullary(signature: Any, generate: Any) -> Any:
    return intrinsic(lambda typing: (signature, generate))


def _unary(signature: Any, generate: Any) -> Any:
    return intrinsic(lambda typing, a: (signature, generate))


def _binary(signature: Any, generate: Any) -> Any:
    return intrinsic(lambda typing, a, b: (signature, generate))


def _ternary(signature: Any, generate: Any) -> Any:
    return intrinsic(lambda typing, a, b, c: (signature, generate))


def _quinary(signature: Any, generate: Any) -> Any:
    return intrinsic(lambda typing, a, b, c, d, e: (signature, generate))


ARITY = {0: _nullary, 1: _unary, 2: _binary, 3: _ternary, 5: _quinary}


def _indices(numbers: Sequence[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, len(numbers)), list(numbers))


def _call(builder: Any, name: str, result: ir.Type, *arguments: Any) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def load(vector: Vector) -> Any:
    """address -> vector"""
    return operation(vector, [types.int64], lambda b, at: b.load(pointer(b, at, vector.ir), align=1))


def store(vector: Vector) -> Any:
    """(address, vector)"""

    def emit(b: Any, at: Any, value: Any) -> None:
        b.store(value, pointer(b, at, vector.ir), align=1)

    return operation(types.void, [types.int64, vector], emit)


def _lanes_below(builder: Any, count: Any, lanes: int) -> Any:
    """One bit for each lane: whether its number is below `count`, an int64."""
    numbers = ir.VectorType(I64, lanes)
    first = builder.insert_element(ir.Constant(numbers, ir.Undefined), count, I32(0))
    counts = builder.shuffle_vector(first, first, _indices([0] * lanes))
    return builder.icmp_signed("<", ir.Constant(numbers, list(range(lanes))), counts)


def load_part(vector: Vector) -> Any:
    """(address, count, others) -> `count` elements, of which alone bytes are read, and the other lanes of `others`."""
    full = f"llvm.masked.load.v{vector.lanes}{vector.element}.p0"

    def emit(b: Any, at: Any, count: Any, others: Any) -> Any:
        chosen = _lanes_below(b, count, vector.lanes)
        return _call(b, full, vector.ir, pointer(b, at, vector.ir), I32(1), chosen, others)

    return operation(vector, [types.int64, types.int64, vector], emit)


def store_part(vector: Vector) -> Any:
    """(address, count, vector): the first `count` elements; only their bytes are written."""
    full = f"llvm.masked.store.v{vector.lanes}{vector.element}.p0"

    def emit(b: Any, at: Any, count: Any, value: Any) -> None:
        chosen = _lanes_below(b, count, vector.lanes)
        _call(b, full, ir.VoidType(), value, pointer(b, at, vector.ir), I32(1), chosen)

    return operation(types.void, [types.int64, types.int64, vector], emit)


def zero(vector: Vector) -> Any:
    return operation(vector, [], lambda b: ir.Constant(vector.ir, None))


def same(vector: Vector, value: int) -> Any:
    """A vector that holds one constant in every lane."""
    return operation(vector, [], lambda b: ir.Constant(vector.ir, [value] * vector.lanes))


def splat(vector: Vector) -> Any:
    """scalar -> vector with that value in every lane; integers are cut to the lane's width"""

    def emit(b: Any, value: Any) -> Any:
        element = vector.ir.element
        lane = value if value.type == element else b.trunc(value, element)
        first = b.insert_element(ir.Constant(vector.ir, ir.Undefined), lane, I32(0))
        return b.shuffle_vector(first, first, _indices([0] * vector.lanes))

    return operation(vector, [SCALARS[vector.element]], emit)


def binary(name: str, vector: Vector) -> Any:
    """Lane by lane, by the name of the LLVM instruction."""
    return operation(vector, [vector, vector], lambda b, x, y: getattr(b, name)(x, y))


def constant_operand(name: str, vector: Vector, value: int) -> Any:
    """Lane by lane with the same constant on the right."""
    right = ir.Constant(vector.ir, [value] * vector.lanes)
    return operation(vector, [vector], lambda b, x: getattr(b, name)(x, right))


def cast(name: str, given: Vector, result: Vector) -> Any:
    """Lane by lane, or bit by bit for `bitcast`."""
    return operation(result, [given], lambda b, x: getattr(b, name)(x, result.ir))


def unary(name: str, vector: Vector) -> Any:
    """`llvm.NAME` lane by lane."""
    full = f"llvm.{name}.v{vector.lanes}{vector.element}"
    return operation(vector, [vector], lambda b, x: _call(b, full, vector.ir, x))


def fma(vector: Vector) -> Any:
    """a * b + c, rounded once"""
    full = f"llvm.fma.v{vector.lanes}{vector.element}"
    return operation(vector, [vector] * 3, lambda b, x, y, z: _call(b, full, vector.ir, x, y, z))


def fms(vector: Vector) -> Any:
    """a * b - c, rounded once"""
    full = f"llvm.fma.v{vector.lanes}{vector.element}"
    return operation(vector, [vector] * 3, lambda b, x, y, z: _call(b, full, vector.ir, x, y, b.fneg(z)))


def scalef(hardware: bool = HAS_SCALEF) -> Any:
    """(x, n) -> x * 2^n for f32x16, n whole and |n| < 250, 2^-126 <= |x| * 2^(n/2) < 2^128; rounded once"""
    return operation(F32X16, [F32X16, F32X16], lambda b, x, n: (_scalef if hardware else _two_powers)(b, x, n))


def _scalef(b: Any, x: Any, n: Any) -> Any:
    name, everywhere, as_set = "llvm.x86.avx512.mask.scalef.ps.512", ir.Constant(ir.IntType(16), -1), I32(4)
    return _call(b, name, F32X16.ir, x, n, x, everywhere, as_set)


def _two_powers(b: Any, x: Any, n: Any) -> Any:
    """The first product is exact, so that only the second one rounds, also below the normal numbers."""

    def constant(value: int) -> Any:
        return ir.Constant(I32X16.ir, [value] * I32X16.lanes)

    whole = b.fptosi(n, I32X16.ir)
    half = b.ashr(whole, constant(1))
    for exponent in (half, b.sub(whole, half)):
        power = b.shl(b.add(exponent, constant(127)), constant(23))
        x = b.fmul(x, b.bitcast(power, F32X16.ir))
    return x


def larger(vector: Vector) -> Any:
    """The larger of two floats, lane by lane; the second where one of them is NaN."""
    return operation(vector, [vector, vector], lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


def smaller(vector: Vector) -> Any:
    """The smaller of two floats, lane by lane; the second where one of them is NaN."""
    return operation(vector, [vector, vector], lambda b, x, y: b.select(b.fcmp_ordered("<", x, y), x, y))


def where_not_below(vector: Vector) -> Any:
    """(x, bound, value) -> value, 0 in the lanes where x < bound"""
    return operation(
        vector,
        [vector] * 3,
        lambda b, x, bound, value: b.select(b.fcmp_ordered("<", x, bound), ir.Constant(vector.ir, None), value),
    )


def shuffle(vector: Vector, lanes: Sequence[int]) -> Any:
    """(a, b) -> the lanes named by number, those of b counted behind those of a"""
    result = Vector(vector.element, len(lanes))
    return operation(result, [vector, vector], lambda b, x, y: b.shuffle_vector(x, y, _indices(lanes)))


def _fold(vector: Vector, combine: Callable[[Any, Any, Any], Any]) -> Any:
    """All lanes into one, halves first."""

    def emit(b: Any, value: Any) -> Any:
        width = vector.lanes
        while width > 1:
            width //= 2
            low = b.shuffle_vector(value, value, _indices(range(width)))
            high = b.shuffle_vector(value, value, _indices(range(width, 2 * width)))
            value = combine(b, low, high)
        lane = b.extract_element(value, I32(0))
        return b.sext(lane, I64) if vector.element == "i32" else lane

    return operation(SCALARS[vector.element], [vector], emit)


def first(vector: Vector) -> Any:
    """The float32 of lane 0"""
    return operation(SCALARS[vector.element], [vector], lambda b, x: b.extract_element(x, I32(0)))


def total(vector: Vector) -> Any:
    """Sum of all lanes: float32, float64, or int64 from i32"""
    return _fold(vector, lambda b, x, y: b.add(x, y) if vector.element == "i32" else b.fadd(x, y))


def largest(vector: Vector) -> Any:
    """Largest lane; a NaN may be passed over"""
    return _fold(vector, lambda b, x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


def dot_bytes(lanes: int, vnni: bool = HAS_VNNI) -> Any:
    """(sums i32, u unsigned bytes, s signed bytes) -> sums; lane i gains the products of bytes 4i .. 4i + 3"""
    sums, data = Vector("i32", lanes), Vector("i8", 4 * lanes)
    return operation(sums, [sums, data, data], lambda b, total, u, s: _dot(b, total, u, s, vnni))


def _dot(b: Any, total: Any, u: Any, s: Any, vnni: bool) -> Any:
    lanes = total.type.count
    if vnni:
        return _call(b, f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", total.type, total, u, s)
    wide = ir.VectorType(I32, 4 * lanes)
    products = b.mul(b.zext(u, wide), b.sext(s, wide))
    for k in range(4):
        part = b.shuffle_vector(products, products, _indices(range(k, 4 * lanes, 4)))
        total = b.add(total, part)
    return total


def gain_planes(zero: int, vnni: bool = HAS_VNNI) -> Any:
    """(sums, planes u, address of 32 signed bytes s, address of 8 float32, scale) -> sums

    For each of eight planes: sum j gains scale * (products of plane j with word j of s - zero * number j), where byte
    4 r + t of a plane belongs to row r and byte t of the word. The numbers are the sums of the words, so `zero` is what
    all unsigned bytes are too large by. Both products are integers below 2^24: exact until they are scaled.
    """
    planes, several = types.UniTuple(I8X64, PLANES), types.UniTuple(F32X16, PLANES)
    full = "llvm.fma.v16f32"

    def emit(b: Any, sums: Any, given: Any, at: Any, word_sums: Any, scale: Any) -> Any:
        for j in range(PLANES):
            word = _broadcast(b, b.add(at, I64(4 * j)))
            products = _dot(b, ir.Constant(I32X16.ir, None), b.extract_value(given, j), word, vnni)
            term = b.sitofp(products, F32X16.ir)
            if zero:
                excess = b.bitcast(_broadcast(b, b.add(word_sums, I64(4 * j))), F32X16.ir)
                term = _call(b, full, F32X16.ir, excess, ir.Constant(F32X16.ir, [-float(zero)] * 16), term)
            gained = _call(b, full, F32X16.ir, term, scale, b.extract_value(sums, j))
            sums = b.insert_value(sums, gained, j)
        return sums

    return operation(several, [several, planes, types.int64, types.int64, F32X16], emit)


def fma_each(vector: Vector, count: int) -> Any:
    """(x, w, sums) -> sums + x * w for each of `count` vectors w"""
    several = types.UniTuple(vector, count)
    full = f"llvm.fma.v{vector.lanes}{vector.element}"

    def emit(b: Any, x: Any, w: Any, sums: Any) -> Any:
        for j in range(count):
            made = _call(b, full, vector.ir, x, b.extract_value(w, j), b.extract_value(sums, j))
            sums = b.insert_value(sums, made, j)
        return sums

    return operation(several, [vector, several, several], emit)


def _broadcast(b: Any, at: Any) -> Any:
    word = b.load(pointer(b, at, I32), align=1)
    first = b.insert_element(ir.Constant(I32X16.ir, ir.Undefined), word, I32(0))
    return b.bitcast(b.shuffle_vector(first, first, _indices([0] * 16)), I8X64.ir)
