"""Samples of ROPE and ROPE_BACK, and of the clauses that give their angles."""

from functools import partial

import attrs

from conformance.cases.graph.build import Param
from conformance.cases.ops.blocks.draw import Draw, Operand, values_of
from conformance.cases.ops.definitions.rope import IMROPE, MROPE, NEOX, NORMAL, VISION, Rope, rotated
from conformance.cases.ops.sample import Book, Sample, result

__all__ = ["BOOK"]

BOOK = Book()

TOKENS = 5
MODES = {NORMAL: "normal", NEOX: "neox", MROPE: "mrope", VISION: "vision", IMROPE: "imrope"}
SECTIONS = (4, 6, 4, 2)


def _params(rope: Rope) -> dict[str, Param]:
    return attrs.asdict(rope)


def _rope(draw: Draw, op: str, rope: Rope, *, d: int, kind: str = "F32", has_factors: bool = False) -> Sample:
    x = draw.floats(d, 3, TOKENS, 2, kind=kind)
    pos = draw.whole(TOKENS * (4 if rope.in_sections else 1), below=60)
    factors = draw.floats(rope.pairs, low=0.5, high=4) if has_factors else None
    want = rotated(x.values, pos.values, values_of(factors), rope, -1 if op == "ROPE_BACK" else 1)
    return result(op, want, x, pos, factors, type=kind, params=_params(rope))


YARN = Rope(n_dims=32, n_ctx_orig=64, freq_scale=0.25, ext_factor=1.0, attn_factor=1.25)

for _op in ("ROPE", "ROPE_BACK"):
    for _mode in (NORMAL, NEOX):
        for _kind in ("F32", "F16"):
            _title = f"{_op} in mode {MODES[_mode].upper()}, {_kind}"
            _make = partial(_rope, op=_op, rope=Rope(n_dims=32, mode=_mode), d=32, kind=_kind)
            BOOK.add(_op, f"{MODES[_mode]}-{_kind.lower()}", _title, _make)
        _make = partial(_rope, op=_op, rope=Rope(n_dims=20, mode=_mode), d=32)
        BOOK.add(_op, f"{MODES[_mode]}-some-channels", f"{_op} of 20 of 32 channels, mode {_mode}", _make)
for _mode in (NORMAL, NEOX):
    _make = partial(_rope, op="ROPE", rope=Rope(n_dims=16, mode=_mode, n_offs=8), d=32)
    BOOK.add("ROPE", f"{MODES[_mode]}-offset", f"ROPE of channels 8 to 23, mode {_mode}", _make)

for _slug, _rope_, _has_factors, _words in (
    ("plain", Rope(n_dims=32, freq_base=500000.0), False, "another base"),
    ("interpolated", Rope(n_dims=32, freq_scale=0.25), False, "interpolated positions"),
    ("factors", Rope(n_dims=32), True, "a divisor for each pair"),
    ("magnitude", Rope(n_dims=32, attn_factor=1.5), False, "a magnitude"),
    ("yarn", YARN, False, "YaRN"),
    ("yarn-partly", attrs.evolve(YARN, ext_factor=0.5, mode=NEOX), False, "YaRN by half"),
    ("yarn-ramp", attrs.evolve(YARN, n_ctx_orig=4096, freq_base=1000.0), False, "YaRN with a ramp over some pairs"),
    ("yarn-factors", attrs.evolve(YARN, n_ctx_orig=4096), True, "YaRN with divisors"),
):
    _make = partial(_rope, op="ROPE", rope=_rope_, d=32, has_factors=_has_factors)
    BOOK.add("ROPE", _slug, f"Angles with {_words}", _make, clause="OP-ROPE-ANGLE")

for _mode in (MROPE, VISION, IMROPE):
    for _slug, _sections in (("all", SECTIONS), ("shorter-than-the-row", (3, 2, 2, 1)), ("no-extra", (6, 5, 5, 0))):
        _d, _n_dims = (32, 16) if _mode == VISION else (32, 32)
        _made = Rope(n_dims=_n_dims, mode=_mode, sections=_sections)
        _title = f"{MODES[_mode].upper()} with sections {_sections}"
        BOOK.add(
            "ROPE",
            f"{MODES[_mode]}-{_slug}",
            _title,
            partial(_rope, op="ROPE", rope=_made, d=_d),
            clause="OP-ROPE-SECTIONS",
        )


def _of_heads(draw: Draw) -> Sample:
    whole = draw.floats(32, TOKENS, 6)
    x: Operand = whole.permuted(0, 2, 1, 3)
    pos = draw.whole(TOKENS, below=60)
    rope = Rope(n_dims=32)
    return result("ROPE", rotated(x.values, pos.values, None, rope), x, pos, params=_params(rope))


BOOK.add("ROPE", "rows-apart", "ROPE of rows in another order in memory", _of_heads)
