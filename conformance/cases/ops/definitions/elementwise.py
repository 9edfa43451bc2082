"""UNARY, GLU and the plain ops of one element at a time.

Rules
- Arrays are (n3, n2, n1, n0); a smaller operand is repeated by OP-BROADCAST, which is `like`.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from conformance.cases.ops.blocks.formats import Array

__all__ = [
    "BINARY",
    "GATES",
    "SIMPLE",
    "UNARY",
    "clamped",
    "gelu",
    "gelu_erf",
    "gelu_quick",
    "glu",
    "half_away",
    "halves_of",
    "hard_sigmoid",
    "leaky_relu",
    "like",
    "sigmoid",
    "silu",
    "silu_back",
    "xielu",
]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def like(values: Array, shape: tuple[int, ...]) -> Array:
    """Values repeated so that they have this shape: index modulo extent (OP-BROADCAST)."""
    return np.tile(values, [whole // part for whole, part in zip(shape, values.shape, strict=True)])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def gelu_quick(x: Array) -> Array:
    return x * sigmoid(1.702 * x)


def gelu_erf(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def hard_sigmoid(x: Array) -> Array:
    return np.clip((x + 3) / 6, 0, 1)


def half_away(x: Array) -> Array:
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


def xielu(x: Array, alpha_n: float, alpha_p: float, beta: float, eps: float) -> Array:
    negative = (np.expm1(np.minimum(x, eps)) - x) * alpha_n + beta * x
    return np.where(x > 0, alpha_p * x * x + beta * x, negative)


UNARY: Mapping[str, Callable[[Array], Array]] = {
    "ABS": np.abs,
    "SGN": np.sign,
    "NEG": np.negative,
    "STEP": lambda x: (x > 0).astype(np.float64),
    "TANH": np.tanh,
    "ELU": lambda x: np.where(x > 0, x, np.expm1(x)),
    "RELU": lambda x: np.maximum(x, 0),
    "SIGMOID": sigmoid,
    "GELU": gelu,
    "GELU_QUICK": gelu_quick,
    "SILU": silu,
    "HARDSWISH": lambda x: x * hard_sigmoid(x),
    "HARDSIGMOID": hard_sigmoid,
    "EXP": np.exp,
    "EXPM1": np.expm1,
    "SOFTPLUS": lambda x: np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 20)))),
    "GELU_ERF": gelu_erf,
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "ROUND": half_away,
    "TRUNC": np.trunc,
}
"""kind of UNARY > function; XIELU has parameters and stands apart"""

SIMPLE: Mapping[str, Callable[[Array], Array]] = {
    "SQR": np.square,
    "SQRT": np.sqrt,
    "LOG": np.log,
    "SIN": np.sin,
    "COS": np.cos,
}
"""op of one operand and no parameters > function"""

BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
}
"""op of two operands > function"""

GATES: Mapping[str, Callable[[Array, Array, float, float], Array]] = {
    "REGLU": lambda gate, value, alpha, limit: np.maximum(gate, 0) * value,
    "GEGLU": lambda gate, value, alpha, limit: gelu(gate) * value,
    "SWIGLU": lambda gate, value, alpha, limit: silu(gate) * value,
    "SWIGLU_OAI": lambda gate, value, alpha, limit: (
        np.minimum(gate, limit) * sigmoid(alpha * np.minimum(gate, limit)) * (np.clip(value, -limit, limit) + 1)
    ),
    "GEGLU_ERF": lambda gate, value, alpha, limit: gelu_erf(gate) * value,
    "GEGLU_QUICK": lambda gate, value, alpha, limit: gelu_quick(gate) * value,
    "SWIGLU_CLAMP": lambda gate, value, alpha, limit: silu(np.minimum(gate, limit)) * np.clip(value, -limit, limit),
}
"""kind of GLU > function of gate, value, alpha and limit"""


def halves_of(x: Array, swapped: bool) -> tuple[Array, Array]:
    """Gate and value that stand side by side in each row."""
    first, second = np.split(x, 2, axis=-1)
    return (second, first) if swapped else (first, second)


def glu(kind: str, gate: Array, value: Array, alpha: float = 0.0, limit: float = 0.0) -> Array:
    return GATES[kind](gate, value, alpha, limit)


def leaky_relu(x: Array, slope: float) -> Array:
    return np.where(x > 0, x, slope * x)


def clamped(x: Array, low: float, high: float) -> Array:
    return np.minimum(np.maximum(x, low), high)


def silu_back(grad: Array, x: Array) -> Array:
    s = sigmoid(x)
    return grad * s * (1 + x * (1 - s))
