"""UNARY's functions and their like, one float32 to one float32, as ggml's CPU backend rounds them.

`f(step, x)`: a function takes its parameters from the step. What the C library computes is the C library's. GELU and
GELU_QUICK go through a table of F16 (tables.py), whose address is extra word 1: the definition loses
precision there. BF16 does without.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from refimpl.kernels.cpu.compiled import inline
from refimpl.kernels.cpu.libm import cosf, erff, expf, expm1f, logf, sinf, tanhf
from refimpl.kernels.cpu.simd import operation
from refimpl.kernels.cpu.step import extra, real_param
from refimpl.kernels.cpu.words import F32, f16_at, f16_bits, fused

__all__ = [
    "TABLE",
    "absolute",
    "ceiling",
    "cosine",
    "elu",
    "exponential",
    "exponential_less_1",
    "from_table",
    "gelu",
    "gelu_computed",
    "gelu_erf",
    "gelu_of",
    "gelu_quick_computed",
    "gelu_quick_of",
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
    "sine",
    "softplus",
    "square",
    "square_root",
    "tangent",
    "truncated",
    "unit_step",
    "xielu",
]

TABLE = 1
"""extra word: address of 65536 F16, indexed by the bits of an F16"""
ALPHA_N, ALPHA_P, BETA, EPSILON = 1, 2, 3, 4
"""op_params of XIELU"""

ZERO, HALF, ONE, THREE, SIX = np.float32(0), np.float32(0.5), np.float32(1), np.float32(3), np.float32(6)
FAR = np.float32(10)
"""from here on GELU is 0 or x"""
SOFTPLUS_FAR = np.float32(20)
GELU_CUBE, GELU_SLOPE = np.float32(0.044715), np.float32(0.79788456080286535587989211986876)
QUICK_SLOPE = np.float32(-1.702)
ROOT_HALF = np.float32(0.70710678118654752440084436210484)
BYTES_F16 = 2


def _llvm(name: str) -> Any:
    """float32 -> float32 by one instruction."""

    def emit(builder: Any, x: Any) -> Any:
        kind = ir.FunctionType(F32, [F32])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.f32"), [x])

    return operation(types.float32, [types.float32], emit)


_fabs, _floor, _ceil, _round, _trunc, _sqrt = map(_llvm, ("fabs", "floor", "ceil", "round", "trunc", "sqrt"))


@inline
def absolute(step: int, x: Any) -> Any:
    return _fabs(x)


@inline
def sign(step: int, x: Any) -> Any:
    return ONE if x > ZERO else (-ONE if x < ZERO else ZERO)


@inline
def negative(step: int, x: Any) -> Any:
    return -x


@inline
def unit_step(step: int, x: Any) -> Any:
    return ONE if x > ZERO else ZERO


@inline
def tangent(step: int, x: Any) -> Any:
    return tanhf(x)


@inline
def elu(step: int, x: Any) -> Any:
    return x if x > ZERO else expm1f(x)


@inline
def rectified(step: int, x: Any) -> Any:
    return x if x > ZERO else ZERO


@inline
def sigmoid(step: int, x: Any) -> Any:
    return ONE / (ONE + expf(-x))


@inline
def from_table(step: int, x: Any) -> Any:
    """x rounded to F16, and what the table has for it."""
    return f16_at(extra(step, TABLE) + BYTES_F16 * f16_bits(x))


@inline
def gelu(step: int, x: Any) -> Any:
    """Through the table between -10 and 10."""
    if x <= -FAR:
        return ZERO
    if x >= FAR:
        return x
    return from_table(step, x)


@inline
def gelu_of(x: Any) -> Any:
    """0.5 x (1 + tanh(sqrt(2 / pi) x (1 + 0.044715 x^2))), rounded as a compiler with fused operations rounds it"""
    return HALF * x * (ONE + tanhf(GELU_SLOPE * x * fused(GELU_CUBE * x, x, ONE)))


@inline
def gelu_quick_of(x: Any) -> Any:
    return x * (ONE / (ONE + expf(QUICK_SLOPE * x)))


@inline
def gelu_computed(step: int, x: Any) -> Any:
    return gelu_of(x)


@inline
def gelu_quick_computed(step: int, x: Any) -> Any:
    return gelu_quick_of(x)


@inline
def gelu_erf(step: int, x: Any) -> Any:
    return HALF * x * (ONE + erff(x * ROOT_HALF))


@inline
def silu(step: int, x: Any) -> Any:
    return x / (ONE + expf(-x))


@inline
def hard_sigmoid(step: int, x: Any) -> Any:
    y = (x + THREE) / SIX
    y = y if y > ZERO else ZERO
    return y if y < ONE else ONE


@inline
def hard_swish(step: int, x: Any) -> Any:
    return x * hard_sigmoid(step, x)


@inline
def exponential(step: int, x: Any) -> Any:
    return expf(x)


@inline
def exponential_less_1(step: int, x: Any) -> Any:
    """Near 0 it loses what `expm1f` would keep, as ggml does."""
    return expf(x) - ONE


@inline
def softplus(step: int, x: Any) -> Any:
    return x if x > SOFTPLUS_FAR else logf(ONE + expf(x))


@inline
def xielu(step: int, x: Any) -> Any:
    beta, epsilon = real_param(step, BETA), real_param(step, EPSILON)
    if x > ZERO:
        return fused(real_param(step, ALPHA_P) * x, x, beta * x)
    least = x if x < epsilon else epsilon
    return fused(expm1f(least) - x, real_param(step, ALPHA_N), beta * x)


@inline
def lower(step: int, x: Any) -> Any:
    return _floor(x)


@inline
def ceiling(step: int, x: Any) -> Any:
    return _ceil(x)


@inline
def rounded(step: int, x: Any) -> Any:
    """Halves away from 0."""
    return _round(x)


@inline
def truncated(step: int, x: Any) -> Any:
    return _trunc(x)


@inline
def square(step: int, x: Any) -> Any:
    return x * x


@inline
def square_root(step: int, x: Any) -> Any:
    return _sqrt(x)


@inline
def logarithm(step: int, x: Any) -> Any:
    return logf(x)


@inline
def sine(step: int, x: Any) -> Any:
    return sinf(x)


@inline
def cosine(step: int, x: Any) -> Any:
    return cosf(x)
