"""FLASH_ATTN_EXT: softmax(scale * q . k + slope * mask) @ v, one query of one head at a time.

Queries meet F16 keys rounded to F16, as MUL_MAT's partner rule says. A query whose keys are all masked yields zeros.
"""

import numpy as np

from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.rows import alibi_slope, optional, softmax_row
from refimpl.kernels.oracle.views import Values, present, real_word, reals, shape
from spec.names import Type

__all__ = ["attended"]

SCALE, MAX_BIAS, SOFTCAP = 0, 1, 2


def attended(case: Case) -> Values:
    """q F32 (D, N, H, S), k (D, KV, Hk, Sk), v (DV, KV, Hk, Sk), mask F16 (KV, >= N, m2, m3) or none, sinks F32 (H)
    or none.

    -> (DV, H, N, S): heads before tokens. Head h of sequence s reads key head h / (H / Hk) of sequence s / (S / Sk).
    """
    query, key, value = present(case, 0), present(case, 1), present(case, 2)
    q, k, v = reals(query), reals(key), reals(value)
    if key.type == Type.F16:
        q = q.astype(np.float16).astype(np.float64)
    mask, sinks = optional(case, 3), optional(case, 4)
    bias = None if mask is None else reals(mask)
    sink = None if sinks is None else reals(sinks)[0, 0, 0]
    heads = query.ne[2]
    out = np.zeros(shape(case.dst))
    for s, n, h in np.ndindex(*out.shape[:3]):
        theirs = s // (query.ne[3] // key.ne[3]), h // (heads // key.ne[2])
        scores = _scores(case, k[theirs] @ q[s, h, n])
        if bias is not None:
            slope = alibi_slope(real_word(case, MAX_BIAS), h, heads)
            scores = scores + slope * bias[s % bias.shape[0], h % bias.shape[1], n]
        out[s, n, h] = softmax_row(scores, None if sink is None else float(sink[h])) @ v[theirs]
    return out


def _scores(case: Case, products: Values) -> Values:
    """scale * products, and with a soft cap: cap * tanh(scale * products / cap)."""
    scale, cap = real_word(case, SCALE), real_word(case, SOFTCAP)
    if cap == 0:
        return scale * products
    return cap * np.tanh(scale * products / cap)
