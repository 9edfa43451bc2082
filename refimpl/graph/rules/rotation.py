"""ROPE: rotated channels, positions, and the parameters that angles are made of.

Angles come from logarithms and powers of the parameters, and YaRN turns some into channel numbers, so what would make
those undefined is refused here.
"""

import numpy as np

from refimpl.graph.refusal import in_all
from refimpl.graph.rules.group import OpGroup
from spec.names import RopeMode, Type

__all__ = ["rope"]

N_DIMS, MODE, N_CTX_ORIG = 1, 2, 4
FLOATS = (5, 6, 7, 8, 9, 10)
"""freq_base, freq_scale, ext_factor, attn_factor, beta_fast, beta_slow"""
SECTIONS = slice(11, 15)
N_OFFS = 15
FACTORS = 2
PLANES = 4
"""positions of a token in the modes with sections: time, height, width, extra"""


def rope(group: OpGroup) -> None:
    """`x (d, h, n, b) -> (d, h, n, b)` F32, F16; positions I32 (n), (4 n) with sections; factors F32 (>= n_dims/2)."""
    x, positions, dst = group.src(0), group.src(1), group.dst
    group.require(x.same_shape(dst) & (x.type == dst.type), "result and src[0] differ in shape or type")
    group.require(x.is_type(Type.F32, Type.F16), "src[0] is neither F32 nor F16")
    group.require(x.rows_packed() & dst.rows_packed(), "rows of src[0] or the result are not packed")
    mode = group.params[:, MODE]
    group.support(np.isin(mode, list(RopeMode.__members__.values())), "this mode of ROPE is unknown")
    sections = (mode & RopeMode.MROPE) != 0
    group.require(positions.is_type(Type.I32) & positions.is_vector(), "positions are no packed row of I32")
    wanted = x.ne[:, 2] * np.where(sections, PLANES, 1)
    group.require(positions.ne[:, 0] == wanted, "positions do not fit the rows of src[0]")
    _channels(group, x.ne[:, 0])
    _angles(group)
    _sections(group.where(sections))
    scaled = group.having(FACTORS)
    factors = scaled.src(FACTORS)
    scaled.require(factors.is_type(Type.F32) & factors.is_vector(), "frequency factors are no packed row of F32")
    scaled.require(2 * factors.ne[:, 0] >= scaled.params[:, N_DIMS], "there is not a frequency factor for each pair")


def _channels(group: OpGroup, row: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
    """The rotated channels lie in a row; in vision mode they are two halves that fill it."""
    n_dims, first = group.params[:, N_DIMS].astype(np.int64), group.params[:, N_OFFS].astype(np.int64)
    group.require((n_dims > 0) & (n_dims % 2 == 0), "n_dims is not a positive even number")
    group.require((first >= 0) & (first + n_dims <= row), "the rotated channels leave the row")
    vision = group.params[:, MODE] == RopeMode.VISION
    group.require(~vision | ((2 * n_dims == row) & (first == 0)), "in vision mode n_dims is half a row")


def _angles(group: OpGroup) -> None:
    """All parameters are finite; with YaRN its logarithms exist and are not divided by 0.

    That of a context of 0 is taken as minus infinity, as ggml does: its edges are clamped.
    """
    floats = group.floats(*FLOATS)
    base, scale, extrapolation, fast, slow = floats[:, 0], floats[:, 1], floats[:, 2], floats[:, 4], floats[:, 5]
    group.require(in_all(np.isfinite(floats)) & (base > 0), "a parameter is not finite, or freq_base not positive")
    yarn = (group.params[:, N_CTX_ORIG] >= 0) & (scale > 0) & (fast > 0) & (slow > 0) & (base != 1)
    group.require((extrapolation == 0) | yarn, "YaRN with parameters that have no logarithm")


def _sections(group: OpGroup) -> None:
    """Section lengths are not negative and not all 0: pairs are numbered modulo their sum."""
    lengths = group.params[:, SECTIONS].astype(np.int64)
    group.require(in_all(lengths >= 0) & (lengths.sum(axis=1) > 0), "section lengths are negative or all 0")
