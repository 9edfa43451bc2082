"""ROPE: pairs of channels turned by an angle that grows with the position and falls with the channel; and YaRN.

Modes NORMAL (neighbours are a pair) and NEOX (a channel and the one half the turned width further on). Angles are
float64 here; a float32 kernel drifts by about position * 2^-24 radians in each of them, which the tolerance table
allows for.
"""

import math

import attrs
import numpy as np

from refimpl.kernels.operand import Case
from refimpl.kernels.oracle.copies import as_stored
from refimpl.kernels.oracle.rows import optional
from refimpl.kernels.oracle.views import Values, integers, present, reals
from spec.names import RopeMode, Type

__all__ = ["RopeParams", "angles", "rotated"]


@attrs.frozen(kw_only=True)
class RopeParams:
    """The words of ROPE's op_params that these modes read."""

    n_dims: int
    mode: int
    n_ctx_orig: int
    freq_base: float
    freq_scale: float
    ext_factor: float
    attn_factor: float
    beta_fast: float
    beta_slow: float
    n_offs: int

    @classmethod
    def of(cls, case: Case) -> "RopeParams":
        """Words 1, 2, 4 and 15 are integers, 5 to 10 floats; 0, 3 and the M-RoPE sections 11 to 14 are not read."""
        whole, real = case.params, case.params.view(np.float32)
        return cls(
            n_dims=int(whole[1]),
            mode=int(whole[2]),
            n_ctx_orig=int(whole[4]),
            freq_base=float(real[5]),
            freq_scale=float(real[6]),
            ext_factor=float(real[7]),
            attn_factor=float(real[8]),
            beta_fast=float(real[9]),
            beta_slow=float(real[10]),
            n_offs=int(whole[15]),
        )


def _ramp_edges(p: RopeParams) -> tuple[float, float]:
    """The pairs between which YaRN goes from extrapolation to interpolation.

    Without a context they lie at infinity, and there is no ramp: one pair or none is extrapolated.
    """

    def pair_with(turns: float) -> float:
        context = math.log(p.n_ctx_orig / (turns * 2 * math.pi)) if p.n_ctx_orig else -math.inf
        return p.n_dims * context / (2 * math.log(p.freq_base))

    low = max(0.0, float(np.floor(pair_with(p.beta_fast))))
    return low, min(p.n_dims - 1.0, float(np.ceil(pair_with(p.beta_slow))))


def angles(p: RopeParams, position: int, factors: Values | None) -> tuple[Values, float]:
    """(n_dims / 2,) angles in radians at `position`, and the factor of both cosine and sine."""
    pairs = np.arange(p.n_dims // 2)
    extrapolated = position * np.power(p.freq_base, -2.0 * pairs / p.n_dims)
    if factors is not None:
        extrapolated = extrapolated / factors[: pairs.size]
    interpolated = p.freq_scale * extrapolated
    if p.ext_factor == 0:
        return interpolated, p.attn_factor
    low, high = _ramp_edges(p)
    ramp = 1 - np.clip((pairs - low) / max(0.001, high - low), 0, 1)
    mix = ramp * p.ext_factor
    return interpolated * (1 - mix) + extrapolated * mix, p.attn_factor * (1 + 0.1 * math.log(1 / p.freq_scale))


def rotated(case: Case) -> Values:
    """src0 (channels, heads, tokens, batch) F32 or F16, src1 I32 positions (tokens), src2 optional F32 frequency
    factors.

    Channels n_offs .. n_offs + n_dims - 1 turn, the others are copied.
    """
    p, x = RopeParams.of(case), reals(present(case, 0))
    if p.mode not in (RopeMode.NORMAL, RopeMode.NEOX):
        raise NotImplementedError(f"ROPE mode {p.mode}")
    positions = integers(present(case, 1))[0, 0, 0]
    factors = optional(case, 2)
    divisors = None if factors is None else reals(factors)[0, 0, 0]
    half = p.n_dims // 2
    if p.mode == RopeMode.NEOX:
        first, second = np.arange(half), np.arange(half) + half
    else:
        first, second = 2 * np.arange(half), 2 * np.arange(half) + 1
    first, second = first + p.n_offs, second + p.n_offs
    out = x.copy()
    for token in range(x.shape[1]):
        theta, magnitude = angles(p, int(positions[token]), divisors)
        cos, sin = np.cos(theta) * magnitude, np.sin(theta) * magnitude
        a, b = x[:, token, :, first], x[:, token, :, second]  # pairs come to the front: (half, batch, heads)
        turn = (slice(None), None, None)
        out[:, token, :, first] = a * cos[turn] - b * sin[turn]
        out[:, token, :, second] = a * sin[turn] + b * cos[turn]
    return as_stored(out, case.dst, Type.F32)
