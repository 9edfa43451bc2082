"""UNARY, SQR, SQRT, LOG, SIN and COS: rows of F32, F16 or BF16, each element by itself.

Extra word 0 is the number of the type; F16 and BF16 are computed in float32 and rounded once. dst may be src0.

Results have the bits of ggml's CPU backend: it takes exponentials from the C library but for SILU of F32, which goes
sixteen at a time (and what is behind the last sixteen of a row does not).
"""

from typing import Any

from refimpl.kernels.cpu.bf16 import bf16_at, store_bf16
from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import load_f32x16, silu_f32x16, store_f32x16
from refimpl.kernels.cpu.ops.pointwise import functions
from refimpl.kernels.cpu.step import DST, SRC0, chunk_of, claim, count, extent, extra, row, rows_of
from refimpl.kernels.cpu.words import f16_at, f32_at, store_f16, store_f32

__all__ = [
    "absolute",
    "ceiling",
    "cosine",
    "elu",
    "exponential",
    "exponential_less_1",
    "gelu",
    "gelu_computed",
    "gelu_erf",
    "gelu_quick_computed",
    "hard_sigmoid",
    "hard_swish",
    "logarithm",
    "lower",
    "negative",
    "rectified",
    "rounded",
    "sigmoid",
    "sign",
    "silu",
    "silu_f32",
    "sine",
    "softplus",
    "square",
    "square_root",
    "tabulated",
    "tangent",
    "truncated",
    "unit_step",
    "xielu",
]

TYPE = 0
"""extra word"""
F16_TYPE, BF16_TYPE = 1, 30
F16, F32 = 2, 4
LANES = 16


@inline
def _each(step: int, worker: int, f: Any) -> None:
    """dst = f(src0)"""
    n, type_ = extent(step + DST, 0), extra(step, TYPE)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3)
            if type_ == F16_TYPE:
                for i in range(n):
                    store_f16(out + F16 * i, f(step, f16_at(x + F16 * i)))
            elif type_ == BF16_TYPE:
                for i in range(n):
                    store_bf16(out + F16 * i, f(step, bf16_at(x + F16 * i)))
            else:
                for i in range(n):
                    store_f32(out + F32 * i, f(step, f32_at(x + F32 * i)))
        start = claim(step, worker, chunk)


@kernel
def absolute(step: int, worker: int) -> None:
    """|x|"""
    _each(step, worker, functions.absolute)


@kernel
def sign(step: int, worker: int) -> None:
    """-1, 0 or 1"""
    _each(step, worker, functions.sign)


@kernel
def negative(step: int, worker: int) -> None:
    """-x"""
    _each(step, worker, functions.negative)


@kernel
def unit_step(step: int, worker: int) -> None:
    """1 for x > 0, else 0"""
    _each(step, worker, functions.unit_step)


@kernel
def tangent(step: int, worker: int) -> None:
    """The hyperbolic tangent."""
    _each(step, worker, functions.tangent)


@kernel
def elu(step: int, worker: int) -> None:
    """x for x > 0, else e^x - 1"""
    _each(step, worker, functions.elu)


@kernel
def rectified(step: int, worker: int) -> None:
    """max(x, 0)"""
    _each(step, worker, functions.rectified)


@kernel
def sigmoid(step: int, worker: int) -> None:
    """1 / (1 + e^-x)"""
    _each(step, worker, functions.sigmoid)


@kernel
def gelu(step: int, worker: int) -> None:
    """GELU of F32: through the table between -10 and 10."""
    _each(step, worker, functions.gelu)


@kernel
def tabulated(step: int, worker: int) -> None:
    """GELU_QUICK, and GELU of F16: through the table for every x."""
    _each(step, worker, functions.from_table)


@kernel
def gelu_computed(step: int, worker: int) -> None:
    """GELU of BF16: without the table."""
    _each(step, worker, functions.gelu_computed)


@kernel
def gelu_quick_computed(step: int, worker: int) -> None:
    """GELU_QUICK of BF16: without the table."""
    _each(step, worker, functions.gelu_quick_computed)


@kernel
def gelu_erf(step: int, worker: int) -> None:
    """x / 2 * (1 + erf(x / sqrt 2))"""
    _each(step, worker, functions.gelu_erf)


@kernel
def silu(step: int, worker: int) -> None:
    """x / (1 + e^-x), one by one"""
    _each(step, worker, functions.silu)


@kernel
def hard_sigmoid(step: int, worker: int) -> None:
    """(x + 3) / 6 between 0 and 1"""
    _each(step, worker, functions.hard_sigmoid)


@kernel
def hard_swish(step: int, worker: int) -> None:
    """x * hard_sigmoid(x)"""
    _each(step, worker, functions.hard_swish)


@kernel
def exponential(step: int, worker: int) -> None:
    """e^x"""
    _each(step, worker, functions.exponential)


@kernel
def exponential_less_1(step: int, worker: int) -> None:
    """e^x - 1"""
    _each(step, worker, functions.exponential_less_1)


@kernel
def softplus(step: int, worker: int) -> None:
    """log(1 + e^x)"""
    _each(step, worker, functions.softplus)


@kernel
def xielu(step: int, worker: int) -> None:
    """Parabola for x > 0, exponential below."""
    _each(step, worker, functions.xielu)


@kernel
def lower(step: int, worker: int) -> None:
    """Rounded down."""
    _each(step, worker, functions.lower)


@kernel
def ceiling(step: int, worker: int) -> None:
    """Rounded up."""
    _each(step, worker, functions.ceiling)


@kernel
def rounded(step: int, worker: int) -> None:
    """To the nearest, halves away from 0."""
    _each(step, worker, functions.rounded)


@kernel
def truncated(step: int, worker: int) -> None:
    """Rounded towards 0."""
    _each(step, worker, functions.truncated)


@kernel
def square(step: int, worker: int) -> None:
    """x * x"""
    _each(step, worker, functions.square)


@kernel
def square_root(step: int, worker: int) -> None:
    """The square root."""
    _each(step, worker, functions.square_root)


@kernel
def logarithm(step: int, worker: int) -> None:
    """The natural logarithm."""
    _each(step, worker, functions.logarithm)


@kernel
def sine(step: int, worker: int) -> None:
    """Of radians."""
    _each(step, worker, functions.sine)


@kernel
def cosine(step: int, worker: int) -> None:
    """Of radians."""
    _each(step, worker, functions.cosine)


@kernel
def silu_f32(step: int, worker: int) -> None:
    """x / (1 + e^-x), sixteen at a time"""
    n = extent(step + DST, 0)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out, x = row(step + DST, i1, i2, i3), row(step + SRC0, i1, i2, i3)
            i = 0
            while i + LANES <= n:
                store_f32x16(out + F32 * i, silu_f32x16(load_f32x16(x + F32 * i)))
                i += LANES
            while i < n:
                store_f32(out + F32 * i, functions.silu(step, f32_at(x + F32 * i)))
                i += 1
        start = claim(step, worker, chunk)
