"""RMS_NORM, NORM, L2_NORM and SOFT_MAX: one row of dimension 0 at a time."""

import numpy as np

from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.views import Values, present, real_word, reals

__all__ = ["alibi_slope", "centred", "normalised", "of_length_1", "optional", "softened", "softmax_row"]

NORM_EPSILON = 0
SOFT_MAX_SCALE, SOFT_MAX_BIAS = 0, 1


def normalised(case: Case) -> Values:
    """RMS_NORM: x / sqrt(mean(x^2) + eps) of each row."""
    x = reals(present(case, 0))
    if x.shape[-1] == 0:
        return x
    return np.asarray(x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + real_word(case, NORM_EPSILON)))


def centred(case: Case) -> Values:
    """NORM: (x - mean) / sqrt(variance + eps) of each row."""
    x = reals(present(case, 0))
    if x.shape[-1] == 0:
        return x
    around = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(around / np.sqrt((around * around).mean(axis=-1, keepdims=True) + real_word(case, NORM_EPSILON)))


def of_length_1(case: Case) -> Values:
    """L2_NORM: x / max(sqrt(sum(x^2)), eps) of each row."""
    x = reals(present(case, 0))
    length = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(x / np.maximum(length, real_word(case, NORM_EPSILON)))


def alibi_slope(max_bias: float, head: int, heads: int) -> float:
    """Factor of the mask for head 0..heads-1.

    1 without a bias, else two falling powers that meet at 2^floor(log2 heads).
    """
    if max_bias <= 0:
        return 1.0
    turn = 1 << (heads.bit_length() - 1)
    if head < turn:
        return float(2.0 ** (-max_bias / turn * (head + 1)))
    return float(2.0 ** (-max_bias / 2 / turn * (2 * (head - turn) + 1)))


def softmax_row(scores: Values, sink: float | None) -> Values:
    """exp(x - max) / sum over one row; a sink is one more score that takes part in max and sum but has no output.

    A row in which everything is masked has no weights: all zeros, which is what attention asks for. For SOFT_MAX
    itself the protocol leaves such a row open, and no contract case has one.
    """
    top = max(float(scores.max()), -np.inf if sink is None else sink)
    if top == -np.inf:
        return np.zeros_like(scores)
    weights = np.exp(scores - top)
    total = weights.sum() + (0.0 if sink is None else np.exp(sink - top))
    return np.asarray(weights / total)


def optional(case: Case, slot: int) -> Operand | None:
    """Source `slot`, or None where it is absent."""
    return case.srcs[slot] if slot < len(case.srcs) else None


def softened(case: Case) -> Values:
    """SOFT_MAX over dimension 0 of scale * x + slope * mask.

    src0 (n, rows, heads, batch); src1 mask F32 or F16 (n, >= rows, heads', batch'), the last two modulo; src2 sinks
    F32 (heads).
    """
    x, mask, sinks = reals(present(case, 0)), optional(case, 1), optional(case, 2)
    scale, max_bias = real_word(case, SOFT_MAX_SCALE), real_word(case, SOFT_MAX_BIAS)
    bias = None if mask is None else reals(mask)
    sink = None if sinks is None else reals(sinks)[0, 0, 0]
    out = np.zeros_like(x)
    for batch, head, row in np.ndindex(*x.shape[:3]):
        scores = scale * x[batch, head, row]
        if bias is not None:
            slope = alibi_slope(max_bias, head, x.shape[1])
            scores = scores + slope * bias[batch % bias.shape[0], head % bias.shape[1], row]
        out[batch, head, row] = softmax_row(scores, None if sink is None else float(sink[head]))
    return out
