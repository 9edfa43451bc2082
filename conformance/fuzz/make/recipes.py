"""Ops with operands that fit them: what a client would compute, in small.

A recipe says types, extents and parameters by the op's entry in ops.md. Extents are fastest first. Of an op without a
recipe anything can be made that has the operands it needs (`strange`); few of those are valid.
"""

from collections.abc import Callable, Mapping, Sequence

import attrs

from conformance.fuzz.make.source import Source, between, often, pick, seldom
from spec.dialect import Dialect

__all__ = ["RECIPES", "Operand", "Param", "Recipe", "strange"]

Param = int | float | tuple[int, ...]
LARGE = 1e30


@attrs.frozen
class Operand:
    """A leaf. below: of an index tensor, what its values are less than; 0: it holds anything."""

    kind: str
    ne: tuple[int, ...]
    below: int = 0


@attrs.frozen(kw_only=True)
class Recipe:
    """A node and its operands by slot; onto: the slot whose bytes the result always has."""

    op: str
    kind: str
    ne: tuple[int, ...]
    srcs: tuple[Operand | None, ...]
    params: Mapping[str, Param] = attrs.field(factory=dict)
    onto: int | None = None


Write = Callable[[Source], Recipe]
WEIGHTS = ("F32", "F16", "Q8_0", "Q4_0", "BF16", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K")
BLOCK = 256
MODES = (0, 2, 8, 24, 40)


def _rows(source: Source) -> tuple[int, int, int, int]:
    n0 = pick(source, (4, 8, 32, 1, 5))
    return n0, between(source, 1, 4), between(source, 1, 2), between(source, 1, 2)


def _binary(op: str) -> Write:
    def write(source: Source) -> Recipe:
        ne = _rows(source)
        repeated = tuple(1 if seldom(source) else extent for extent in ne)
        return Recipe(op=op, kind="F32", ne=ne, srcs=(Operand("F32", ne), Operand("F32", repeated)))

    return write


def _alike(op: str, **params: Param) -> Write:
    def write(source: Source) -> Recipe:
        ne = _rows(source)
        return Recipe(op=op, kind="F32", ne=ne, srcs=(Operand("F32", ne),), params=params)

    return write


def _scale(source: Source) -> Recipe:
    ne = _rows(source)
    factor = pick(source, (2.0, 0.0, -1.5, LARGE))
    return Recipe(op="SCALE", kind="F32", ne=ne, srcs=(Operand("F32", ne),), params={"scale": factor, "bias": 0.0})


def _copy(op: str) -> Write:
    def write(source: Source) -> Recipe:
        kind, other = pick(source, (("F32", "F32"), ("F32", "F16"), ("F16", "F32"), ("I32", "I32")))
        ne = _rows(source)
        to = (ne[0] * ne[1], 1, ne[2], ne[3]) if often(source) else ne
        if op == "CPY":
            srcs = (Operand(kind, ne), Operand(other, to))
            return Recipe(op=op, kind=other, ne=to, srcs=srcs, onto=1)
        return Recipe(op=op, kind=kind if op == "CONT" else other, ne=to, srcs=(Operand(kind, ne),))

    return write


def _get_rows(source: Source) -> Recipe:
    n, rows, batch = pick(source, (8, 4, 32)), between(source, 1, 5), between(source, 1, 2)
    m, kind = between(source, 1, 4), "F32" if not seldom(source) else pick(source, WEIGHTS)
    n = BLOCK if kind not in ("F32", "F16", "BF16") else n
    ids = Operand("I32", (m, batch, 1, 1), rows)
    return Recipe(op="GET_ROWS", kind="F32", ne=(n, m, batch, 1), srcs=(Operand(kind, (n, rows, batch, 1)), ids))


def _set_rows(source: Source) -> Recipe:
    n, rows, m, batch = pick(source, (8, 4, 1, 32)), between(source, 1, 5), between(source, 1, 3), between(source, 1, 2)
    kind = "F32" if not seldom(source) else pick(source, ("F16", "Q8_0", "Q4_0"))
    n = 32 if kind.startswith("Q") else n
    ids = Operand(pick(source, ("I64", "I32")), (m, pick(source, (1, batch)), 1, 1), rows)
    srcs = (Operand("F32", (n, m, batch, 1)), ids, Operand(kind, (n, rows, batch, 1)))
    return Recipe(op="SET_ROWS", kind=kind, ne=(n, rows, batch, 1), srcs=srcs, onto=2)


def _mul_mat(source: Source) -> Recipe:
    kind = pick(source, WEIGHTS)
    k = BLOCK if kind not in ("F32", "F16", "BF16") else pick(source, (8, 32, 3))
    m, n, batch, share = between(source, 1, 5), between(source, 1, 3), between(source, 1, 2), between(source, 1, 2)
    srcs = (Operand(kind, (k, m, batch, 1)), Operand("F32", (k, n, batch * share, 1)))
    return Recipe(op="MUL_MAT", kind="F32", ne=(m, n, batch * share, 1), srcs=srcs)


def _mul_mat_id(source: Source) -> Recipe:
    kind = pick(source, WEIGHTS)
    k = BLOCK if kind not in ("F32", "F16", "BF16") else 8
    m, experts, used, tokens = (
        between(source, 1, 5),
        between(source, 1, 4),
        between(source, 1, 2),
        between(source, 1, 3),
    )
    ids = Operand("I32", (used, tokens), experts)
    srcs = (Operand(kind, (k, m, experts)), Operand("F32", (k, pick(source, (1, used)), tokens)), ids)
    return Recipe(op="MUL_MAT_ID", kind="F32", ne=(m, used, tokens), srcs=srcs)


def _add_id(source: Source) -> Recipe:
    n, e, t, m = 8, between(source, 1, 3), between(source, 1, 3), between(source, 1, 4)
    srcs = (Operand("F32", (n, e, t)), Operand("F32", (n, m)), Operand("I32", (e, t), m))
    return Recipe(op="ADD_ID", kind="F32", ne=(n, e, t), srcs=srcs)


def _soft_max(source: Source) -> Recipe:
    n, r, heads = pick(source, (8, 32, 5)), between(source, 1, 3), between(source, 1, 4)
    mask = Operand(pick(source, ("F32", "F16")), (n, r, 1, 1)) if often(source) else None
    sinks = Operand("F32", (heads,)) if seldom(source) else None
    params = {"scale": 1.0, "max_bias": pick(source, (0.0, 8.0)) if mask else 0.0}
    srcs = (Operand("F32", (n, r, heads)), mask, sinks)
    return Recipe(op="SOFT_MAX", kind="F32", ne=(n, r, heads), srcs=srcs, params=params)


def _rope(source: Source) -> Recipe:
    d, heads, t, mode = pick(source, (8, 16, 32)), between(source, 1, 3), between(source, 1, 3), pick(source, MODES)
    planes = 1 if mode in MODES[:2] else 4
    sections = (d // 8, d // 8, d // 8, d // 8)
    params: dict[str, Param] = {"n_dims": d // 2 if mode == 24 else d, "mode": mode, "freq_base": 10000.0}
    params |= {"freq_scale": 1.0, "attn_factor": 1.0, "beta_fast": 32.0, "beta_slow": 1.0, "sections": sections}
    factors = Operand("F32", (d // 2,)) if seldom(source) else None
    srcs = (Operand("F32", (d, heads, t)), Operand("I32", (planes * t,), 64), factors)
    return Recipe(op="ROPE", kind="F32", ne=(d, heads, t), srcs=srcs, params=params)


def _attention(source: Source) -> Recipe:
    d, n, kv = pick(source, (32, 64, 16)), between(source, 1, 3), between(source, 1, 8)
    shared, h = between(source, 1, 2), between(source, 1, 2)
    kind = pick(source, ("F16", "F32", "Q8_0", "Q4_0")) if d % 32 == 0 else "F16"
    mask = Operand("F16", (kv, n)) if often(source) else None
    cache = Operand(kind, (d, kv, h))
    srcs = (Operand("F32", (d, n, h * shared)), cache, cache, mask)
    return Recipe(
        op="FLASH_ATTN_EXT", kind="F32", ne=(d, h * shared, n), srcs=srcs, params={"scale": 0.125, "prec": 10}
    )


def _unary(source: Source) -> Recipe:
    ne, kind = _rows(source), source.below(22)
    return Recipe(op="UNARY", kind="F32", ne=ne, srcs=(Operand("F32", ne),), params={"kind": kind, "beta": 0.5})


def _glu(source: Source) -> Recipe:
    n, r, kind = pick(source, (8, 32, 3)), between(source, 1, 3), source.below(7)
    params: dict[str, Param] = {"kind": kind, "alpha": 1.0, "limit": 7.0}
    if often(source):
        srcs: tuple[Operand, ...] = (Operand("F32", (n, r)), Operand("F32", (n, r)))
    else:
        srcs, params = (Operand("F32", (2 * n, r)),), params | {"swapped": source.below(2)}
    return Recipe(op="GLU", kind="F32", ne=(n, r), srcs=srcs, params=params)


def _reduced(op: str, kind: str = "F32") -> Write:
    def write(source: Source) -> Recipe:
        ne = _rows(source)
        result = {"SUM": (1, 1, 1, 1), "ARGSORT": ne, "TOP_K": (between(source, 1, ne[0]), *ne[1:])}
        return Recipe(op=op, kind=kind, ne=result.get(op, (1, *ne[1:])), srcs=(Operand("F32", ne),))

    return write


def _concat(source: Source) -> Recipe:
    ne, dim, more = _rows(source), source.below(4), between(source, 1, 3)
    other = tuple(more if at == dim else extent for at, extent in enumerate(ne))
    total = tuple(extent + more if at == dim else extent for at, extent in enumerate(ne))
    return Recipe(
        op="CONCAT", kind="F32", ne=total, srcs=(Operand("F32", ne), Operand("F32", other)), params={"dim": dim}
    )


def _repeat(source: Source) -> Recipe:
    ne = _rows(source)
    total = tuple(extent * between(source, 1, 2) for extent in ne)
    return Recipe(op="REPEAT", kind="F32", ne=total, srcs=(Operand("F32", ne),))


def _pad(source: Source) -> Recipe:
    ne = _rows(source)
    pads = tuple(source.below(2) for _ in range(8))
    total = tuple(extent + pads[2 * at] + pads[2 * at + 1] for at, extent in enumerate(ne))
    params: dict[str, Param] = {"pads": pads, "circular": source.below(2)}
    return Recipe(op="PAD", kind="F32", ne=total, srcs=(Operand("F32", ne),), params=params)


def _arange(source: Source) -> Recipe:
    count = between(source, 1, 32)
    return Recipe(op="ARANGE", kind="F32", ne=(count,), srcs=(), params={"stop": float(count), "step": 1.0})


RECIPES: Mapping[str, Write] = {
    "ADD": _binary("ADD"),
    "MUL": _binary("MUL"),
    "SCALE": _scale,
    "CPY": _copy("CPY"),
    "GET_ROWS": _get_rows,
    "SET_ROWS": _set_rows,
    "SUB": _binary("SUB"),
    "DIV": _binary("DIV"),
    "CONT": _copy("CONT"),
    "DUP": _copy("DUP"),
    "MUL_MAT": _mul_mat,
    "MUL_MAT_ID": _mul_mat_id,
    "ADD_ID": _add_id,
    "SOFT_MAX": _soft_max,
    "ROPE": _rope,
    "FLASH_ATTN_EXT": _attention,
    "UNARY": _unary,
    "GLU": _glu,
    "CONCAT": _concat,
    "REPEAT": _repeat,
    "PAD": _pad,
    "ARANGE": _arange,
    **{op: _reduced(op) for op in ("SUM", "SUM_ROWS", "MEAN")},
    **{op: _reduced(op, "I32") for op in ("ARGSORT", "TOP_K")},
    **{op: _alike(op) for op in ("SQR", "SQRT", "LOG", "SIN", "COS")},
    **{op: _alike(op, eps=1e-5) for op in ("RMS_NORM", "NORM", "L2_NORM")},
    "CLAMP": _alike("CLAMP", min=-1.0, max=1.0),
    "FILL": _alike("FILL", value=3.0),
}
"""by op; the first ones are those that the model follows"""


def strange(source: Source, dialect: Dialect) -> Recipe:
    """Any op of the dialect with operands of one shape in the slots that it needs."""
    op = pick(source, dialect.ops)
    ne = (8, 4, between(source, 1, 2), 1)
    needed: Sequence[Operand | None] = ()
    if op.operands:
        slots = {operand.slot: operand for operand in op.operands if not operand.optional or seldom(source)}
        last = max(slots, default=-1)
        needed = [_strange(slots[at].types, ne) if at in slots else None for at in range(last + 1)]
    return Recipe(op=op.name, kind="F32", ne=ne, srcs=tuple(needed))


def _strange(types: str, ne: tuple[int, ...]) -> Operand:
    return Operand("I32", ne, 4) if types.startswith("I32") else Operand("F32", ne)
