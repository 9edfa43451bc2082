"""Ops that walk through tokens with a state.

Rules
- t tokens are n sequences of t / n tokens each, one after the other. The results are the outputs of all tokens and the
  states that are left.
- The step of one token is written for one head at a time over all of its channels.
"""

import attrs
import numpy as np

from conformance.cases.ops.blocks.formats import Array

__all__ = ["Scan", "Wkv7", "delta_net", "linear_attention", "ssm_conv", "ssm_scan", "wkv6", "wkv7"]


def ssm_conv(x: Array, w: Array) -> Array:
    """x (1, s, d_inner, d_conv - 1 + t), w (1, 1, d_inner, d_conv) > (1, s, t, d_inner)."""
    windows = np.lib.stride_tricks.sliding_window_view(x[0], w.shape[-1], axis=-1)
    return np.asarray(np.einsum("sctj,cj->stc", windows, w[0, 0])[None])


@attrs.frozen(eq=False)
class Scan:
    """Operands of SSM_SCAN: state (slots, heads, head_dim, d_state), x (s, t, heads, head_dim), dt (1, s, t, heads),
    a (1, 1, heads, 1 or d_state), b and c (s, t, groups, d_state), ids of s slots."""

    state: Array
    x: Array
    dt: Array
    a: Array
    b: Array
    c: Array
    ids: Array


def ssm_scan(scan: Scan) -> tuple[Array, list[Array]]:
    """y (s, t, heads, head_dim), and the states after each token."""
    heads = scan.x.shape[2]
    b, c = (each.repeat(heads // each.shape[2], axis=2) for each in (scan.b, scan.c))
    now = scan.state[scan.ids.reshape(-1).astype(np.int64)]
    y, after = np.empty_like(scan.x), []
    for t in range(scan.x.shape[1]):
        e = np.log1p(np.exp(scan.dt[0, :, t]))[..., None, None]
        now = now * np.exp(e * scan.a[0, 0][:, None, :]) + b[:, t, :, None, :] * scan.x[:, t, :, :, None] * e
        y[:, t] = np.einsum("shcd,shd->shc", now, c[:, t])
        after.append(now)
    return y, after


def wkv6(k: Array, v: Array, r: Array, tf: Array, td: Array, state: Array) -> tuple[Array, Array]:
    """k, v, r, td (t, h, s), tf (h, s), state (n, h, s of k, s of v) > y (t, h, s) and the last states."""
    y, now = np.empty_like(v), state.copy()
    for t, n in _tokens(len(k), len(state)):
        kv = k[t][:, :, None] * v[t][:, None, :]
        y[t] = np.einsum("hi,hij->hj", r[t], tf[:, :, None] * kv + now[n])
        now[n] = now[n] * td[t][:, :, None] + kv
    return y, now


def linear_attention(k: Array, v: Array, q: Array, g: Array, state: Array, scale: float) -> tuple[Array, Array]:
    """k, v, q, g (t, h, s), state (n, h, s of k, s of v) > y (t, h, s) and the last states."""
    y, now = np.empty_like(v), state.copy()
    for t, n in _tokens(len(k), len(state)):
        now[n] = now[n] * g[t][:, :, None] + k[t][:, :, None] * v[t][:, None, :]
        y[t] = scale * np.einsum("hi,hij->hj", q[t], now[n])
    return y, now


@attrs.frozen(eq=False)
class Wkv7:
    """Operands of RWKV_WKV7: r, w, k, v, a, b (t, h, s), state (n, h, s of v, s of k)."""

    r: Array
    w: Array
    k: Array
    v: Array
    a: Array
    b: Array
    state: Array


def wkv7(given: Wkv7) -> tuple[Array, Array]:
    """y (t, h, s) and the last states."""
    y, now = np.empty_like(given.v), given.state.copy()
    for t, n in _tokens(len(y), len(now)):
        seen = np.einsum("hij,hj->hi", now[n], given.a[t])
        added = given.v[t][:, :, None] * given.k[t][:, None, :] + seen[:, :, None] * given.b[t][:, None, :]
        now[n] = now[n] * given.w[t][:, None, :] + added
        y[t] = np.einsum("hij,hj->hi", now[n], given.r[t])
    return y, now


def delta_net(q: Array, k: Array, v: Array, g: Array, beta: Array, state: Array) -> tuple[Array, list[Array]]:
    """q, k (b, t, hk, s), v (b, t, hv, s), g (b, t, hv, 1 or s), beta (b, t, hv, 1), state (b, hv, s of v, s of k) >
    y (b, t, hv, s) and the states after each token."""
    heads = v.shape[2]
    q, k = (np.tile(each, (1, 1, heads // each.shape[2], 1)) for each in (q, k))
    y, after, now = np.empty_like(v), [], state.copy()
    for t in range(v.shape[1]):
        now = now * np.exp(g[:, t])[:, :, None, :]
        d = (v[:, t] - np.einsum("bhji,bhi->bhj", now, k[:, t])) * beta[:, t]
        now = now + d[..., :, None] * k[:, t][..., None, :]
        y[:, t] = np.einsum("bhji,bhi->bhj", now, q[:, t]) / np.sqrt(v.shape[-1])
        after.append(now)
    return y, after


def _tokens(tokens: int, sequences: int) -> list[tuple[int, int]]:
    return [(t, t // (tokens // sequences)) for t in range(tokens)]
