"""ROPE and ROPE_BACK, by OP-ROPE-ANGLE and OP-ROPE-SECTIONS."""

import math

import attrs
import numpy as np
from numpy.typing import NDArray

from conformance.cases.ops.blocks.formats import Array

__all__ = ["IMROPE", "MROPE", "NEOX", "NORMAL", "VISION", "Rope", "rotated"]

NORMAL, NEOX, MROPE, VISION, IMROPE = 0, 2, 8, 24, 40
HEIGHT, WIDTH, EXTRA = 1, 2, 3


@attrs.frozen(kw_only=True)
class Rope:
    """Parameters of ROPE, named as in ops.md."""

    n_dims: int
    mode: int = NORMAL
    n_ctx_orig: int = 0
    freq_base: float = 10000.0
    freq_scale: float = 1.0
    ext_factor: float = 0.0
    attn_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    sections: tuple[int, ...] = (0, 0, 0, 0)
    n_offs: int = 0

    @property
    def pairs(self) -> int:
        """How many pairs are rotated."""
        return self.n_dims if self.mode == VISION else self.n_dims // 2

    @property
    def in_sections(self) -> bool:
        """Whether a pair uses one of four positions."""
        return self.mode in (MROPE, VISION, IMROPE)

    def ramp(self) -> Array:
        """r of each pair: how much of the angle is not interpolated."""

        def c(beta: float) -> float:
            return self.n_dims * math.log(self.n_ctx_orig / (2 * math.pi * beta)) / (2 * math.log(self.freq_base))

        low, high = max(0, math.floor(c(self.beta_fast))), min(self.n_dims - 1, math.ceil(c(self.beta_slow)))
        along = (np.arange(self.pairs) - low) / max(0.001, high - low)
        return (1 - np.clip(along, 0, 1)) * self.ext_factor


def _of_pairs(rope: Rope) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which position each pair uses, and its place among the frequencies."""
    k = np.arange(rope.pairs)
    if not rope.in_sections:
        return np.zeros_like(k), k
    j = k % sum(rope.sections)
    bounds = np.cumsum(rope.sections)
    which = np.searchsorted(bounds, j, side="right")
    if rope.mode == IMROPE:
        inside = j < 3 * np.array(rope.sections)[(0, 1, 2, 0),][j % 3]
        which = np.where(inside, j % 3, EXTRA)
    if rope.mode == VISION:
        k = j - np.concatenate([[0], bounds])[which]
    return which, k


def _angles(rope: Rope, pos: Array, factors: Array | None, tokens: int) -> tuple[Array, float]:
    """(t, pairs) and the magnitude."""
    which, k = _of_pairs(rope)
    positions = pos.reshape(-1, tokens)[which].T
    t = positions * rope.freq_base ** (-2.0 * k / rope.n_dims)
    if factors is not None:
        t = t / factors.reshape(-1)[: rope.pairs]
    if rope.ext_factor == 0:
        return t * rope.freq_scale, rope.attn_factor
    r = rope.ramp()
    return t * rope.freq_scale * (1 - r) + t * r, rope.attn_factor * (1 + 0.1 * math.log(1 / rope.freq_scale))


def rotated(x: Array, pos: Array, factors: Array | None, rope: Rope, sign: int = 1) -> Array:
    """x (s, t, heads, d); sign -1 turns back."""
    angle, magnitude = _angles(rope, pos, factors, x.shape[1])
    cos, sin = np.cos(angle)[:, None] * magnitude, np.sin(angle)[:, None] * magnitude * sign
    k = np.arange(rope.pairs)
    first, second = (2 * k, 2 * k + 1) if rope.mode == NORMAL else (k, k + rope.pairs)
    first, second = first + rope.n_offs, second + rope.n_offs
    done = x.copy()
    done[..., first] = x[..., first] * cos - x[..., second] * sin
    done[..., second] = x[..., first] * sin + x[..., second] * cos
    return done
