"""Samples of ops of one element at a time: arithmetic, UNARY, GLU, SCALE and their like."""

from functools import partial

import numpy as np

from conformance.cases.graph.build import Param
from conformance.cases.ops.blocks.draw import Draw, held
from conformance.cases.ops.definitions.elementwise import (
    BINARY,
    GATES,
    SIMPLE,
    UNARY,
    clamped,
    glu,
    halves_of,
    leaky_relu,
    like,
    silu_back,
    xielu,
)
from conformance.cases.ops.sample import Book, Sample, result
from conformance.cases.ops.tolerance import HALVES
from spec.load import load

__all__ = ["BOOK"]

BOOK = Book()
_sample = BOOK.sample

EXTENTS = (38, 4, 2, 2)
"""of operands: a row that no vector length divides"""
FLOATS = ("F32", "F16", "BF16")
BROADCASTS = {
    "same-extents": (EXTENTS, "operands of the same extents"),
    "one-row": ((38,), "b of one row"),
    "one-column": ((1, 4, 2, 2), "b of rows of one element"),
    "one-element": ((1,), "b of one element"),
    "half": ((19, 2, 1, 2), "b of half the extents"),
}
RANGE: dict[str, tuple[float, float]] = {"SQRT": (0.0, 4.0), "LOG": (0.1, 4.0), "EXP": (-4.0, 4.0)}
AROUND_ZERO = (-4.0, 4.0)
ROUNDED_TO_F16 = frozenset({"GELU", "GELU_QUICK", "GEGLU", "GEGLU_QUICK"})
"""kinds whose note admits that operand and result are rounded"""
EXTREMES = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 20.0, -20.0, 30.0, -30.0, 88.0, -88.0)


def _code(enumeration: str, name: str) -> int:
    spec = load()
    values = spec.dialect(spec.versions[-1]).enums[enumeration].values
    return next(entry.value for entry in values if entry.name == name)


def _binary(draw: Draw, op: str, of_b: tuple[int, ...], a_kind: str = "F32", b_kind: str = "F32") -> Sample:
    a = draw.floats(*EXTENTS, kind=a_kind, low=-2, high=2)
    b = draw.floats(*of_b, kind=b_kind, low=0.5, high=2)
    return result(op, BINARY[op](a.values, like(b.values, a.values.shape)), a, b, type=a_kind)


def _strided(draw: Draw, op: str) -> Sample:
    a = draw.floats(38, 2, 4, 2).permuted(0, 2, 1, 3)
    b = draw.floats(41, 4, 2, 2, low=0.5, high=2).rows(2, 38)
    return result(op, BINARY[op](a.values, b.values), a, b)


for _op in BINARY:
    for _slug, (_extents, _words) in BROADCASTS.items():
        BOOK.add(_op, _slug, f"{_op} with {_words}", partial(_binary, op=_op, of_b=_extents))
    for _a in FLOATS:
        for _b in ("F32", _a) if _a != "F32" else ():
            _title = f"{_op} of {_a} and {_b}"
            BOOK.add(
                _op, f"{_a}-and-{_b}".lower(), _title, partial(_binary, op=_op, of_b=EXTENTS, a_kind=_a, b_kind=_b)
            )
    BOOK.add(
        _op,
        "strided",
        f"{_op} of a whose rows are in another order and b that is a part of wider rows",
        partial(_strided, op=_op),
    )


@_sample("ADD", "broadcast-in-all-dimensions", clause="OP-BROADCAST")
def _broadcast(draw: Draw) -> Sample:
    """The index into a smaller operand is the result's index modulo its extent, in every dimension"""
    a, b = draw.floats(6, 4, 6, 4), draw.floats(3, 2, 3, 2)
    return result("ADD", a.values + like(b.values, a.values.shape), a, b)


def _quantised_sum(draw: Draw, kind: str) -> Sample:
    a, b = draw.blocks(256, 3, kind=kind), draw.floats(256, 3)
    return result("ADD", a.values + b.values, a, b)


@_sample("ADD1", "f32")
def _add1(draw: Draw) -> Sample:
    """ADD1 of F32"""
    a, b = draw.floats(*EXTENTS), draw.floats(1)
    return result("ADD1", a.values + b.values, a, b)


@_sample("ADD1", "f16-and-f32")
def _add1_halves(draw: Draw) -> Sample:
    """ADD1 of F16 and F32"""
    a, b = draw.floats(*EXTENTS, kind="F16"), draw.floats(1)
    return result("ADD1", a.values + b.values, a, b, type="F16")


def _simple(draw: Draw, op: str, kind: str) -> Sample:
    low, high = RANGE.get(op, AROUND_ZERO)
    x = draw.floats(*EXTENTS, kind=kind, low=low, high=high)
    return result(op, SIMPLE[op](x.values), x, type=kind)


for _op in SIMPLE:
    for _kind in FLOATS:
        BOOK.add(_op, _kind.lower(), f"{_op} of {_kind}", partial(_simple, op=_op, kind=_kind))


def _unary(draw: Draw, name: str, kind: str) -> Sample:
    x = draw.floats(*EXTENTS, kind=kind, low=-4, high=4)
    allowed = HALVES if name in ROUNDED_TO_F16 else None
    return result("UNARY", UNARY[name](x.values), x, type=kind, tolerance=allowed, params=_kind_of("Unary", name))


def _extremes(draw: Draw, name: str) -> Sample:
    x = held(np.array(EXTREMES, np.float32))
    with np.errstate(over="ignore"):
        want = UNARY[name](x.values)
    allowed = HALVES if name in ROUNDED_TO_F16 else None
    return result("UNARY", want, x, tolerance=allowed, params=_kind_of("Unary", name))


def _kind_of(enumeration: str, name: str) -> dict[str, Param]:
    return {"kind": _code(enumeration, name)}


for _name in UNARY:
    _dashed = _name.lower().replace("_", "-")
    for _kind in FLOATS:
        BOOK.add("UNARY", f"{_dashed}-{_kind.lower()}", f"{_name} of {_kind}", partial(_unary, name=_name, kind=_kind))
    BOOK.add("UNARY", f"{_dashed}-edges", f"{_name} of zeros, halves and large values", partial(_extremes, name=_name))


@_sample("UNARY", "xielu")
def _xielu(draw: Draw) -> Sample:
    """XIELU, with its four parameters"""
    x = draw.floats(*EXTENTS, low=-3, high=3)
    pars = {"alpha_n": 0.75, "alpha_p": 0.5, "beta": 0.25, "eps": -0.125}
    return result("UNARY", xielu(x.values, **pars), x, params={**_kind_of("Unary", "XIELU"), **pars})


def _glu(draw: Draw, name: str, kind: str, is_split: bool, is_swapped: bool = False) -> Sample:
    pars: dict[str, Param] = {"alpha": 1.5, "limit": 1.25} if name in ("SWIGLU_OAI", "SWIGLU_CLAMP") else {}
    numbers = tuple(float(pars[each]) for each in ("alpha", "limit")) if pars else (0.0, 0.0)  # type: ignore[arg-type]
    if is_split:
        a, b = (draw.floats(37, 3, 2, kind=kind, low=-3, high=3) for _ in range(2))
        gate, value = a.values, b.values
    else:
        a, b = draw.floats(74, 3, 2, kind=kind, low=-3, high=3), None
        gate, value = halves_of(a.values, is_swapped)
    allowed = HALVES if name in ROUNDED_TO_F16 else None
    pars |= {**_kind_of("Glu", name), "swapped": int(is_swapped)}
    return result("GLU", glu(name, gate, value, *numbers), a, b, type=kind, tolerance=allowed, params=pars)


for _name in GATES:
    _dashed = _name.lower().replace("_", "-")
    for _slug, _split, _swapped, _words in (
        ("", False, False, "gate and value in one row"),
        ("-swapped", False, True, "value and gate in one row"),
        ("-two-operands", True, False, "gate and value as operands"),
    ):
        _make = partial(_glu, name=_name, kind="F32", is_split=_split, is_swapped=_swapped)
        BOOK.add("GLU", _dashed + _slug, f"{_name}, {_words}", _make)
    if _name != "SWIGLU_OAI":
        BOOK.add("GLU", f"{_dashed}-f16", f"{_name} of F16", partial(_glu, name=_name, kind="F16", is_split=True))


@_sample("GLU", "rows-apart")
def _glu_rows_apart(draw: Draw) -> Sample:
    """Gate and value are the two halves of the rows of one tensor, as views"""
    both = draw.floats(80, 3, 2, low=-3, high=3)
    gate, value = both.rows(0, 40), both.rows(40, 40)
    return result("GLU", glu("SWIGLU", gate.values, value.values), gate, value, params=_kind_of("Glu", "SWIGLU"))


def _scale(draw: Draw, scale: float, bias: float) -> Sample:
    x = draw.floats(*EXTENTS)
    return result("SCALE", scale * x.values + bias, x, params={"scale": scale, "bias": bias})


for _slug, _scale_by, _bias in (("factor", 0.5, 0.0), ("bias", -1.5, 0.25), ("fill", 0.0, -np.inf)):
    _title = f"SCALE by {_scale_by:g} with bias {_bias:g}"
    BOOK.add("SCALE", _slug, _title, partial(_scale, scale=_scale_by, bias=_bias))


def _clamp(draw: Draw, kind: str, low: float, high: float) -> Sample:
    x = draw.floats(*EXTENTS, kind=kind)
    return result("CLAMP", clamped(x.values, low, high), x, type=kind, params={"min": low, "max": high})


for _slug, _kind, _low, _high in (
    ("f32", "F32", -0.5, 0.25),
    ("f16", "F16", -0.5, 0.25),
    ("no-upper-bound", "F32", -0.5, np.inf),
):
    BOOK.add(
        "CLAMP", _slug, f"CLAMP of {_kind} to [{_low}, {_high}]", partial(_clamp, kind=_kind, low=_low, high=_high)
    )


def _fill(draw: Draw, kind: str, value: float) -> Sample:
    x = draw.floats(*EXTENTS, kind=kind)
    return result("FILL", np.full(x.values.shape, value), x, type=kind, params={"value": value})


for _slug, _kind, _value in (("f32", "F32", 0.75), ("f16", "F16", -2.0), ("infinity", "F32", -np.inf)):
    BOOK.add("FILL", _slug, f"FILL of {_kind} with {_value:g}", partial(_fill, kind=_kind, value=_value))


def _leaky(draw: Draw, kind: str) -> Sample:
    x = draw.floats(*EXTENTS, kind=kind)
    return result("LEAKY_RELU", leaky_relu(x.values, 0.125), x, type=kind, params={"slope": 0.125})


def _silu_back(draw: Draw, kind: str) -> Sample:
    grad, x = draw.floats(*EXTENTS, kind=kind), draw.floats(*EXTENTS, kind=kind, low=-3, high=3)
    return result("SILU_BACK", silu_back(grad.values, x.values), grad, x, type=kind)


for _kind in ("F32", "F16"):
    BOOK.add("LEAKY_RELU", _kind.lower(), f"LEAKY_RELU of {_kind}", partial(_leaky, kind=_kind))
    BOOK.add("SILU_BACK", _kind.lower(), f"SILU_BACK of {_kind}", partial(_silu_back, kind=_kind))

for _kind in ("Q4_0", "Q8_0", "Q4_K"):
    _title = f"ADD of {_kind} and F32 gives F32"
    BOOK.add("ADD", f"{_kind.lower().replace('_', '-')}-and-f32", _title, partial(_quantised_sum, kind=_kind))
