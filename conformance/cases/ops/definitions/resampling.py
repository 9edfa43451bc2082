"""UPSCALE: x resampled to other extents.

Rules
- Place i of the result lies at y = (i + half) / f - half in x, f the ratio of the extents and half 1/2; with corners
  aligned half is 0 and f the ratio of the extents less one. Places outside x are those at its edge.
- Nearest takes element floor(i / f) in all four dimensions; the others mix along dimensions 0 and 1 and take the
  nearest along 2 and 3.
"""

import numpy as np

from conformance.cases.ops.blocks.formats import Array

__all__ = ["ALIGNED", "ANTIALIASED", "BICUBIC", "BILINEAR", "NEAREST", "resampled"]

NEAREST, BILINEAR, BICUBIC = range(3)
ALIGNED = 1 << 8
ANTIALIASED = 1 << 9
A = -0.75
"""of the cubic convolution"""


def _nearest(old: int, new: int) -> Array:
    """(new, old): which element each place takes."""
    weights = np.zeros((new, old))
    weights[np.arange(new), np.arange(new) * old // new] = 1
    return weights


def _places(old: int, new: int, mode: int) -> Array:
    if mode & ALIGNED and new > 1 and old > 1:
        return np.arange(new) * (old - 1) / (new - 1)
    return (np.arange(new) + 0.5) * old / new - 0.5


def _linear(distance: Array) -> Array:
    return np.asarray(np.maximum(0, 1 - np.abs(distance)))


def _cubic(distance: Array) -> Array:
    d = np.abs(distance)
    near = ((A + 2) * d - (A + 3)) * d * d + 1
    far = ((A * d - 5 * A) * d + 8 * A) * d - 4 * A
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _mixed(old: int, new: int, mode: int) -> Array:
    """(new, old): weights; what would lie outside adds to the edge."""
    kernel, reach = (_cubic, 2) if mode & 0xFF == BICUBIC else (_linear, 1)
    weights = np.zeros((new, old))
    places = _places(old, new, mode)
    if kernel is _linear:
        places = np.clip(places, 0, old - 1)
    for i, place in enumerate(places):
        taps = np.arange(int(np.floor(place)) - reach + 1, int(np.floor(place)) + reach + 1)
        np.add.at(weights[i], np.clip(taps, 0, old - 1), kernel(place - taps))
    return weights


def _wide(old: int, new: int) -> Array:
    """(new, old): a triangle as wide as a step of the result, cut off at the edges, of sum 1."""
    support = max(1.0, old / new)
    centre = (np.arange(new) + 0.5) * old / new
    weights = _linear((np.arange(old) + 0.5 - centre[:, None]) / support)
    return np.asarray(weights / weights.sum(1, keepdims=True))


def resampled(x: Array, shape: tuple[int, ...], mode: int) -> Array:
    """x (n3, n2, n1, n0) in that shape."""
    weights = [
        _nearest(old, new) if axis < 2 or mode & 0xFF == NEAREST else _along(old, new, mode)
        for axis, (old, new) in enumerate(zip(x.shape, shape, strict=True))
    ]
    return np.asarray(np.einsum("dcba,wd,zc,yb,xa->wzyx", x, *weights))


def _along(old: int, new: int, mode: int) -> Array:
    return _wide(old, new) if mode & ANTIALIASED else _mixed(old, new, mode)
