"""Convolutions, pooling, and the windows that they see. OP-CONV-SIZE gives the extents.

Rules
- Strides, paddings and dilations are tuples, dimension 0 first, as in op_params; arrays are (..., n1, n0).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np

from conformance.cases.ops.blocks.formats import Array

__all__ = [
    "Steps",
    "column_images",
    "convolved",
    "images_summed",
    "images_to_columns",
    "pooled",
    "pooled_back",
    "spread",
]


Place = tuple[int, ...]


@attrs.frozen
class Steps:
    """How a kernel moves: by dimension, dimension 0 first."""

    s: tuple[int, ...]
    p: tuple[int, ...]
    d: tuple[int, ...]

    def outputs(self, extents: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """OP-CONV-SIZE, dimension 0 first."""
        sizes = zip(extents, kernel, self.s, self.p, self.d, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)

    def seen(self, extents: Sequence[int], kernel: Sequence[int]) -> Iterator[tuple[Place, Place, Place]]:
        """(output place, kernel place, place in x) wherever the last lies inside x; all with the last axis last."""
        s, p, d = (tuple(reversed(each)) for each in (self.s, self.p, self.d))
        outputs = tuple(reversed(self.outputs(extents, kernel)))
        inside = tuple(reversed(extents))
        for o in np.ndindex(*outputs):
            for k in np.ndindex(*reversed(kernel)):
                at = tuple(oo * ss + kk * dd - pp for oo, ss, kk, dd, pp in zip(o, s, k, d, p, strict=True))
                if all(0 <= place < n for place, n in zip(at, inside, strict=True)):
                    yield o, k, at


def _at(*parts: Any) -> tuple[Any, ...]:
    """An index of numbers, slices and an ellipsis."""
    return parts


def _spatial(array: Array, count: int) -> tuple[int, ...]:
    return tuple(reversed(array.shape[-count:]))


def images_to_columns(x: Array, kernel: tuple[int, ...], steps: Steps) -> Array:
    """x (n, ic, ...) > (n, ..., ic, kernel ...): what each output sees."""
    extents = _spatial(x, len(kernel))
    outputs = tuple(reversed(steps.outputs(extents, kernel)))
    done = np.zeros((x.shape[0], *outputs, x.shape[1], *reversed(kernel)))
    for o, k, at in steps.seen(extents, kernel):
        done[_at(slice(None), *o, slice(None), *k)] = x[_at(slice(None), slice(None), *at)]
    return done


def column_images(grad: Array, extents: tuple[int, ...], kernel: tuple[int, ...], steps: Steps) -> Array:
    """The reverse: grad (n, ..., ic, kernel ...) > (n, ic, ...), the sum of all copies."""
    ic = grad.shape[1 + len(kernel)]
    done = np.zeros((grad.shape[0], ic, *reversed(extents)))
    for o, k, at in steps.seen(extents, kernel):
        done[_at(slice(None), slice(None), *at)] += grad[_at(slice(None), *o, slice(None), *k)]
    return done


def convolved(x: Array, w: Array, steps: Steps) -> Array:
    """x (n, ic, ...), w (oc, ic, ...) > (n, oc, ...)."""
    count = w.ndim - 2
    seen = images_to_columns(x, _spatial(w, count), steps)
    whole = np.tensordot(seen, w, axes=(range(1 + count, seen.ndim), range(1, w.ndim)))
    return np.moveaxis(whole, -1, 1)


def spread(x: Array, w: Array, stride: int) -> Array:
    """Transposed: x (n, ic, ...), w (ic, oc, ...) > (n, oc, ...); output o gets x[i] w[j] with o = i * stride + j."""
    kernel = w.shape[2:]
    extents = [(n - 1) * stride + k for n, k in zip(x.shape[2:], kernel, strict=True)]
    done = np.zeros((x.shape[0], w.shape[1], *extents))
    for i in np.ndindex(*x.shape[2:]):
        window = tuple(slice(at * stride, at * stride + k) for at, k in zip(i, kernel, strict=True))
        done[_at(slice(None), slice(None), *window)] += np.tensordot(
            x[_at(slice(None), slice(None), *i)], w, axes=(1, 0)
        )
    return done


def images_summed(x: Array, oc: int, stride: int, cut: int) -> Array:
    """COL2IM_1D: x (l, oc * k) > (oc, (l - 1) * stride + k - 2 * cut)."""
    length, k = x.shape[0], x.shape[1] // oc
    done = np.zeros((oc, (length - 1) * stride + k))
    for i in range(length):
        done[:, i * stride : i * stride + k] += x[i].reshape(oc, k)
    return done[:, cut : done.shape[1] - cut]


def pooled(x: Array, kernel: tuple[int, ...], steps: Steps, is_mean: bool) -> Array:
    """x (..., pooled dimensions). A mean in one dimension divides by the elements inside x, in two by the window."""
    extents = _spatial(x, len(kernel))
    outputs = tuple(reversed(steps.outputs(extents, kernel)))
    done = np.full((*x.shape[: -len(kernel)], *outputs), 0.0 if is_mean else -np.inf)
    inside = np.zeros(outputs)
    for o, _, at in steps.seen(extents, kernel):
        seen = x[_at(..., *at)]
        done[_at(..., *o)] = done[_at(..., *o)] + seen if is_mean else np.maximum(done[_at(..., *o)], seen)
        inside[o] += 1
    if not is_mean:
        return done
    return done / (inside if len(kernel) == 1 else np.prod(kernel))


def pooled_back(grad: Array, x: Array, kernel: tuple[int, ...], steps: Steps, is_mean: bool) -> Array:
    """Each gradient goes to the first largest element of its window, or in equal parts to all."""
    done = np.zeros_like(x)
    best = np.full(grad.shape, -np.inf)
    where = np.zeros((*grad.shape, len(kernel)), np.int64)
    for o, _, at in steps.seen(_spatial(x, len(kernel)), kernel):
        if is_mean:
            done[_at(..., *at)] += grad[_at(..., *o)] / np.prod(kernel)
            continue
        more = x[_at(..., *at)] > best[_at(..., *o)]
        best[_at(..., *o)] = np.maximum(best[_at(..., *o)], x[_at(..., *at)])
        where[_at(..., *o, slice(None))][more] = at
    if not is_mean:
        for o in np.ndindex(*grad.shape):
            done[_at(*o[: -len(kernel)], *where[o])] += grad[o]
    return done
