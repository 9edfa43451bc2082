"""Samples of ops that move elements: rows, windows, shifts, padding, resampling."""

from functools import partial

import numpy as np

from conformance.cases.graph.build import Param
from conformance.cases.ops.blocks.draw import Draw, held
from conformance.cases.ops.definitions.elementwise import like
from conformance.cases.ops.definitions.moves import (
    added_by_id,
    added_positions,
    diagonal,
    masked,
    padded,
    relative_positions,
    triangle,
    windows,
    windows_joined,
)
from conformance.cases.ops.definitions.resampling import ALIGNED, ANTIALIASED, BICUBIC, BILINEAR, NEAREST, resampled
from conformance.cases.ops.sample import Book, Sample, onto, result

__all__ = ["BOOK"]

BOOK = Book()
_sample = BOOK.sample

EXTENTS = (37, 3, 2, 2)


def _repeat(draw: Draw, kind: str, times: tuple[int, ...]) -> Sample:
    x = draw.any(5, 3, 2, 2, kind=kind)
    shape = tuple(extent * count for extent, count in zip(x.values.shape, reversed(times), strict=True))
    return result("REPEAT", like(x.values, shape), x, type=kind)


for _slug, _kind, _times in (
    ("f32", "F32", (2, 3, 2, 3)),
    ("f16", "F16", (2, 1, 2, 1)),
    ("i32", "I32", (1, 3, 1, 2)),
    ("i16", "I16", (3, 1, 1, 1)),
    ("once", "F32", (1, 1, 1, 1)),
):
    BOOK.add("REPEAT", _slug, f"REPEAT of {_kind}, {_times} times", partial(_repeat, kind=_kind, times=_times))


def _concat(draw: Draw, dim: int, kind: str) -> Sample:
    ne = [64, 3, 2, 2]
    other = [*ne]
    other[dim] = other[dim] // 2 + 32 * (dim == 0) if kind != "F32" else other[dim] + 1
    a, b = draw.any(*ne, kind=kind), draw.any(*other, kind=kind)
    return result("CONCAT", np.concatenate([a.values, b.values], axis=3 - dim), a, b, type=kind, params={"dim": dim})


for _dim in range(4):
    BOOK.add("CONCAT", f"dimension-{_dim}", f"CONCAT along dimension {_dim}", partial(_concat, dim=_dim, kind="F32"))
for _kind in ("F16", "I32", "Q8_0"):
    _title = f"CONCAT of {_kind} along dimension 2"
    BOOK.add("CONCAT", _kind.lower().replace("_", "-"), _title, partial(_concat, dim=2, kind=_kind))


def _pad(draw: Draw, pads: tuple[int, ...], circular: bool) -> Sample:
    x = draw.floats(7, 5, 3, 2)
    return result("PAD", padded(x.values, pads, circular), x, params={"pads": pads, "circular": int(circular)})


for _slug, _pads, _circular in (
    ("behind", (0, 3, 0, 2, 0, 1, 0, 1), False),
    ("before-and-behind", (2, 3, 1, 2, 1, 0, 0, 1), False),
    ("circular", (2, 3, 1, 2, 1, 0, 0, 1), True),
):
    BOOK.add("PAD", _slug, f"PAD by {_pads}, circular {_circular}", partial(_pad, pads=_pads, circular=_circular))


@_sample("PAD_REFLECT_1D", "f32")
def _pad_reflect(draw: Draw) -> Sample:
    """Rows mirrored at both ends"""
    x = draw.floats(7, 3, 2, 2)
    want = np.pad(x.values, ((0, 0), (0, 0), (0, 0), (3, 5)), mode="reflect")
    return result("PAD_REFLECT_1D", want, x, params={"p0": 3, "p1": 5})


def _roll(draw: Draw, shifts: tuple[int, ...]) -> Sample:
    x = draw.floats(7, 5, 3, 2)
    want = np.roll(x.values, tuple(reversed(shifts)), axis=(0, 1, 2, 3))
    return result("ROLL", want, x, params={"shifts": shifts})


for _slug, _shifts in (("forward", (3, 1, 2, 1)), ("backward", (-2, 0, -1, 0))):
    BOOK.add("ROLL", _slug, f"ROLL by {_shifts}", partial(_roll, shifts=_shifts))


def _arange(draw: Draw, start: float, stop: float, step: float) -> Sample:
    count = int(np.ceil((stop - start) / step))
    return result("ARANGE", start + step * np.arange(count), params={"start": start, "stop": stop, "step": step})


for _slug, _start, _stop, _step in (
    ("whole", 0.0, 37.0, 1.0),
    ("fractions", 1.5, 9.25, 0.5),
    ("downwards", 4.0, -3.0, -0.25),
):
    BOOK.add(
        "ARANGE",
        _slug,
        f"ARANGE {_start:g}, {_stop:g}, {_step:g}",
        partial(_arange, start=_start, stop=_stop, step=_step),
    )


def _timestep(draw: Draw, dim: int) -> Sample:
    t = held(draw.whole(5, below=100).values[0, 0, 0])
    h = dim // 2
    angle = t.values.reshape(-1, 1) * np.exp(-np.log(10000) * np.arange(h) / h)
    odd = np.zeros((len(angle), dim - 2 * h))
    want = np.concatenate([np.cos(angle), np.sin(angle), odd], axis=1)
    return result("TIMESTEP_EMBEDDING", want, t, params={"dim": dim, "max_period": 10000})


for _slug, _dim in (("even", 16), ("odd", 15)):
    BOOK.add("TIMESTEP_EMBEDDING", _slug, f"Embeddings of {_dim}", partial(_timestep, dim=_dim))


@_sample("DIAG", "f32")
def _diag(draw: Draw) -> Sample:
    """x on the diagonal, 0 elsewhere"""
    x = draw.floats(7, 1, 3, 2)
    return result("DIAG", diagonal(x.values), x)


def _mask(draw: Draw, op: str, n_past: int) -> Sample:
    x = draw.floats(9, 5, 2, 2)
    value = -np.inf if op == "DIAG_MASK_INF" else 0.0
    return result(op, masked(x.values, n_past, value), x, params={"n_past": n_past})


for _op in ("DIAG_MASK_INF", "DIAG_MASK_ZERO"):
    for _n_past in (0, 3):
        BOOK.add(_op, f"past-{_n_past}", f"{_op} with n_past {_n_past}", partial(_mask, op=_op, n_past=_n_past))


def _tri(draw: Draw, kind: int) -> Sample:
    x = draw.floats(7, 7, 3, 2)
    pars: dict[str, Param] = {"kind": kind}
    return result("TRI", triangle(x.values, kind), x, params=pars)


for _kind_, _words in enumerate(
    ("column-not-below-row", "column-above-row", "column-not-above-row", "column-below-row")
):
    BOOK.add("TRI", _words, f"TRI of kind {_kind_}", partial(_tri, kind=_kind_))


@_sample("ADD_ID", "f32")
def _add_id(draw: Draw) -> Sample:
    """Rows of b chosen by ids are added"""
    a, b, ids = draw.floats(37, 3, 4), draw.floats(37, 5), draw.whole(3, 4, below=5)
    return result("ADD_ID", added_by_id(a.values, b.values, ids.values), a, b, ids)


@_sample("ADD_ID", "ids-of-wider-rows")
def _add_id_view(draw: Draw) -> Sample:
    """The ids are a view of wider rows"""
    a, b, ids = draw.floats(37, 3, 4), draw.floats(37, 5), draw.whole(8, 4, below=5).rows(0, 3)
    return result("ADD_ID", added_by_id(a.values, b.values, ids.values), a, b, ids)


UPSCALINGS = (
    ("nearest", NEAREST, (14, 15, 6, 4)),
    ("nearest-uneven", NEAREST, (10, 8, 3, 2)),
    ("bilinear", BILINEAR, (14, 15, 3, 2)),
    ("bilinear-down", BILINEAR, (4, 3, 3, 2)),
    ("bilinear-corners", BILINEAR | ALIGNED, (14, 15, 3, 2)),
    ("bilinear-antialiased", BILINEAR | ANTIALIASED, (3, 2, 3, 2)),
    ("bicubic", BICUBIC, (14, 15, 3, 2)),
    ("bicubic-corners", BICUBIC | ALIGNED, (14, 15, 3, 2)),
)


def _upscale(draw: Draw, mode: int, ne: tuple[int, ...]) -> Sample:
    x = draw.floats(7, 5, 3, 2)
    return result("UPSCALE", resampled(x.values, tuple(reversed(ne)), mode), x, params={"mode": mode})


for _slug, _mode, _ne in UPSCALINGS:
    BOOK.add(
        "UPSCALE",
        _slug,
        f"UPSCALE in mode {_mode:#x} from [7, 5, 3, 2] to {list(_ne)}",
        partial(_upscale, mode=_mode, ne=_ne),
    )


def _win_part(draw: Draw, w: int) -> Sample:
    x = draw.floats(5, 7, 6)
    npx, npy = -(-7 // w), -(-6 // w)
    return result("WIN_PART", windows(x.values, w), x, params={"npx": npx, "npy": npy, "w": w})


def _win_unpart(draw: Draw, w: int) -> Sample:
    count = -(-7 // w) * -(-6 // w)
    x = draw.floats(5, w, w, count)
    return result("WIN_UNPART", windows_joined(x.values, 7, 6)[0], x, params={"w": w})


BOOK.add("WIN_PART", "with-edges", "WIN_PART of [5, 7, 6] into windows of 4", partial(_win_part, w=4))
BOOK.add("WIN_UNPART", "with-edges", "WIN_UNPART of windows of 4 into [5, 7, 6]", partial(_win_unpart, w=4))


@_sample("GET_REL_POS", "f16")
def _get_rel_pos(draw: Draw) -> Sample:
    """Rows by relative position"""
    x = draw.floats(5, 7, kind="F16")
    return result("GET_REL_POS", relative_positions(x.values)[0], x, type="F16")


def _add_rel_pos(draw: Draw, inplace: bool) -> Sample:
    x, pw, ph = draw.floats(9, 6, 2), draw.floats(3, 3, 2, 2), draw.floats(3, 3, 2, 2)
    want = added_positions(x.values, pw.values, ph.values)
    sample = result("ADD_REL_POS", want, x, pw, ph, params={"inplace": int(inplace)})
    return onto(sample, x.tensor) if inplace else sample


BOOK.add("ADD_REL_POS", "f32", "ADD_REL_POS of F32", partial(_add_rel_pos, inplace=False))
BOOK.add("ADD_REL_POS", "in-place", "ADD_REL_POS onto x", partial(_add_rel_pos, inplace=True))
