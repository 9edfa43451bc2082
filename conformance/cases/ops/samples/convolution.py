"""Samples of convolutions and pooling."""

from functools import partial

import attrs
import numpy as np

from conformance.cases.graph.build import node, view
from conformance.cases.ops.blocks.draw import Draw
from conformance.cases.ops.definitions.convolution import (
    Steps,
    column_images,
    convolved,
    images_summed,
    images_to_columns,
    pooled,
    pooled_back,
    spread,
)
from conformance.cases.ops.sample import Book, Sample, result, sampled, within
from conformance.cases.ops.tolerance import tolerance_of

__all__ = ["BOOK"]

BOOK = Book()
_sample = BOOK.sample

PLAIN = Steps((1, 1), (0, 0), (1, 1))
UNEVEN = Steps((2, 1), (1, 2), (1, 2))
"""stride, padding and dilation differ by dimension"""
TWO_DIMENSIONS = (("plain", PLAIN), ("uneven", UNEVEN))
SMALL = Steps((2, 1, 1), (1, 0, 1), (1, 1, 2))
MAXIMUM, MEAN = 0, 1


def _of(steps: Steps) -> dict[str, int]:
    """op_params of the two-dimensional ops."""
    return {f"{name}{dim}": getattr(steps, name)[dim] for name in "spd" for dim in range(len(steps.s))}


def _im2col(draw: Draw, steps: Steps, kind: str, x_kind: str) -> Sample:
    w, x = draw.floats(3, 2, 4, 5, kind=kind), draw.floats(9, 7, 4, 2, kind=x_kind)
    seen = images_to_columns(x.values, (3, 2), steps)
    want = seen.reshape(*seen.shape[:3], -1)
    if kind == "F16":
        want = want.astype(np.float16).astype(np.float64)
    return result("IM2COL", want, w, x, type=kind, params={**_of(steps), "is_2D": 1})


for _slug, _steps in TWO_DIMENSIONS:
    for _kind, _x in (("F32", "F32"), ("F16", "F32"), ("F16", "F16")):
        _title = f"IM2COL of {_x} into {_kind}, {_slug}"
        BOOK.add(
            "IM2COL", f"{_slug}-{_x}-to-{_kind}".lower(), _title, partial(_im2col, steps=_steps, kind=_kind, x_kind=_x)
        )


@_sample("IM2COL", "one-dimension")
def _im2col_1d(draw: Draw) -> Sample:
    """IM2COL in one dimension"""
    steps = Steps((2,), (1,), (2,))
    w, x = draw.floats(3, 4, 5), draw.floats(17, 4, 2)
    seen = images_to_columns(x.values[0], (3,), steps)
    return result("IM2COL", seen.reshape(*seen.shape[:2], -1), w, x, params={**_of(steps), "is_2D": 0})


@_sample("IM2COL_BACK", "uneven")
def _im2col_back(draw: Draw) -> Sample:
    """IM2COL_BACK: overlapping windows are added"""
    kernel, extents = (3, 2), (9, 7)
    ow, oh = UNEVEN.outputs(extents, kernel)
    grad, w = draw.floats(4 * 2 * 3, ow, oh, 2), draw.floats(3, 2, 4, 5)
    copies = grad.values.reshape(2, oh, ow, 4, 2, 3)
    return result(
        "IM2COL_BACK", column_images(copies, extents, kernel, UNEVEN), grad, w, params={**_of(UNEVEN), "is_2D": 1}
    )


def _im2col_3d(draw: Draw, kind: str) -> Sample:
    ic, n = 2, 2
    w, x = draw.floats(3, 2, 2, ic * 3, kind=kind), draw.floats(7, 5, 4, n * ic)
    images = x.values.reshape(n, ic, 4, 5, 7)
    seen = images_to_columns(images, (3, 2, 2), SMALL)
    want = seen.reshape(n * seen.shape[1], *seen.shape[2:4], -1)
    if kind == "F16":
        want = want.astype(np.float16).astype(np.float64)
    return result("IM2COL_3D", want, w, x, type=kind, params={"s": SMALL.s, "p": SMALL.p, "d": SMALL.d, "ic": ic})


for _kind in ("F32", "F16"):
    BOOK.add("IM2COL_3D", _kind.lower(), f"IM2COL_3D into {_kind}", partial(_im2col_3d, kind=_kind))


def _conv_2d(draw: Draw, steps: Steps, kind: str) -> Sample:
    w, x = draw.floats(3, 2, 4, 5, kind=kind), draw.floats(9, 7, 4, 2)
    return result("CONV_2D", convolved(x.values, w.values, steps), w, x, params=_of(steps))


def _depth_wise(draw: Draw, steps: Steps, kind: str) -> Sample:
    w, x = draw.floats(3, 2, 1, 5, kind=kind), draw.floats(9, 7, 5, 2)
    channels = [convolved(x.values[:, c : c + 1], w.values[c : c + 1], steps) for c in range(5)]
    return result("CONV_2D_DW", np.concatenate(channels, axis=1), w, x, params=_of(steps))


def _channels_first(draw: Draw) -> Sample:
    """Elements of one place lie side by side, in x and in the result."""
    w, x = draw.floats(5, 1, 3, 2).permuted(2, 3, 1, 0), draw.floats(5, 9, 7, 2).permuted(1, 2, 0, 3)
    channels = [convolved(x.values[:, c : c + 1], w.values[c : c + 1], PLAIN) for c in range(5)]
    want = np.concatenate(channels, axis=1)
    made = node("CONV_2D_DW", "F32", (7, 6, 5, 2), w.tensor, x.tensor, params=_of(PLAIN))
    made = attrs.evolve(made, nb=(20, 140, 4, 840))
    read = view(made, (5, 7, 6, 2), op="PERMUTE")
    allowed = tolerance_of("CONV_2D_DW", ("F32",))
    return sampled(within(read, want.transpose(0, 2, 3, 1), allowed))


BOOK.add("CONV_2D_DW", "channels-first", "CONV_2D_DW of channels that lie side by side", _channels_first)

for _slug, _steps in TWO_DIMENSIONS:
    for _kind in ("F32", "F16"):
        BOOK.add(
            "CONV_2D",
            f"{_slug}-{_kind.lower()}",
            f"CONV_2D, {_slug}, {_kind}",
            partial(_conv_2d, steps=_steps, kind=_kind),
        )
    BOOK.add("CONV_2D_DW", _slug, f"CONV_2D_DW, {_slug}", partial(_depth_wise, steps=_steps, kind="F32"))

for _slug, _steps in (
    ("rounded-down", Steps((2, 3), (0, 0), (1, 1))),
    ("dilated", Steps((1, 1), (0, 0), (3, 2))),
    ("padded", Steps((1, 1), (2, 1), (1, 1))),
):
    _title = f"The extents of a convolution, {_slug}"
    BOOK.add("CONV_2D", _slug, _title, partial(_conv_2d, steps=_steps, kind="F32"), clause="OP-CONV-SIZE")


def _conv_3d(draw: Draw, kind: str) -> Sample:
    ic, oc, n = 2, 3, 2
    w, x = draw.floats(3, 2, 2, ic * oc, kind=kind), draw.floats(7, 5, 4, ic * n)
    want = convolved(x.values.reshape(n, ic, 4, 5, 7), w.values.reshape(oc, ic, 2, 2, 3), SMALL)
    want = want.reshape(-1, *want.shape[2:])
    return result("CONV_3D", want, w, x, params={"s": SMALL.s, "p": SMALL.p, "d": SMALL.d, "ic": ic, "n": n, "oc": oc})


for _kind in ("F32", "F16"):
    BOOK.add("CONV_3D", _kind.lower(), f"CONV_3D of {_kind}", partial(_conv_3d, kind=_kind))


def _transpose_1d(draw: Draw, kind: str, stride: int) -> Sample:
    w, x = draw.floats(3, 5, 4, kind=kind), draw.floats(7, 4)
    want = spread(x.values[0], w.values[0], stride)
    return result("CONV_TRANSPOSE_1D", want[0], w, x, params={"s0": stride, "p0": 0, "d0": 1})


def _transpose_2d(draw: Draw, kind: str, stride: int) -> Sample:
    w, x = draw.floats(3, 2, 5, 4, kind=kind), draw.floats(7, 6, 4, 1)
    return result("CONV_TRANSPOSE_2D", spread(x.values, w.values, stride), w, x, params={"stride": stride})


for _kind in ("F32", "F16"):
    for _stride in (1, 2):
        _slug, _words = f"{_kind.lower()}-stride-{_stride}", f"of {_kind} with stride {_stride}"
        BOOK.add(
            "CONV_TRANSPOSE_1D",
            _slug,
            f"CONV_TRANSPOSE_1D {_words}",
            partial(_transpose_1d, kind=_kind, stride=_stride),
        )
        BOOK.add(
            "CONV_TRANSPOSE_2D",
            _slug,
            f"CONV_TRANSPOSE_2D {_words}",
            partial(_transpose_2d, kind=_kind, stride=_stride),
        )


def _col2im(draw: Draw, kind: str, stride: int, cut: int) -> Sample:
    x = draw.floats(5 * 3, 7, kind=kind)
    want = images_summed(x.values[0, 0], 5, stride, cut)
    return result("COL2IM_1D", want, x, type=kind, params={"s0": stride, "oc": 5, "p0": cut})


for _kind in ("F32", "F16", "BF16"):
    BOOK.add("COL2IM_1D", _kind.lower(), f"COL2IM_1D of {_kind}", partial(_col2im, kind=_kind, stride=2, cut=1))
BOOK.add("COL2IM_1D", "whole", "COL2IM_1D with nothing cut off", partial(_col2im, kind="F32", stride=1, cut=0))

POOLS = ((MAXIMUM, "maximum"), (MEAN, "mean"))


def _pool_1d(draw: Draw, op: int, padding: int) -> Sample:
    x = draw.floats(17, 3, 2, 2)
    want = pooled(x.values, (3,), Steps((2,), (padding,), (1,)), op == MEAN)
    return result("POOL_1D", want, x, params={"op": op, "k0": 3, "s0": 2, "p0": padding})


def _pool_2d(draw: Draw, op: int, padding: tuple[int, int], kind: str) -> Sample:
    x = draw.floats(9, 7, 3, 2, kind=kind)
    steps = Steps((2, 1), padding, (1, 1))
    want = pooled(x.values, (3, 2), steps, op == MEAN)
    return result(
        "POOL_2D", want, x, params={"op": op, "k0": 3, "k1": 2, "s0": 2, "s1": 1, "p0": padding[0], "p1": padding[1]}
    )


def _pool_2d_back(draw: Draw, op: int) -> Sample:
    x = draw.floats(9, 7, 3, 2)
    steps = Steps((2, 1), (1, 1), (1, 1))
    ow, oh = steps.outputs((9, 7), (3, 2))
    grad = draw.floats(ow, oh, 3, 2)
    want = pooled_back(grad.values, x.values, (3, 2), steps, op == MEAN)
    return result(
        "POOL_2D_BACK", want, grad, x, params={"op": op, "k0": 3, "k1": 2, "s0": 2, "s1": 1, "p0": 1, "p1": 1}
    )


for _op, _word in POOLS:
    for _padding in (0, 1):
        _slug = f"{_word}-padding-{_padding}"
        BOOK.add(
            "POOL_1D", _slug, f"The {_word} of windows, padding {_padding}", partial(_pool_1d, op=_op, padding=_padding)
        )
        _make = partial(_pool_2d, op=_op, padding=(_padding, _padding), kind="F32")
        BOOK.add("POOL_2D", _slug, f"The {_word} of windows, padding {_padding}", _make)
    BOOK.add(
        "POOL_2D",
        f"{_word}-f16",
        f"The {_word} of windows of F16",
        partial(_pool_2d, op=_op, padding=(0, 0), kind="F16"),
    )
    BOOK.add("POOL_2D_BACK", _word, f"The gradient of the {_word} of windows", partial(_pool_2d_back, op=_op))
