"""FLASH_ATTN_EXT: softmax(scale * q . k + slope * mask) @ v for each query of each head.

Queries meet keys as activations meet weights in MUL_MAT, in the partner format of the keys' type. A query whose keys
are all masked yields zeros.

F16 values lose more on purpose, because ggml does: the keys come one after the other, and the running sum of values is
rounded to F16 when it shrinks under a new largest score and when a value is added (`_by_halves`). With many queries
over F16 keys ggml does not, nor does it with keys so many that its result depends on its number of threads. Greedy
texts over nodes equal those without only if the nodes round there too.
"""

import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.mul_mat import MATVEC
from refimpl.kernels.oracle.rows import alibi_slope, optional, softmax_row
from refimpl.kernels.oracle.views import Values, block_bytes, present, real_word, reals
from spec.names import Type

__all__ = ["attended"]

SCALE, MAX_BIAS, SOFTCAP = 0, 1, 2
FEW_QUERIES = 64
SPLIT_KEYS = 512
"""keys of a single query from which on ggml's result depends on its number of threads: then nothing is rounded"""


def attended(case: Case) -> Values:
    """q F32 (D, N, H, S), k (D, KV, Hk, Sk), v (DV, KV, Hk, Sk), mask F16 (KV, >= N, m2, m3) or none, sinks F32 (H)
    or none.

    -> (DV, H, N, S): heads before tokens. Head h of sequence s reads key head h / (H / Hk) of sequence s / (S / Sk).
    """
    query, key, value = present(case, 0), present(case, 1), present(case, 2)
    _, tokens, heads, batch = query.ne
    scores, values = _scores(case), _per_head(value, heads, batch)
    sinks = optional(case, 4)
    sink = None if sinks is None else reals(sinks)[0, 0, 0]
    if value.type == Type.F16 and (key.type != Type.F16 or _few(tokens, batch, key.ne[1])):
        return _by_halves(scores, values, sink)
    out = np.zeros((batch, tokens, heads, value.ne[0]))
    for s, n, h in np.ndindex(*out.shape[:3]):
        out[s, n, h] = softmax_row(scores[s, n, h], None if sink is None else float(sink[h])) @ values[s, h]
    return out


def _few(tokens: int, batch: int, keys: int) -> bool:
    return keys < SPLIT_KEYS if tokens == batch == 1 else tokens < FEW_QUERIES


def _per_head(operand: Operand, heads: int, batch: int) -> Values:
    """(batch, heads, KV, width): the rows that each head of each sequence meets."""
    rows = reals(operand)
    shared = np.repeat(rows, batch // operand.ne[3], axis=0)
    return np.repeat(shared, heads // operand.ne[2], axis=1)


def _scores(case: Case) -> Values:
    """(S, N, H, KV): scaled, capped and masked."""
    query, key, mask = present(case, 0), present(case, 1), optional(case, 3)
    _, tokens, heads, batch = query.ne
    scores = _capped(case, _products(query, key))
    if mask is not None:
        bias = reals(mask)
        for s, n, h in np.ndindex(batch, tokens, heads):
            slope = alibi_slope(real_word(case, MAX_BIAS), h, heads)
            scores[s, n, h] += slope * bias[s % bias.shape[0], h % bias.shape[1], n]
    return scores


def _products(query: Operand, key: Operand) -> Values:
    """(S, N, H, KV): of each query with each key."""
    _, tokens, heads, batch = query.ne
    matvec = MATVEC.get(key.type)
    if matvec is None:
        raise NotImplementedError(f"FLASH_ATTN_EXT with {key.type.name} keys")
    q, packed = reals(query).astype(np.float32), block_bytes(key)
    group, share = heads // key.ne[2], batch // key.ne[3]
    products = np.zeros((batch, tokens, heads, key.ne[1]))
    for s, n, h in np.ndindex(*products.shape[:3]):
        products[s, n, h] = matvec(packed[s // share, h // group], q[s, h, n])
    return products


def _capped(case: Case, products: Values) -> Values:
    """scale * products, and with a soft cap: cap * tanh(scale * products / cap)."""
    scale, cap = real_word(case, SCALE), real_word(case, SOFTCAP)
    if cap == 0:
        return scale * products
    return np.asarray(cap * np.tanh(scale * products / cap))


def _half(values: Values) -> Values:
    return values.astype(np.float16).astype(np.float64)


def _by_halves(scores: Values, values: Values, sink: NDArray[np.float64] | None) -> Values:
    """scores (S, N, H, KV), values (S, H, KV, DV) -> (S, N, H, DV): key by key, the sum of values kept in F16."""
    top = np.full(scores.shape[:3], -np.inf)
    total = np.zeros_like(top)
    out = np.zeros((*top.shape, values.shape[-1]))
    for score, value in zip(np.moveaxis(scores, 3, 0), np.moveaxis(values, 2, 0), strict=True):
        shrink, weight, top = _next(top, score)
        out = _half(_half(out * shrink[..., None]) + weight[..., None] * value[:, None])
        total = total * shrink + weight
    if sink is not None:
        shrink, weight, top = _next(top, np.broadcast_to(sink, top.shape))
        out, total = out * shrink[..., None], total * shrink + weight
    return np.asarray(np.divide(out, total[..., None], out=np.zeros_like(out), where=total[..., None] > 0))


def _next(top: Values, score: Values) -> tuple[Values, Values, Values]:
    """What the sums so far shrink by, the weight of one more score, and the largest score from then on."""
    higher = np.maximum(top, score)
    with np.errstate(invalid="ignore"):
        shrink = np.where(higher == top, 1.0, np.exp(top - higher))
        weight = np.where(score == -np.inf, 0.0, np.exp(score - higher))
    return shrink, weight, higher
