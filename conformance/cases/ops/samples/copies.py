"""Samples of DUP, CPY, CONT, GET_ROWS, SET_ROWS and of the ops that only describe bytes.

Rules
- Into a float type a copy is exact after rounding (OP-CONVERT), and the round is numpy's own to F16.
- Into a quantised type, what comes back is decoded and compared with the value itself (quantised.py).
"""

from functools import partial

import attrs
import numpy as np

from conformance.cases.graph.build import Tensor, graph, node, view
from conformance.cases.ops.blocks.decode import decoded
from conformance.cases.ops.blocks.draw import Draw, Operand, encoded, held, shaped, type_of
from conformance.cases.ops.blocks.formats import Array
from conformance.cases.ops.definitions.moves import rows_of, with_rows
from conformance.cases.ops.quantised import quantised
from conformance.cases.ops.sample import Book, Expected, Sample, result, sampled, within
from conformance.cases.ops.tolerance import EXACT
from spec.load import load

__all__ = ["BOOK"]

BOOK = Book()
_sample = BOOK.sample

FLOATS = ("F32", "F16", "BF16")
WRITTEN = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL")
"""formats into which caches of keys and values are quantised"""
NOT_ELEMENTS = frozenset({"I8", "I64", "F64", "Q8_1", "Q8_K"})
"""types that no graph takes rows of: indices, and what products make for themselves"""


def _as(values: Array, kind: str) -> Array:
    """Values rounded to a type without blocks."""
    return decoded(type_of(kind), encoded(values, kind)).reshape(values.shape)


def _converted(made: Tensor, want: Array, is_written: Array | None = None) -> Expected:
    """What a tensor of any type has to hold after a conversion."""
    if type_of(made.type).quantised:
        return quantised(made, want, is_written)
    return within(made, _as(want, made.type), EXACT)


def _copied(draw: Draw, op: str, x_kind: str, kind: str) -> Sample:
    x = draw.any(256, 3, 2, kind=x_kind)
    if op == "CPY":
        return _onto(x, kind, (256, 3, 2))
    made = node(op, kind, (256, 3, 2), x.tensor)
    return sampled(_converted(made, x.values))


def _onto(x: Operand, kind: str, ne: tuple[int, ...]) -> Sample:
    """CPY into a tensor of those extents."""
    to = Tensor(type=kind, ne=ne)
    made = node("CPY", kind, ne, x.tensor, to, onto=to)
    return sampled(_converted(made, shaped(x.values.reshape(-1), ne)))


def _slug_of(kind: str) -> str:
    return kind.lower().replace("_", "-")


for _x in FLOATS:
    for _kind in FLOATS:
        for _op in ("DUP", "CPY"):
            _title = f"{_op} from {_x} to {_kind}"
            BOOK.add(
                _op, f"{_slug_of(_x)}-to-{_slug_of(_kind)}", _title, partial(_copied, op=_op, x_kind=_x, kind=_kind)
            )
for _kind in WRITTEN:
    for _x in FLOATS:
        _title = f"CPY from {_x} to {_kind}"
        BOOK.add(
            "CPY", f"{_slug_of(_x)}-to-{_slug_of(_kind)}", _title, partial(_copied, op="CPY", x_kind=_x, kind=_kind)
        )
    _title = f"CPY from {_kind} to F32"
    BOOK.add("CPY", f"{_slug_of(_kind)}-to-f32", _title, partial(_copied, op="CPY", x_kind=_kind, kind="F32"))
for _kind in ("I32", "I16"):
    BOOK.add("DUP", _slug_of(_kind), f"DUP of {_kind}", partial(_copied, op="DUP", x_kind=_kind, kind=_kind))
BOOK.add("CPY", "i32-to-f32", "CPY from I32 to F32", partial(_copied, op="CPY", x_kind="I32", kind="F32"))
for _kind in (*FLOATS, "I32"):
    BOOK.add(
        "CONT", _slug_of(_kind), f"CONT of {_kind} without gaps", partial(_copied, op="CONT", x_kind=_kind, kind=_kind)
    )


def _permuted(draw: Draw, op: str, order: tuple[int, ...], kind: str) -> Sample:
    x = draw.floats(7, 5, 3, 2, kind=kind).permuted(*order)
    if op == "CPY":
        return _onto(x, kind, x.ne)
    made = node(op, kind, x.ne, x.tensor)
    return sampled(_converted(made, x.values))


for _op in ("DUP", "CPY", "CONT"):
    for _slug, _order in (("transposed", (1, 0, 2, 3)), ("permuted", (2, 0, 3, 1)), ("planes", (0, 2, 1, 3))):
        for _kind in ("F32", "F16"):
            _title = f"{_op} of {_kind} with dimensions in the order {_order}"
            BOOK.add(_op, f"{_slug}-{_slug_of(_kind)}", _title, partial(_permuted, op=_op, order=_order, kind=_kind))


@_sample("CPY", "other-extents", clause="OP-ORDER")
def _other_extents(draw: Draw) -> Sample:
    """Elements go in the order of their extents where source and result have different ones"""
    return _onto(draw.floats(6, 4, 5).permuted(1, 0, 2, 3), "F32", (10, 12))


@_sample("CPY", "into-gaps", clause="OP-ORDER")
def _into_gaps(draw: Draw) -> Sample:
    """A destination with gaps keeps the bytes between its rows"""
    x, home = draw.floats(5, 4), draw.floats(9, 4)
    to = view(home.tensor, (5, 4), (4, 36, 144, 144), at=8)
    made = attrs.evolve(node("CPY", "F32", (5, 4), x.tensor, to, onto=home.tensor), nb=to.nb, at=to.at)
    want = home.values.copy()
    want[0, 0, :, 2:7] = x.values[0, 0]
    read = attrs.evolve(graph(made, home.tensor), results=(home.tensor,))
    return Sample(read, (within(home.tensor, want, EXACT),))


TIES = (1.0, 1.0 + 2.0**-11, 1.0 + 3 * 2.0**-11, -1.0 - 2.0**-11, 65504.0, 2.0**-24, 2.0**-25, 3 * 2.0**-25, 0.0, -0.0)
BF16_TIES = (1.0 + 2.0**-8, 1.0 + 3 * 2.0**-8, -1.0 - 2.0**-8, 1.0 + 2.0**-8 + 2.0**-20, 3.0e38, 1e-30)


def _ties(draw: Draw, kind: str, values: tuple[float, ...]) -> Sample:
    return _onto(held(np.array(values, np.float32)), kind, (len(values),))


BOOK.add(
    "CPY",
    "ties-to-even-f16",
    "Ties go to even in F16, subnormals included",
    partial(_ties, kind="F16", values=TIES),
    clause="OP-CONVERT",
)
BOOK.add(
    "CPY",
    "ties-to-even-bf16",
    "Ties go to even in BF16",
    partial(_ties, kind="BF16", values=BF16_TIES),
    clause="OP-CONVERT",
)


@_sample("CPY", "towards-zero", clause="OP-CONVERT")
def _towards_zero(draw: Draw) -> Sample:
    """From F32 to I32 fractions are cut off"""
    x = held(np.array([0.0, 0.5, 0.99, 1.5, 2.5, -0.5, -0.99, -1.5, -2.5, 100000.75], np.float32))
    made_of = np.trunc(x.values)
    to = Tensor(type="I32", ne=(10,))
    made = node("CPY", "I32", (10,), x.tensor, to, onto=to)
    return sampled(within(made, made_of, EXACT))


def _described(draw: Draw, op: str) -> Sample:
    """A view of x is copied: it describes the right bytes, and computing it has left them alone."""
    x = draw.floats(6, 4, 5)
    seen = {
        "RESHAPE": lambda: Operand(view(x.tensor, (12, 10), op="RESHAPE"), x.values.reshape(1, 1, 10, 12)),
        "VIEW": lambda: x.rows(1, 4),
        "PERMUTE": lambda: x.permuted(2, 0, 1, 3),
        "TRANSPOSE": lambda: x.permuted(1, 0, 2, 3, op="TRANSPOSE"),
    }[op]()
    made = node("CONT", "F32", seen.ne, seen.tensor)
    return sampled(within(made, seen.values, EXACT), within(x.tensor, x.values, EXACT))


for _op in ("RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE"):
    BOOK.add(_op, "read-through", f"A {_op} is read through, and its bytes stay", partial(_described, op=_op))


@_sample("NONE", "leaf-in-the-node-list")
def _none(draw: Draw) -> Sample:
    """A leaf that stands in the node list keeps its bytes"""
    x = draw.floats(37, 3)
    made = node("SCALE", "F32", (37, 3), x.tensor, params={"scale": 2.0})
    return sampled(within(made, x.values * 2, EXACT), nodes=(x.tensor, made))


def _get_rows(draw: Draw, kind: str) -> Sample:
    x, ids = draw.any(256, 7, kind=kind), draw.whole(5, below=7)
    return result("GET_ROWS", rows_of(x.values, ids.values), x, ids, type="I32" if kind == "I32" else "F32")


def _types() -> tuple[str, ...]:
    spec = load()
    kinds = spec.dialect(spec.versions[-1]).types.values()
    return tuple(kind.name for kind in kinds if kind.name not in NOT_ELEMENTS)


for _kind in _types():
    if _kind != "I16":
        BOOK.add("GET_ROWS", _slug_of(_kind), f"GET_ROWS of {_kind}", partial(_get_rows, kind=_kind))


@_sample("GET_ROWS", "batches")
def _get_rows_batches(draw: Draw) -> Sample:
    """Each batch has its own rows and ids"""
    x, ids = draw.floats(37, 7, 3, 2), draw.whole(5, 3, 2, below=7)
    return result("GET_ROWS", rows_of(x.values, ids.values), x, ids)


@_sample("GET_ROWS", "strided-ids")
def _get_rows_strided(draw: Draw) -> Sample:
    """The ids are a part of wider rows"""
    x, ids = draw.floats(37, 7, 3), draw.whole(9, 3, below=7).rows(2, 5)
    return result("GET_ROWS", rows_of(x.values, ids.values), x, ids)


@_sample("GET_ROWS_BACK", "f32")
def _get_rows_back(draw: Draw) -> Sample:
    """Gradients of rows that were taken twice are added"""
    grad, ids = draw.floats(37, 9), draw.whole(9, below=5)
    want = np.zeros((6, 37))
    np.add.at(want, ids.values.reshape(-1).astype(np.int64), grad.values[0, 0])
    return result("GET_ROWS_BACK", want, grad, ids)


def _set_rows(draw: Draw, rows_kind: str, ids_kind: str, kind: str) -> Sample:
    rows, ids, to = draw.floats(256, 4, kind=rows_kind), draw.choices(4, 7, kind=ids_kind), draw.any(256, 7, kind=kind)
    return _rows_set(rows, ids, to)


def _rows_set(rows: Operand, ids: Operand, to: Operand) -> Sample:
    made = node("SET_ROWS", to.tensor.type, to.ne, rows.tensor, ids.tensor, to.tensor, onto=to.tensor)
    want = with_rows(to.values, rows.values, ids.values)
    is_written = with_rows(np.zeros(to.values.shape), np.ones(rows.values.shape), ids.values)
    return sampled(_converted(made, want, is_written))


for _kind in (*FLOATS, *WRITTEN):
    for _rows, _ids in (("F32", "I64"), ("F32", "I32"), ("F16", "I64")):
        _slug = f"{_slug_of(_kind)}-{_ids.lower()}" + ("-of-f16" if _rows == "F16" else "")
        _title = f"SET_ROWS of {_rows} into {_kind} by {_ids}"
        BOOK.add("SET_ROWS", _slug, _title, partial(_set_rows, rows_kind=_rows, ids_kind=_ids, kind=_kind))


@_sample("SET_ROWS", "batches")
def _set_rows_batches(draw: Draw) -> Sample:
    """Batches share ids by index modulo extent"""
    rows, to = draw.floats(16, 3, 4, 2), draw.floats(16, 7, 4, 2)
    ids = held(np.stack([draw.choices(3, 7, "I64").values[0, 0, 0] for _ in range(2)]).reshape(1, 2, 3), "I64")
    return _rows_set(rows, ids, to)


@_sample("SET_ROWS", "rows-of-one-element")
def _set_rows_single(draw: Draw) -> Sample:
    """Rows of one element, as the transposed V cache is written"""
    rows, ids, to = draw.floats(1, 24), draw.choices(24, 40, "I64"), draw.floats(1, 40, kind="F16")
    return _rows_set(rows, ids, to)
