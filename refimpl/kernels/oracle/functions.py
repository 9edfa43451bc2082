"""UNARY, GLU, and the ops that are one function: SQR, SQRT, LOG, SIN, COS.

A result in F16 is rounded once. GELU and GELU_QUICK lose more on purpose, because ggml does: they come from a table, so
x and f(x) are rounded to F16 whatever the type of the tensor; but GELU of F32 is 0 up to -10 and x from 10 on.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from refimpl.kernels.blocks import f16
from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.copies import as_stored
from refimpl.kernels.oracle.views import Values, present, real_word, reals
from spec.names import Glu, Type, Unary

__all__ = ["cosines", "gated", "logarithms", "named", "rooted", "sines", "squared"]

KIND = 0
ALPHA_N, ALPHA_P, BETA, EPSILON = 1, 2, 3, 4
"""op_params of XIELU"""
SWAPPED, ALPHA, LIMIT = 1, 2, 3
"""op_params of GLU"""
FAR = 10.0
SOFTPLUS_FAR = 20.0
CUBE, QUICK = 0.044715, 1.702

Function = Callable[[Values], Values]


def _half(x: Values) -> Values:
    """x as an F16"""
    with np.errstate(over="ignore"):
        single = x.astype(np.float32).reshape(-1, 1)
    return f16.dequantise(f16.quantise(single)).astype(np.float64).reshape(x.shape)


def _sigmoid(x: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-x)))


def _gelu(x: Values) -> Values:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + CUBE * x**3))))


def _gelu_erf(x: Values) -> Values:
    error = np.array([math.erf(value) for value in (x / math.sqrt(2)).reshape(-1)])
    return np.asarray(0.5 * x * (1 + error.reshape(x.shape)))


def _tabulated(function: Function) -> Function:
    return lambda x: _half(function(_half(x)))


def _gelu_f32(x: Values) -> Values:
    near = _tabulated(_gelu)(np.clip(x, -FAR, FAR))
    return np.where(x <= -FAR, 0.0, np.where(x >= FAR, x, near))


def _hard_sigmoid(x: Values) -> Values:
    return np.clip((x + 3) / 6, 0, 1)


def _silu(x: Values) -> Values:
    return x * _sigmoid(x)


def _softplus(x: Values) -> Values:
    return np.where(x > SOFTPLUS_FAR, x, np.log1p(np.exp(np.minimum(x, SOFTPLUS_FAR))))


FUNCTIONS: Mapping[Unary, Function] = MappingProxyType(
    {
        Unary.ABS: np.abs,
        Unary.SGN: np.sign,
        Unary.NEG: np.negative,
        Unary.STEP: lambda x: np.where(x > 0, 1.0, 0.0),
        Unary.TANH: np.tanh,
        Unary.ELU: lambda x: np.where(x > 0, x, np.expm1(x)),
        Unary.RELU: lambda x: np.maximum(x, 0),
        Unary.SIGMOID: _sigmoid,
        Unary.GELU: _gelu_f32,
        Unary.GELU_QUICK: _tabulated(lambda x: x * _sigmoid(QUICK * x)),
        Unary.SILU: _silu,
        Unary.HARDSWISH: lambda x: x * _hard_sigmoid(x),
        Unary.HARDSIGMOID: _hard_sigmoid,
        Unary.EXP: np.exp,
        Unary.EXPM1: np.expm1,
        Unary.SOFTPLUS: _softplus,
        Unary.GELU_ERF: _gelu_erf,
        Unary.FLOOR: np.floor,
        Unary.CEIL: np.ceil,
        Unary.ROUND: lambda x: np.copysign(np.floor(np.abs(x) + 0.5), x),
        Unary.TRUNC: np.trunc,
    }
)
"""all kinds but XIELU, which has parameters"""

COMPUTED: Mapping[Unary, Function] = MappingProxyType(
    {Unary.GELU: _gelu, Unary.GELU_QUICK: lambda x: x * _sigmoid(QUICK * x)}
)
"""what the table holds, before it is rounded"""

GATES: Mapping[Glu, Unary] = MappingProxyType(
    {
        Glu.REGLU: Unary.RELU,
        Glu.GEGLU: Unary.GELU,
        Glu.SWIGLU: Unary.SILU,
        Glu.GEGLU_ERF: Unary.GELU_ERF,
        Glu.GEGLU_QUICK: Unary.GELU_QUICK,
    }
)
"""kinds without parameters"""


def _applied(case: Case, function: Function) -> Values:
    with np.errstate(all="ignore"):
        return as_stored(np.asarray(function(reals(present(case, 0)))), case.dst, Type.F32)


def _function(case: Case, kind: Unary) -> Function:
    if case.dst.type == Type.BF16 and kind in COMPUTED:
        return COMPUTED[kind]
    return FUNCTIONS[kind]


def _xielu(case: Case) -> Function:
    alpha_n, alpha_p, beta, eps = (real_word(case, word) for word in (ALPHA_N, ALPHA_P, BETA, EPSILON))
    return lambda x: np.where(x > 0, alpha_p * x * x, (np.expm1(np.minimum(x, eps)) - x) * alpha_n) + beta * x


def named(case: Case) -> Values:
    """UNARY: the function that op_params names."""
    kind = Unary(case.params[KIND])
    return _applied(case, _xielu(case) if kind == Unary.XIELU else _function(case, kind))


def squared(case: Case) -> Values:
    """x * x"""
    return _applied(case, np.square)


def rooted(case: Case) -> Values:
    """The square root of x."""
    return _applied(case, np.sqrt)


def logarithms(case: Case) -> Values:
    """The natural logarithm of x."""
    return _applied(case, np.log)


def sines(case: Case) -> Values:
    """The sine of x."""
    return _applied(case, np.sin)


def cosines(case: Case) -> Values:
    """The cosine of x."""
    return _applied(case, np.cos)


def gated(case: Case) -> Values:
    """GLU: f(gate) * value.

    Two sources: gate = src0, value = src1. One source, twice as wide as dst (an odd element at its end counts for
    nothing): gate is its first half and value its second, or, with `swapped`, the other way round.
    """
    first = reals(present(case, 0))
    if len(case.srcs) > 1 and case.srcs[1] is not None:
        gate, value = first, reals(case.srcs[1])
    else:
        n = case.dst.ne[0]
        gate, value = first[..., :n], first[..., n : 2 * n]
        if case.params[SWAPPED]:
            gate, value = value, gate
    with np.errstate(all="ignore"):
        return as_stored(_gated(case, gate, value), case.dst, Type.F32)


def _gated(case: Case, gate: Values, value: Values) -> Values:
    kind, limit = Glu(case.params[KIND]), real_word(case, LIMIT)
    if kind in GATES:
        return np.asarray(_function(case, GATES[kind])(gate) * value)
    gate, value = np.minimum(gate, limit), np.clip(value, -limit, limit)
    if kind == Glu.SWIGLU_CLAMP:
        return np.asarray(_silu(gate) * value)
    return np.asarray(gate * _sigmoid(real_word(case, ALPHA) * gate) * (value + 1))
