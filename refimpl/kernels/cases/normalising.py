"""Cases of RMS_NORM and SOFT_MAX: row lengths, views, masks, biases and sinks."""

from collections.abc import Iterator

import attrs
import numpy as np

from refimpl.kernels.cases.build import Extents, Layout, dim, empty, full, normal, permuted, store
from refimpl.kernels.operand import Case, Operand
from spec.names import Op, Type

__all__ = ["masked", "normalising"]

F32 = Type.F32
EPSILON = 1e-5


def normalising(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    yield from _norms(rng)
    yield from _soft_maxes(rng)


def _norms(rng: np.random.Generator) -> Iterator[Case]:
    words = {0: EPSILON}
    for ne in (
        dim(1),
        dim(7, 3),
        dim(32),
        dim(576),
        dim(576, 2),
        dim(576, 7),
        dim(1536, 33),
        dim(64, 3, 5, 2),
        dim(64, 0),
    ):
        yield full(Op.RMS_NORM, f"rows {ne}", (normal(rng, F32, ne),), empty(F32, ne), words)
    yield full(Op.RMS_NORM, "large epsilon", (normal(rng, F32, dim(96, 4)),), empty(F32, dim(96, 4)), {0: 0.5})
    small = store(empty(F32, dim(96, 2)), 1e-4 * rng.standard_normal((1, 1, 2, 96)))
    yield full(Op.RMS_NORM, "small values", (small,), empty(F32, dim(96, 2)), words)
    zeros = store(empty(F32, dim(40, 2)), np.zeros((1, 1, 2, 40)))
    yield full(Op.RMS_NORM, "zeros", (zeros,), empty(F32, dim(40, 2)), words)
    gaps = normal(rng, F32, dim(50, 6), Layout(slack=14, lead=1))
    yield full(Op.RMS_NORM, "rows with gaps", (gaps,), empty(F32, dim(50, 6), Layout(slack=2)), words)
    heads = permuted(normal(rng, F32, dim(16, 3, 5)), (0, 2, 1, 3))
    yield full(Op.RMS_NORM, "permuted", (heads,), empty(F32, heads.ne), words)
    place = normal(rng, F32, dim(576, 5))
    yield full(Op.RMS_NORM, "in place", (place,), attrs.evolve(place), words)


def masked(rng: np.random.Generator, type_: Type, ne: Extents, layout: Layout) -> Operand:
    """A mask with finite values and -inf, at least one finite value in each row."""
    values = rng.standard_normal(ne[::-1])
    values[rng.random(values.shape) < 0.4] = -np.inf
    values[..., 0] = np.where(np.isfinite(values).any(axis=-1), values[..., 0], 0.5)
    return store(empty(type_, ne, layout), values)


def _soft_maxes(rng: np.random.Generator) -> Iterator[Case]:
    scale = {0: 0.125}
    for ne in (dim(1), dim(5, 3), dim(32, 2, 3), dim(33, 7, 4, 2), dim(256, 1, 9), dim(300, 33, 3), dim(16, 0, 2)):
        yield full(Op.SOFT_MAX, f"no mask {ne}", (normal(rng, F32, ne),), empty(F32, ne), scale)
        for type_ in (F32, Type.F16):
            mask = masked(rng, type_, dim(ne[0], ne[1]), Layout())
            yield full(Op.SOFT_MAX, f"{type_.name} mask {ne}", (normal(rng, F32, ne), mask), empty(F32, ne), scale)
    yield from _mask_shapes(rng)
    place = normal(rng, F32, dim(64, 8, 3))
    mask = masked(rng, F32, dim(64, 8), Layout())
    yield full(Op.SOFT_MAX, "in place", (place, mask), attrs.evolve(place), scale)
    large = store(empty(F32, dim(48, 3)), 500 * rng.standard_normal((1, 1, 3, 48)))
    yield full(Op.SOFT_MAX, "large scores", (large,), empty(F32, dim(48, 3)), {0: 1.0})


def _mask_shapes(rng: np.random.Generator) -> Iterator[Case]:
    ne = dim(40, 6, 5, 4)
    for type_ in (F32, Type.F16):
        for rows in (dim(40, 6, 5, 4), dim(40, 6, 1, 4), dim(40, 6, 1, 2), dim(40, 32, 5)):
            mask = masked(rng, type_, rows, Layout())
            yield full(Op.SOFT_MAX, f"{type_.name} mask {rows}", (normal(rng, F32, ne), mask), empty(F32, ne), {0: 0.3})
        gaps = masked(rng, type_, dim(40, 6), Layout(slack=8, lead=1))
        yield full(Op.SOFT_MAX, f"{type_.name} mask with gaps", (normal(rng, F32, ne), gaps), empty(F32, ne), {0: 0.3})
        for bias in (1.0, 8.0):
            mask = masked(rng, type_, dim(40, 6), Layout())
            srcs = normal(rng, F32, ne), mask
            yield full(Op.SOFT_MAX, f"{type_.name} mask, ALiBi {bias}", srcs, empty(F32, ne), {0: 0.3, 1: bias})
    srcs3 = normal(rng, F32, ne), masked(rng, F32, dim(40, 6), Layout()), normal(rng, F32, dim(5))
    yield full(Op.SOFT_MAX, "sinks", srcs3, empty(F32, ne), {0: 0.3})
