"""Samples of products of matrices, with weights in every type that has a product."""

from functools import partial

import numpy as np

from conformance.cases.ops.blocks.draw import Draw, held, type_of
from conformance.cases.ops.definitions.products import matrix_product, outer_product, product_by_id, solved
from conformance.cases.ops.sample import Book, Sample, result
from spec.load import load

__all__ = ["BOOK", "WEIGHTS"]

BOOK = Book()
_sample = BOOK.sample

NOT_WEIGHTS = frozenset({"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"})
"""types without a product: integers, and what products make of their right sides"""


def _weights() -> tuple[str, ...]:
    spec = load()
    return tuple(kind.name for kind in spec.dialect(spec.versions[-1]).types.values() if kind.name not in NOT_WEIGHTS)


WEIGHTS = _weights()
"""types of weights"""


def _slug_of(kind: str) -> str:
    return kind.lower().replace("_", "-")


def _row(kind: str) -> int:
    """Length of a row: two blocks, or none that a vector length divides."""
    return 2 * type_of(kind).block if type_of(kind).quantised else 67


def _mul_mat(draw: Draw, kind: str, columns: int, x_kind: str = "F32", rows: int = 9) -> Sample:
    k = _row(kind)
    w, x = draw.any(k, rows, kind=kind), draw.floats(k, columns, kind=x_kind)
    return result("MUL_MAT", matrix_product(w.values, x.values), w, x)


for _kind in WEIGHTS:
    for _columns, _words in ((1, "vector"), (5, "matrix")):
        _title = f"{_kind} weights and a {_words} in F32"
        BOOK.add("MUL_MAT", f"{_slug_of(_kind)}-{_words}", _title, partial(_mul_mat, kind=_kind, columns=_columns))
for _kind in ("F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K", "Q6_K"):
    _title = f"{_kind} weights and a right side of 37 columns"
    BOOK.add("MUL_MAT", f"{_slug_of(_kind)}-wide", _title, partial(_mul_mat, kind=_kind, columns=37, rows=70))
for _kind in ("F16", "BF16"):
    _title = f"{_kind} weights and a right side of the same type"
    BOOK.add("MUL_MAT", f"{_slug_of(_kind)}-both", _title, partial(_mul_mat, kind=_kind, columns=3, x_kind=_kind))


def _batches(draw: Draw, kind: str, of_w: tuple[int, int], of_x: tuple[int, int]) -> Sample:
    k = _row(kind)
    w, x = draw.any(k, 5, *of_w, kind=kind), draw.floats(k, 3, *of_x)
    return result("MUL_MAT", matrix_product(w.values, x.values), w, x)


for _kind in ("F32", "F16", "Q8_0"):
    for _slug, _of_w, _of_x in (
        ("shared", (1, 1), (4, 3)),
        ("groups", (2, 1), (4, 3)),
        ("groups-twice", (2, 3), (4, 6)),
    ):
        _title = f"{_kind} weights {_of_w} for a batch {_of_x}: neighbours share"
        _make = partial(_batches, kind=_kind, of_w=_of_w, of_x=_of_x)
        BOOK.add(
            "MUL_MAT", f"{_slug}-{_slug_of(_kind)}", _title, _make, clause="OP-BROADCAST" if _kind == "F32" else ""
        )


def _permuted(draw: Draw, kind: str) -> Sample:
    """Keys as attention without FLASH_ATTN_EXT reads them: heads behind tokens in memory."""
    w = draw.floats(64, 2, 9, kind=kind).permuted(0, 2, 1, 3)
    x = draw.floats(64, 4, 3).permuted(0, 2, 1, 3)
    return result("MUL_MAT", matrix_product(w.values, x.values), w, x)


for _kind in ("F32", "F16"):
    _title = f"{_kind} weights and a right side whose heads stand behind their tokens"
    BOOK.add("MUL_MAT", f"permuted-{_slug_of(_kind)}", _title, partial(_permuted, kind=_kind))


def _long(draw: Draw, kind: str) -> Sample:
    w, x = draw.any(4096, 3, kind=kind), draw.floats(4096, 2)
    return result("MUL_MAT", matrix_product(w.values, x.values), w, x)


for _kind in ("F32", "F16", "Q8_0"):
    _title = f"Products of rows of 4096 elements in {_kind}"
    _make = partial(_long, kind=_kind)
    BOOK.add("MUL_MAT", f"long-rows-{_slug_of(_kind)}", _title, _make, clause="OP-ACCURACY")


@_sample("MUL_MAT", "hadamard-hint")
def _hint(draw: Draw) -> Sample:
    """With the hint of a Hadamard matrix a plain product is right as well"""
    sign = np.array([[1.0]])
    for _ in range(6):
        sign = np.block([[sign, sign], [sign, -sign]])
    w, x = held(sign / 8), draw.floats(64, 5)
    return result("MUL_MAT", matrix_product(w.values, x.values), w, x, params={"hint": 1})


def _mul_mat_id(draw: Draw, kind: str, rows: int, used: int, tokens: int) -> Sample:
    k = _row(kind)
    w, x = draw.any(k, 9, 4, kind=kind), draw.floats(k, rows, tokens)
    ids = draw.whole(used, tokens, below=4)
    return result("MUL_MAT_ID", product_by_id(w.values, x.values, ids.values)[0], w, x, ids)


for _kind in WEIGHTS:
    _title = f"Experts in {_kind}, two for each of five tokens"
    BOOK.add("MUL_MAT_ID", _slug_of(_kind), _title, partial(_mul_mat_id, kind=_kind, rows=1, used=2, tokens=5))
for _slug, _rows, _used, _tokens in (("one-token", 1, 3, 1), ("a-row-for-each", 2, 2, 4), ("rows-modulo", 2, 4, 3)):
    _make = partial(_mul_mat_id, kind="F32", rows=_rows, used=_used, tokens=_tokens)
    BOOK.add("MUL_MAT_ID", _slug, f"{_rows} rows, {_used} experts for each of {_tokens} tokens", _make)


@_sample("MUL_MAT_ID", "ids-of-wider-rows")
def _ids_of_wider_rows(draw: Draw) -> Sample:
    """The ids are a view of wider rows, as a router makes them"""
    w, x, ids = draw.floats(67, 9, 4), draw.floats(67, 1, 5), draw.whole(4, 5, below=4).rows(0, 2)
    return result("MUL_MAT_ID", product_by_id(w.values, x.values, ids.values)[0], w, x, ids)


def _out_prod(draw: Draw, kind: str, of_a: tuple[int, int], of_b: tuple[int, int]) -> Sample:
    m = 256 if type_of(kind).quantised else 37
    a, b = draw.any(m, 5, *of_a, kind=kind), draw.floats(7, 5, *of_b)
    return result("OUT_PROD", outer_product(a.values, b.values), a, b)


for _slug, _kind, _of_a, _of_b in (
    ("f32", "F32", (1, 1), (1, 1)),
    ("batches", "F32", (2, 2), (2, 2)),
    ("shared", "F32", (2, 1), (4, 3)),
    ("q8-0", "Q8_0", (1, 1), (1, 1)),
    ("q4-k", "Q4_K", (1, 1), (1, 1)),
):
    _title = f"OUT_PROD of {_kind}, batches {_of_a} and {_of_b}"
    BOOK.add("OUT_PROD", _slug, _title, partial(_out_prod, kind=_kind, of_a=_of_a, of_b=_of_b))


def _solve(draw: Draw, n: int, m: int) -> Sample:
    a, b = draw.floats(n, n, 3, 2, low=0.5, high=1.5), draw.floats(m, n, 3, 2)
    return result("SOLVE_TRI", solved(a.values, b.values), a, b)


for _n, _m in ((7, 5), (16, 1)):
    BOOK.add("SOLVE_TRI", f"n-{_n}-m-{_m}", f"{_n} unknowns, {_m} right sides", partial(_solve, n=_n, m=_m))
