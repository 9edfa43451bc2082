"""One packed block of 256 columns times activations, for 16 rows at once, written out as LLVM instructions.

A block is eight runs of 32 columns, a run eight words of four; packed planes hold a word of each row. Constants are
written into the instructions: nothing here branches.

For few columns (`multiplied`, `lowered`) words of one number have a sum of their own. What a word's quants and
activations give has less than 16 bits, and so has its group's scale: one instruction multiplies both and adds. For
many columns (`gained`) a group is added up before it is scaled, and a block is one number.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from refimpl.kernels.cpu.matmul.k_quants.layout import Q5_K, Q6_K, QUANTS, SUMS_16, SUMS_32
from refimpl.kernels.cpu.matmul.layout import HALVES, PLANE
from refimpl.kernels.cpu.simd import F32X16, HAS_VNNI, I8X64, I32X16, Vector, operation
from refimpl.kernels.cpu.words import F16, I32, I64, pointer

__all__ = ["LOWS", "WORDS", "gained", "lowered", "multiplied"]

RUNS = WORDS = 8
LOWS = 4
"""sums of minima, each of two runs"""
BYTE, HALF = 8, 16
"""bits"""

SCALES = 2 * HALVES
BEHIND_SCALES = SCALES + 3 * PLANE
RUN = WORDS * PLANE
Q6_NIBBLES = HALVES
Q6_UPPER = Q6_NIBBLES + 4 * RUN
Q6_SCALES = Q6_UPPER + 2 * RUN
"""where planes begin in a packed block"""

NIBBLES, SIXES, UPPER_PAIRS, FIFTHS = 0x0F0F0F0F, 0x3F3F3F3F, 0x30303030, 0x10101010
"""of each byte the low four bits, the low six, bits 4 and 5, and bit 4"""
LOWER, UPPER = 0xFFFF, 0xFFFF0000

I16X32 = Vector("i16", 32)
Values = list[Any]


class _Writer:
    """Writes operations on 16 words each."""

    def __init__(self, builder: Any, vnni: bool) -> None:
        self.b = builder
        self.vnni = vnni
        self.zero = ir.Constant(I32X16.ir, None)

    def constant(self, value: int) -> Any:
        return ir.Constant(I32X16.ir, [value] * I32X16.lanes)

    def plane(self, p: Any, at: int) -> Any:
        """The words at byte `at` of the block at p."""
        return self.b.load(pointer(self.b, self.b.add(p, I64(at)), I32X16.ir), align=1)

    def broadcast(self, a: Any, at: int) -> Any:
        """One word, sixteen times."""
        word = self.b.load(pointer(self.b, self.b.add(a, I64(at)), I32), align=1)
        first = self.b.insert_element(ir.Constant(I32X16.ir, ir.Undefined), word, I32(0))
        everywhere = ir.Constant(ir.VectorType(I32, I32X16.lanes), [0] * I32X16.lanes)
        return self.b.shuffle_vector(first, first, everywhere)

    def cut(self, words: Any, mask: int) -> Any:
        return self.b.and_(words, self.constant(mask))

    def up(self, words: Any, bits: int) -> Any:
        return self.b.shl(words, self.constant(bits)) if bits else words

    def down(self, words: Any, bits: int) -> Any:
        """To the right, or to the left if `bits` is negative; zeros come in."""
        return self.up(words, -bits) if bits <= 0 else self.b.lshr(words, self.constant(bits))

    def signed(self, words: Any, bits: int) -> Any:
        """To the right; the sign comes in."""
        return self.b.ashr(words, self.constant(bits))

    def dot(self, total: Any, quants: Any, activations: Any) -> Any:
        """`total` and the products of unsigned bytes with signed ones, four to a word."""
        if self.vnni:
            u, s = self.b.bitcast(quants, I8X64.ir), self.b.bitcast(activations, I8X64.ir)
            return self._call("llvm.x86.avx512.vpdpbusd.512", total, u, s)
        for k in range(4):
            u = self.cut(self.down(quants, BYTE * k), 0xFF)
            s = self.signed(self.up(activations, 3 * BYTE - BYTE * k), 3 * BYTE)
            total = self.b.add(total, self.b.mul(u, s))
        return total

    def pairs(self, total: Any, x: Any, y: Any) -> Any:
        """`total` and the products of the lower and of the upper halves of x and y, which are signed."""
        if self.vnni:
            halves = self.b.bitcast(x, I16X32.ir), self.b.bitcast(y, I16X32.ir)
            return self._call("llvm.x86.avx512.vpdpwssd.512", total, *halves)
        for bits in (HALF, 0):
            both = self.signed(self.up(x, bits), HALF), self.signed(self.up(y, bits), HALF)
            total = self.b.add(total, self.b.mul(*both))
        return total

    def _call(self, name: str, *arguments: Any) -> Any:
        kind = ir.FunctionType(arguments[0].type, [argument.type for argument in arguments])
        return self.b.call(cgutils.get_or_insert_function(self.b.module, kind, name), arguments)

    def halves(self, p: Any, at: int) -> Any:
        """Sixteen F16 numbers as float32."""
        kind = ir.VectorType(F16, F32X16.lanes)
        return self.b.fpext(self.b.load(pointer(self.b, self.b.add(p, I64(at)), kind), align=1), F32X16.ir)

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """x * y + z, rounded once"""
        return self._call("llvm.fma.v16f32", x, y, z)

    def tuple(self, vector: Vector, values: Sequence[Any]) -> Any:
        made = ir.Constant(ir.ArrayType(vector.ir, len(values)), ir.Undefined)
        for number, value in enumerate(values):
            made = self.b.insert_value(made, value, number)
        return made


def _quants(w: _Writer, kind: int, p: Any, run: int, word: int) -> Any:
    """Unsigned quants of one word of a run."""
    at = PLANE * word
    if kind == Q6_K:
        half, quarter = run // 4, run % 4
        nibbles = w.plane(p, Q6_NIBBLES + (2 * half + quarter % 2) * RUN + at)
        upper = w.cut(w.down(w.plane(p, Q6_UPPER + half * RUN + at), 2 * quarter - 4), UPPER_PAIRS)
        return w.b.or_(w.cut(w.down(nibbles, 4 * (quarter // 2)), NIBBLES), upper)
    first = BEHIND_SCALES + (RUN if kind == Q5_K else 0)
    nibbles = w.cut(w.down(w.plane(p, first + (run // 2) * RUN + at), 4 * (run % 2)), NIBBLES)
    if kind == Q5_K:
        return w.b.or_(nibbles, w.cut(w.down(w.plane(p, BEHIND_SCALES + at), run - 4), FIFTHS))
    return nibbles


def _scale_pairs(w: _Writer, kind: int, p: Any) -> tuple[Values, Values]:
    """Scales of the first and of the second half of each run, as words with nothing in their upper halves."""
    if kind == Q6_K:
        both = [w.up(w.plane(p, Q6_SCALES + PLANE * (run // 2)), HALF * (1 - run % 2)) for run in range(RUNS)]
        first = [w.cut(w.signed(w.up(words, BYTE), 3 * BYTE), LOWER) for words in both]
        return first, [w.cut(w.signed(words, 3 * BYTE), LOWER) for words in both]
    start, rest = w.plane(p, SCALES), w.plane(p, SCALES + 2 * PLANE)
    upper = w.b.or_(w.cut(rest, NIBBLES), w.cut(w.down(start, 2), UPPER_PAIRS))
    words = w.cut(start, SIXES), upper
    scales = [w.cut(w.down(words[run // 4], BYTE * (run % 4)), 0xFF) for run in range(RUNS)]
    return scales, scales


def _minimum_pairs(w: _Writer, p: Any) -> Values:
    """Minima of two runs each, in the lower and upper halves of words."""
    start, rest = w.plane(p, SCALES + PLANE), w.plane(p, SCALES + 2 * PLANE)
    upper = w.b.or_(w.cut(w.down(rest, 4), NIBBLES), w.cut(w.down(start, 2), UPPER_PAIRS))
    words = w.cut(start, SIXES), upper
    both = [w.down(words[pair // 2], HALF * (pair % 2)) for pair in range(LOWS)]
    return [w.b.or_(w.cut(x, 0xFF), w.cut(w.up(x, BYTE), 0xFF << HALF)) for x in both]


def _less_zero(w: _Writer, first: Values, second: Values, a: Any) -> Values:
    """What the quants of Q6_K are too large by, 32, of all columns: run j's share in sum j, to be taken away."""
    pairs = [w.b.or_(x, w.up(y, HALF)) for x, y in zip(first, second, strict=True)]
    shares = [w.pairs(w.zero, pair, w.broadcast(a, SUMS_16 + 4 * run)) for run, pair in enumerate(pairs)]
    return [w.b.sub(w.zero, w.up(share, 5)) for share in shares]


def multiplied(kind: int, columns: int, vnni: bool = HAS_VNNI) -> Any:
    """(block, activations of each column) -> for each column the eight scaled sums, as float32"""

    def emit(b: Any, p: Any, *activations: Any) -> Any:
        w = _Writer(b, vnni)
        first, second = _scale_pairs(w, kind, p)
        sums = [_less_zero(w, first, second, a) if kind == Q6_K else [w.zero] * WORDS for a in activations]
        for run in range(RUNS):
            for word in range(WORDS):
                quants, scale = _quants(w, kind, p, run, word), (first if word < WORDS // 2 else second)[run]
                for column, a in enumerate(activations):
                    product = w.dot(w.zero, quants, w.broadcast(a, QUANTS + 32 * run + 4 * word))
                    sums[column][word] = w.pairs(sums[column][word], product, scale)
        return w.tuple(F32X16, [b.sitofp(value, F32X16.ir) for column in sums for value in column])

    return operation(types.UniTuple(F32X16, WORDS * columns), [types.int64] * (1 + columns), emit)


def lowered(kind: int, vnni: bool = HAS_VNNI) -> Any:
    """(block, activations) -> minima times sums of activations, as float32: of two runs each, or of all, then zeros"""

    def emit(b: Any, p: Any, a: Any) -> Any:
        w = _Writer(b, vnni)
        lows = [w.zero] * LOWS
        for number, pair in enumerate(_minimum_pairs(w, p)):
            into = 0 if kind == Q5_K else number
            lows[into] = w.pairs(lows[into], pair, w.broadcast(a, SUMS_32 + 4 * number))
        return w.tuple(F32X16, [b.sitofp(low, F32X16.ir) for low in lows])

    return operation(types.UniTuple(F32X16, LOWS), [types.int64, types.int64], emit)


def _scaled_whole(w: _Writer, kind: int, p: Any, activations: Values) -> Values:
    """For each column the products of a block, scaled, as one integer for each row."""
    first, second = _scale_pairs(w, kind, p)
    sums = [_all_less_zero(w, first, second, a) if kind == Q6_K else w.zero for a in activations]
    scaled = WORDS // 2 if kind == Q6_K else WORDS
    for run in range(RUNS):
        for start in range(0, WORDS, scaled):
            scale, groups = _signed_word(w, kind, (second if start else first)[run]), [w.zero] * len(activations)
            for word in range(start, start + scaled):
                quants = _quants(w, kind, p, run, word)
                for column, a in enumerate(activations):
                    words = w.broadcast(a, QUANTS + 32 * run + 4 * word)
                    groups[column] = w.dot(groups[column], quants, words)
            sums = [w.b.add(total, w.b.mul(group, scale)) for total, group in zip(sums, groups, strict=True)]
    return sums


def _signed_word(w: _Writer, kind: int, scale: Any) -> Any:
    """A scale of 16 bits as a word."""
    return w.signed(w.up(scale, HALF), HALF) if kind == Q6_K else scale


def _all_less_zero(w: _Writer, first: Values, second: Values, a: Any) -> Any:
    """As `_less_zero`, of all runs."""
    share = w.zero
    for run, (x, y) in enumerate(zip(first, second, strict=True)):
        share = w.pairs(share, w.b.or_(x, w.up(y, HALF)), w.broadcast(a, SUMS_16 + 4 * run))
    return w.b.sub(w.zero, w.up(share, 5))


def gained(kind: int, columns: int, vnni: bool = HAS_VNNI) -> Any:
    """(sums, block, activations, bytes between columns, how many there are) -> sums of `columns` columns

    Of columns that are not there the last one that is takes the place.
    """
    several = types.UniTuple(F32X16, columns)

    def emit(b: Any, sums: Any, p: Any, a: Any, each: Any, there: Any) -> Any:
        w = _Writer(b, vnni)
        last, made = b.sub(there, I64(1)), []
        numbers = [b.select(b.icmp_signed("<", I64(c), last), I64(c), last) for c in range(columns)]
        activations = [b.add(a, b.mul(each, number)) for number in numbers]
        d, integers = w.halves(p, 0), _scaled_whole(w, kind, p, activations)
        less = None if kind == Q6_K else (b.fneg(w.halves(p, HALVES)), _minimum_pairs(w, p))
        for column, address in enumerate(activations):
            value = b.fmul(b.sitofp(integers[column], F32X16.ir), d)
            if less is not None:
                low = w.zero
                for number, pair in enumerate(less[1]):
                    low = w.pairs(low, pair, w.broadcast(address, SUMS_32 + 4 * number))
                value = w.fma(less[0], b.sitofp(low, F32X16.ir), value)
            scale = b.bitcast(w.broadcast(address, 0), F32X16.ir)
            made.append(w.fma(value, scale, b.extract_value(sums, column)))
        return w.tuple(F32X16, made)

    return operation(several, [several, *[types.int64] * 4], emit)
