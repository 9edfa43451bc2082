"""Samples of sums, norms and orders of rows."""

from collections.abc import Callable
from functools import partial

import attrs
import numpy as np

from conformance.cases.graph.build import Param
from conformance.cases.ops.blocks.draw import Draw, held
from conformance.cases.ops.blocks.formats import Array
from conformance.cases.ops.definitions.rows import (
    argsorted,
    group_norm,
    l2_norm,
    norm,
    rms_norm,
    rms_norm_back,
    soft_max_back,
    tiles_summed,
    top,
)
from conformance.cases.ops.sample import Book, Sample, onto, result, sampled

__all__ = ["BOOK"]

BOOK = Book()
_sample = BOOK.sample

EXTENTS = (67, 3, 2, 2)
EPS = 2.0**-10


def _sum(draw: Draw, kind: str) -> Sample:
    x = draw.floats(*EXTENTS, kind=kind)
    return result("SUM", np.array([x.values.sum()]), x, type=kind)


for _kind in ("F32", "F16", "BF16"):
    BOOK.add("SUM", _kind.lower(), f"SUM of {_kind}", partial(_sum, kind=_kind))


REDUCED: dict[str, Callable[[Array], Array]] = {
    "SUM_ROWS": lambda x: np.asarray(x.sum(axis=-1, keepdims=True)),
    "MEAN": lambda x: np.asarray(x.mean(axis=-1, keepdims=True)),
}


def _rows(draw: Draw, op: str) -> Sample:
    x = draw.floats(*EXTENTS)
    return result(op, REDUCED[op](x.values), x)


def _rows_apart(draw: Draw, op: str) -> Sample:
    x = draw.floats(67, 2, 3, 2).permuted(0, 2, 1, 3)
    return result(op, REDUCED[op](x.values), x)


for _op in ("SUM_ROWS", "MEAN"):
    BOOK.add(_op, "f32", f"{_op} of F32", partial(_rows, op=_op))
    BOOK.add(_op, "rows-apart", f"{_op} of rows in another order in memory", partial(_rows_apart, op=_op))


@_sample("CUMSUM", "f32")
def _cumsum(draw: Draw) -> Sample:
    """CUMSUM begins anew with each row"""
    x = draw.floats(*EXTENTS)
    return result("CUMSUM", np.cumsum(x.values, axis=-1), x)


@_sample("ARGMAX", "f32")
def _argmax(draw: Draw) -> Sample:
    """ARGMAX of rows without equal elements"""
    x = draw.distinct(67, 5)
    return result("ARGMAX", x.values.argmax(-1)[0, 0], x, type="I32")


def _count_equal(draw: Draw, ne: tuple[int, ...]) -> Sample:
    a, b = draw.whole(*ne, below=3), draw.whole(*ne, below=3)
    return result("COUNT_EQUAL", np.array([np.sum(a.values == b.values)]), a, b, type="I64")


BOOK.add("COUNT_EQUAL", "rows", "COUNT_EQUAL of rows of numbers that often agree", partial(_count_equal, ne=(67, 5)))
BOOK.add(
    "COUNT_EQUAL",
    "four-dimensions",
    "COUNT_EQUAL over four dimensions",
    partial(_count_equal, ne=EXTENTS),
    why="stock 7.0.0 counts some rows twice and others not at all when there are more than two dimensions",
)


NORMS: dict[str, Callable[[Array, float], Array]] = {"NORM": norm, "RMS_NORM": rms_norm, "L2_NORM": l2_norm}


def _norm(draw: Draw, op: str) -> Sample:
    x = draw.floats(*EXTENTS, low=-0.5, high=1.5)
    return result(op, NORMS[op](x.values, EPS), x, params={"eps": EPS})


def _norm_large_eps(draw: Draw, op: str) -> Sample:
    x = draw.floats(*EXTENTS)
    return result(op, NORMS[op](x.values, 100.0), x, params={"eps": 100.0})


def _norm_apart(draw: Draw, op: str) -> Sample:
    x = draw.floats(67, 2, 3, 2).permuted(0, 2, 1, 3)
    return result(op, NORMS[op](x.values, EPS), x, params={"eps": EPS})


for _op in NORMS:
    BOOK.add(_op, "f32", f"{_op} of F32", partial(_norm, op=_op))
    BOOK.add(_op, "large-eps", f"{_op} with an eps that outweighs the row", partial(_norm_large_eps, op=_op))
    BOOK.add(_op, "rows-apart", f"{_op} of rows in another order in memory", partial(_norm_apart, op=_op))


@_sample("RMS_NORM_BACK", "f32")
def _rms_norm_back(draw: Draw) -> Sample:
    """RMS_NORM_BACK of F32"""
    grad, x = draw.floats(*EXTENTS), draw.floats(*EXTENTS)
    return result("RMS_NORM_BACK", rms_norm_back(grad.values, x.values, EPS), grad, x, params={"eps": EPS})


def _group_norm(draw: Draw, channels: int, groups: int) -> Sample:
    x = draw.floats(7, 3, channels, 2, low=-0.5, high=1.5)
    return result("GROUP_NORM", group_norm(x.values, groups, EPS), x, params={"n_groups": groups, "eps": EPS})


BOOK.add("GROUP_NORM", "even", "GROUP_NORM of 8 channels in 4 groups", partial(_group_norm, channels=8, groups=4))
BOOK.add("GROUP_NORM", "odd", "GROUP_NORM of 7 channels in 3 groups", partial(_group_norm, channels=7, groups=3))


@_sample("SOFT_MAX_BACK", "f32")
def _soft_max_back(draw: Draw) -> Sample:
    """SOFT_MAX_BACK of F32"""
    grad, y = draw.floats(*EXTENTS), draw.floats(*EXTENTS, low=0, high=0.03)
    return result("SOFT_MAX_BACK", soft_max_back(grad.values, y.values, 0.5), grad, y, params={"scale": 0.5})


def _argsort(draw: Draw, order: int, length: int) -> Sample:
    x = draw.distinct(length, 3, 2)
    return result("ARGSORT", argsorted(x.values, bool(order)), x, type="I32", params={"order": order})


for _slug, _order, _length in (
    ("ascending", 0, 67),
    ("descending", 1, 67),
    ("long-rows", 1, 1100),
    ("one-element", 0, 1),
):
    BOOK.add(
        "ARGSORT",
        _slug,
        f"ARGSORT of {_length} elements, order {_order}",
        partial(_argsort, order=_order, length=_length),
    )


def _top_k(draw: Draw, k: int) -> Sample:
    x = draw.distinct(67, 3, 2)
    sample = result("TOP_K", top(x.values, k), x, type="I32")
    return sampled(attrs.evolve(sample.expected[0], any_order=True))


for _k in (1, 8, 67):
    BOOK.add("TOP_K", f"k-{_k}", f"The {_k} largest of 67 elements", partial(_top_k, k=_k))


def _repeat_back(draw: Draw, ne: tuple[int, ...]) -> Sample:
    x = draw.floats(6, 4, 6, 4)
    return result("REPEAT_BACK", tiles_summed(x.values, tuple(reversed(ne))), x)


BOOK.add("REPEAT_BACK", "f32", "REPEAT_BACK to half of every extent", partial(_repeat_back, ne=(3, 2, 3, 2)))
BOOK.add("REPEAT_BACK", "one-element", "REPEAT_BACK to one element", partial(_repeat_back, ne=(1, 1, 1, 1)))


def _params_of_window(nb: tuple[int, int, int], offset: int, inplace: bool) -> dict[str, Param]:
    return {"nb1": nb[0], "nb2": nb[1], "nb3": nb[2], "offset": offset, "inplace": int(inplace)}


def _window(draw: Draw, op: str, inplace: bool, kind: str = "F32") -> Sample:
    """A window of [4, 3, 2] from element 2 of row 1 on."""
    a, b = (
        (draw.floats(9, 5, 2), draw.floats(4, 3, 2))
        if kind == "F32"
        else (
            draw.whole(9, 5, 2, below=99),
            draw.whole(4, 3, 2, below=99),
        )
    )
    want = a.values.copy()
    place = (slice(None), slice(None), slice(1, 4), slice(2, 6))
    want[place] = want[place] + b.values if op == "ACC" else b.values
    row, plane, whole = 9 * 4, 9 * 5 * 4, 9 * 5 * 2 * 4
    params = _params_of_window((row, plane, whole), row + 2 * 4, inplace)
    sample = result(op, want, a, b, type=kind, params=params)
    return onto(sample, a.tensor) if inplace else sample


for _op in ("ACC", "SET"):
    BOOK.add(_op, "f32", f"{_op} of a window inside the rows", partial(_window, op=_op, inplace=False))
    BOOK.add(_op, "in-place", f"{_op} of a window of a itself", partial(_window, op=_op, inplace=True))
BOOK.add("SET", "i32", "SET of a window of I32", partial(_window, op="SET", inplace=False, kind="I32"))


@_sample("SUM_ROWS", "cancelling", clause="OP-ACCURACY")
def _cancelling(draw: Draw) -> Sample:
    """A sum is as exact as its terms allow: 4096 numbers that nearly cancel"""
    x = held(np.concatenate([draw.floats(2048).values.reshape(-1), np.zeros(2048)]))
    values = x.values.reshape(-1)
    values = np.concatenate([values[:2048], -values[:2048] + 2.0**-8])
    both = held(values)
    return result("SUM_ROWS", both.values.sum(-1, keepdims=True), both)
