"""Samples of ops that walk through tokens with a state, and of hyper-connections."""

from functools import partial

import numpy as np

from conformance.cases.ops.blocks.draw import Draw, Operand
from conformance.cases.ops.blocks.formats import Array
from conformance.cases.ops.definitions.hyper import combined, posted, prepared
from conformance.cases.ops.definitions.recurrent import (
    Scan,
    Wkv7,
    delta_net,
    linear_attention,
    ssm_conv,
    ssm_scan,
    wkv6,
    wkv7,
)
from conformance.cases.ops.sample import Book, Sample, result

__all__ = ["BOOK"]

BOOK = Book()
_sample = BOOK.sample

HEAD, HEADS, TOKENS = 64, 2, 6
"""channels of a head, heads and tokens of the linear attentions"""


@_sample("SSM_CONV", "one-sequence")
def _ssm_conv(draw: Draw) -> Sample:
    """SSM_CONV of one sequence"""
    x, w = draw.floats(3 + 5, 24, 1), draw.floats(4, 24)
    return result("SSM_CONV", ssm_conv(x.values, w.values)[0], x, w)


@_sample("SSM_CONV", "sequences")
def _ssm_conv_two(draw: Draw) -> Sample:
    """SSM_CONV of two sequences"""
    x, w = draw.floats(3 + 5, 24, 2), draw.floats(4, 24)
    return result("SSM_CONV", ssm_conv(x.values, w.values)[0], x, w)


def _scan(draw: Draw, wide_a: bool, kept: int, groups: int) -> Sample:
    d_state, head_dim, heads, t, s = 16, (1 if wide_a else 8), 4, 5, 2
    state, x = draw.floats(d_state, head_dim, heads, 3), draw.floats(head_dim, heads, t, s)
    dt, a = draw.floats(heads, t, s), draw.floats(d_state if wide_a else 1, heads, low=-2, high=-0.1)
    b, c = draw.floats(d_state, groups, t, s), draw.floats(d_state, groups, t, s)
    ids = draw.choices(s, 3)
    y, after = ssm_scan(Scan(*(each.values for each in (state, x, dt, a, b, c, ids))))
    want = np.concatenate([y.reshape(-1), *[each.reshape(-1) for each in after[::-1][: max(1, kept)]]])
    return result("SSM_SCAN", want, state, x, dt, a, b, c, ids, params={"K": kept})


for _slug, _wide, _kept, _groups in (
    ("one-decay", False, 1, 1),
    ("groups", False, 1, 2),
    ("decay-of-each-state", True, 1, 1),
    ("three-states-kept", False, 3, 1),
):
    _title = f"SSM_SCAN, {_slug.replace('-', ' ')}"
    BOOK.add("SSM_SCAN", _slug, _title, partial(_scan, wide_a=_wide, kept=_kept, groups=_groups))


def _states(draw: Draw, n: int) -> Operand:
    return draw.floats(HEAD * HEAD * HEADS, n, low=-0.25, high=0.25)


def _by_head(state: Operand) -> Array:
    return state.values.reshape(-1, HEADS, HEAD, HEAD)


def _rows(y: Array, last: Array) -> Array:
    """Outputs, then states, as rows of all heads."""
    return np.concatenate([y.reshape(-1, HEADS * HEAD), last.reshape(-1, HEADS * HEAD)])


def _channels(draw: Draw, count: int, low: float = -0.5, high: float = 0.5) -> list[Operand]:
    return [draw.floats(HEAD, HEADS, TOKENS, low=low, high=high) for _ in range(count)]


def _wkv6(draw: Draw, n: int) -> Sample:
    (k, v, r), tf = _channels(draw, 3), draw.floats(HEAD, HEADS)
    (td,), state = _channels(draw, 1, 0.5, 1), _states(draw, n)
    y, last = wkv6(k.values[0], v.values[0], r.values[0], tf.values[0, 0], td.values[0], _by_head(state))
    return result("RWKV_WKV6", _rows(y, last), k, v, r, tf, td, state)


def _gla(draw: Draw, n: int) -> Sample:
    (k, v, q), (g,), state = _channels(draw, 3), _channels(draw, 1, 0.5, 1), _states(draw, n)
    y, last = linear_attention(k.values[0], v.values[0], q.values[0], g.values[0], _by_head(state), 0.125)
    return result("GATED_LINEAR_ATTN", _rows(y, last), k, v, q, g, state, params={"scale": 0.125})


def _wkv7(draw: Draw, n: int) -> Sample:
    (r,), (w,), (k, v) = _channels(draw, 1), _channels(draw, 1, 0.5, 1), _channels(draw, 2)
    (a, b), state = _channels(draw, 2, -0.125, 0.125), _states(draw, n)
    y, last = wkv7(Wkv7(*[*(each.values[0] for each in (r, w, k, v, a, b)), _by_head(state)]))
    return result("RWKV_WKV7", _rows(y, last), r, w, k, v, a, b, state)


for _op, _make in (("RWKV_WKV6", _wkv6), ("GATED_LINEAR_ATTN", _gla), ("RWKV_WKV7", _wkv7)):
    for _n, _words in ((1, "one-sequence"), (2, "two-sequences")):
        BOOK.add(_op, _words, f"{_op} of {_words.replace('-', ' ')}", partial(_make, n=_n))


def _delta_net(draw: Draw, wide_g: bool, kept: int, hk: int) -> Sample:
    s, hv, t, b = 16, 4, 5, 2
    q, k = (draw.floats(s, hk, t, b, low=-0.25, high=0.25) for _ in range(2))
    v, g = draw.floats(s, hv, t, b), draw.floats(s if wide_g else 1, hv, t, b, low=-1, high=0)
    beta, state = draw.floats(1, hv, t, b, low=0, high=1), draw.floats(s, s, hv, b)
    y, after = delta_net(q.values, k.values, v.values, g.values, beta.values, state.values)
    states = [each.reshape(-1, s * hv) for each in after[::-1][: max(1, kept)]]
    return result(
        "GATED_DELTA_NET", np.concatenate([y.reshape(-1, s * hv), *states]), q, k, v, g, beta, state, params={"K": kept}
    )


for _slug, _wide, _kept, _hk in (
    ("one-gate", False, 1, 4),
    ("gate-of-each-channel", True, 1, 4),
    ("shared-keys", False, 1, 2),
    ("three-states-kept", False, 3, 4),
):
    _title = f"GATED_DELTA_NET, {_slug.replace('-', ' ')}"
    BOOK.add("GATED_DELTA_NET", _slug, _title, partial(_delta_net, wide_g=_wide, kept=_kept, hk=_hk))


def _comb(draw: Draw, n_iter: int) -> Sample:
    mixes, scale, base = draw.floats(24, 5), draw.floats(3), draw.floats(24)
    want = combined(mixes.values[0, 0], scale.values.reshape(-1), base.values.reshape(-1), 2.0**-10, n_iter)
    return result("DSV4_HC_COMB", want, mixes, scale, base, params={"eps": 2.0**-10, "n_iter": n_iter})


for _n_iter in (1, 4):
    BOOK.add("DSV4_HC_COMB", f"iterations-{_n_iter}", f"{_n_iter} normalisations", partial(_comb, n_iter=_n_iter))


def _pre(draw: Draw, gated: bool) -> Sample:
    x, w = draw.floats(37, 4, 5), draw.floats(*((37, 4, 5) if gated else (4, 5)))
    weights = w.values[0] if gated else w.values[0, 0]
    return result(
        "DSV4_HC_PRE", prepared(x.values[0], weights, 0.5, gated), x, w, params={"scale": 0.5, "gated": int(gated)}
    )


def _post(draw: Draw, has_comb: bool) -> Sample:
    x, residual, post = draw.floats(37, 5), draw.floats(37, 4, 5), draw.floats(4, 5)
    comb = draw.floats(4, 4, 5) if has_comb else None
    want = posted(x.values[0, 0], residual.values[0], post.values[0, 0], None if comb is None else comb.values[0])
    return result("DSV4_HC_POST", want, x, residual, post, comb)


BOOK.add("DSV4_HC_PRE", "weights", "DSV4_HC_PRE with a weight for each stream", partial(_pre, gated=False))
BOOK.add("DSV4_HC_PRE", "gated", "DSV4_HC_PRE with a gate for each element", partial(_pre, gated=True))
BOOK.add("DSV4_HC_POST", "comb", "DSV4_HC_POST with a mixture of streams", partial(_post, has_comb=True))
BOOK.add("DSV4_HC_POST", "no-comb", "DSV4_HC_POST without", partial(_post, has_comb=False))
