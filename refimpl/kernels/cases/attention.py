"""Cases of FLASH_ATTN_EXT.

Cache lengths, query counts, head sizes, groups of heads, masks with and without anything to see.
"""

from collections.abc import Iterator

import attrs
import numpy as np

from refimpl.kernels.cases.build import Layout, dim, empty, full, normal, off_ties, permuted, store
from refimpl.kernels.cases.normalising import masked
from refimpl.kernels.operand import Case, Operand
from spec.names import Op, Prec, Type

__all__ = ["attention"]

F32, F16 = Type.F32, Type.F16
BLOCKS = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
CACHED = (F32, F16, Type.BF16, *BLOCKS)


@attrs.frozen(kw_only=True)
class _Sizes:
    """Extents of one attention."""

    d: int = 64
    dv: int = 64
    tokens: int = 1
    keys: int = 32
    heads: int = 9
    key_heads: int = 3
    batch: int = 1
    cells: int = 320
    """length of the cache that the keys are the beginning of"""

    def __str__(self) -> str:
        shape = f"{self.tokens} tokens, {self.keys} keys, heads {self.heads}/{self.key_heads}, d {self.d}/{self.dv}"
        return shape if self.batch == 1 else f"{shape}, batch {self.batch}"


def _queries(rng: np.random.Generator, s: _Sizes) -> Operand:
    """(d, tokens, heads, batch), permuted from (d, heads, tokens, batch) as a graph has it; off ties."""
    ne = dim(s.d, s.heads, s.tokens, s.batch)
    return permuted(store(empty(F32, ne), off_ties(rng.standard_normal(ne[::-1]))), (0, 2, 1, 3))


def _cached(rng: np.random.Generator, type_: Type, s: _Sizes, width: int) -> Operand:
    """(width, keys, key_heads, batch): the first cells of a cache in which the heads of one cell lie together."""
    cache = permuted(normal(rng, type_, dim(width, s.key_heads, s.cells, s.batch)), (0, 2, 1, 3))
    return attrs.evolve(cache, ne=dim(width, s.keys, s.key_heads, s.batch))


def _attend(label: str, s: _Sizes, srcs: tuple[Operand | None, ...], **words: float) -> Case:
    """The case, scaled by 1 / sqrt(d); `words` may give max_bias and softcap."""
    params = {
        0: float(s.d**-0.5),
        1: float(words.get("max_bias", 0)),
        2: float(words.get("softcap", 0)),
        3: int(Prec.F32),
    }
    dst = empty(F32, dim(s.dv, s.heads, s.tokens, s.batch))
    return full(Op.FLASH_ATTN_EXT, f"{label}: {s}", srcs, dst, params)


def attention(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    for type_ in (F16, F32):
        yield from _lengths(rng, type_)
        yield from _shapes(rng, type_)
        yield from _masks(rng, type_)
        yield from _layouts(rng, type_)
        yield from _many(rng, type_)
    for type_ in (Type.BF16, *BLOCKS):
        yield from _quantised(rng, type_)
    for key in CACHED:
        for value in CACHED:
            if key != value:
                yield _mixed(rng, key, value)


def _quantised(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    """Keys and values of a type in which both are always met one by one, in rows of whole blocks."""
    for tokens, keys in ((1, 1), (1, 33), (1, 600), (3, 64), (8, 130), (65, 40)):
        s = _Sizes(tokens=tokens, keys=keys, cells=keys + 8)
        yield _attend(f"{type_.name} masked", s, (*_sources(rng, type_, s), _mask(rng, s)))
    for d, dv in ((32, 32), (96, 64), (128, 128), (64, 160), (1056, 32), (32, 1056)):
        s = _Sizes(d=d, dv=dv, tokens=2, keys=9, cells=12)
        yield _attend(type_.name, s, (*_sources(rng, type_, s), _mask(rng, s)))
    for heads, key_heads, batch in ((4, 4, 1), (8, 1, 2), (40, 2, 1)):
        s = _Sizes(heads=heads, key_heads=key_heads, tokens=2, keys=33, batch=batch)
        yield _attend(type_.name, s, (*_sources(rng, type_, s), _mask(rng, s)))
    s = _Sizes(tokens=3, keys=70)
    values = rng.standard_normal((1, 1, 3, 70))
    values[0, 0, 0], values[0, 0, 1, 5:] = -np.inf, -np.inf
    mask = store(empty(F16, dim(70, 3)), values)
    yield _attend(f"{type_.name} hidden keys", s, (*_sources(rng, type_, s), mask))
    srcs = (*_sources(rng, type_, s), _mask(rng, s), normal(rng, F32, dim(9)))
    yield _attend(f"{type_.name} ALiBi, soft cap, sinks", s, srcs, max_bias=8, softcap=3)
    gaps = Layout(slack=2, lead=1)
    loose = normal(rng, type_, dim(64, 70, 3), gaps), normal(rng, type_, dim(64, 70, 3), gaps)
    yield _attend(f"{type_.name} rows with gaps", s, (_queries(rng, s), *loose, _mask(rng, s)))


def _mixed(rng: np.random.Generator, key: Type, value: Type) -> Case:
    s = _Sizes(tokens=2, keys=70, d=64, dv=96)
    srcs = _queries(rng, s), _cached(rng, key, s, s.d), _cached(rng, value, s, s.dv), _mask(rng, s)
    return _attend(f"{key.name} keys, {value.name} values", s, srcs)


def _sources(rng: np.random.Generator, type_: Type, s: _Sizes) -> tuple[Operand, Operand, Operand]:
    return _queries(rng, s), _cached(rng, type_, s, s.d), _cached(rng, type_, s, s.dv)


def _mask(rng: np.random.Generator, s: _Sizes) -> Operand:
    return masked(rng, F16, dim(s.keys, s.tokens), Layout())


def _lengths(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    for tokens in (1, 3, 8, 33):
        for keys in (1, 5, 32, 256, 300):
            s = _Sizes(tokens=tokens, keys=keys)
            yield _attend(f"{type_.name} masked", s, (*_sources(rng, type_, s), _mask(rng, s)))
        s = _Sizes(tokens=tokens, keys=40)
        yield _attend(f"{type_.name} unmasked", s, _sources(rng, type_, s))
    s = _Sizes(tokens=0)
    yield _attend(f"{type_.name} no tokens", s, _sources(rng, type_, s))


def _shapes(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    for d, dv in ((32, 32), (64, 64), (80, 80), (128, 128), (128, 64), (32, 80)):
        for tokens in (1, 4):
            s = _Sizes(d=d, dv=dv, tokens=tokens, keys=48)
            yield _attend(type_.name, s, (*_sources(rng, type_, s), _mask(rng, s)))
    for heads, key_heads in ((1, 1), (4, 4), (8, 1), (32, 4)):
        s = _Sizes(heads=heads, key_heads=key_heads, tokens=2, keys=33)
        yield _attend(type_.name, s, (*_sources(rng, type_, s), _mask(rng, s)))
    s = _Sizes(d=96, dv=64, tokens=3, keys=20)
    key = _cached(rng, type_, s, s.d)
    yield _attend(
        f"{type_.name} values are a part of the keys", s, (_queries(rng, s), key, attrs.evolve(key, ne=dim(64, 20, 3)))
    )


def _many(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    """Beyond the numbers of queries and keys up to which sums of F16 values are kept in F16."""
    for tokens, keys, d, dv in ((1, 511, 64, 64), (1, 512, 64, 64), (1, 700, 128, 80), (63, 70, 64, 64)):
        s = _Sizes(d=d, dv=dv, tokens=tokens, keys=keys, cells=keys + 8)
        yield _attend(f"{type_.name} long", s, (*_sources(rng, type_, s), _mask(rng, s)))
    for tokens, keys, d, dv in ((64, 300, 64, 64), (70, 33, 64, 64), (65, 40, 80, 48), (64, 20, 128, 64)):
        s = _Sizes(d=d, dv=dv, tokens=tokens, keys=keys)
        yield _attend(f"{type_.name} many", s, (*_sources(rng, type_, s), _mask(rng, s)))
    s = _Sizes(tokens=66, keys=50, batch=2)
    srcs = (*_sources(rng, type_, s), _mask(rng, s), normal(rng, F32, dim(9)))
    yield _attend(f"{type_.name} many, ALiBi, soft cap, sinks", s, srcs, max_bias=8, softcap=3)


def _masks(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    for tokens, hidden in ((1, (0,)), (8, (0, 3, 7)), (33, (5,))):
        s = _Sizes(tokens=tokens, keys=64)
        values = rng.standard_normal((1, 1, tokens, 64))
        values[0, 0, list(hidden)] = -np.inf
        mask = store(empty(F16, dim(64, tokens)), values)
        yield _attend(f"{type_.name} fully masked tokens", s, (*_sources(rng, type_, s), mask))
    s = _Sizes(tokens=8, keys=256)
    causal = np.where(np.arange(256) <= 100 + np.arange(8)[:, None], 0.0, -np.inf)[None, None]
    yield _attend(f"{type_.name} causal", s, (*_sources(rng, type_, s), store(empty(F16, dim(256, 8)), causal)))
    s = _Sizes(tokens=5, keys=40, batch=2)
    for label, ne in (
        ("padded rows", dim(40, 64)),
        ("one per sequence", dim(40, 5, 1, 2)),
        ("one per head", dim(40, 5, 9)),
    ):
        yield _attend(f"{type_.name} mask, {label}", s, (*_sources(rng, type_, s), masked(rng, F16, ne, Layout())))
    gaps = masked(rng, F16, dim(40, 5), Layout(slack=24, lead=2))
    yield _attend(f"{type_.name} mask with gaps", s, (*_sources(rng, type_, s), gaps))
    yield _attend(f"{type_.name} ALiBi", s, (*_sources(rng, type_, s), _mask(rng, s)), max_bias=8)
    yield _attend(f"{type_.name} soft cap", s, (*_sources(rng, type_, s), _mask(rng, s)), softcap=2)
    yield _attend(f"{type_.name} sinks", s, (*_sources(rng, type_, s), _mask(rng, s), normal(rng, F32, dim(9))))


def _layouts(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    for tokens in (1, 7):
        s = _Sizes(tokens=tokens, keys=37)
        packed = (
            normal(rng, F32, dim(64, tokens, 9)),
            normal(rng, type_, dim(64, 37, 3)),
            normal(rng, type_, dim(64, 37, 3)),
        )
        yield _attend(f"{type_.name} packed", s, (*packed, _mask(rng, s)))
        gaps = Layout(slack=16, lead=1)
        loose = (
            normal(rng, F32, dim(64, tokens, 9), gaps),
            normal(rng, type_, dim(64, 37, 3), gaps),
            normal(rng, type_, dim(64, 37, 3), gaps),
        )
        yield _attend(f"{type_.name} rows with gaps", s, (*loose, _mask(rng, s)))
