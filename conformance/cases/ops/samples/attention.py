"""Samples of SOFT_MAX, attention and the lightning indexer."""

from functools import partial

import attrs
import numpy as np

from conformance.cases.ops.blocks.draw import Draw, Operand, held, values_of
from conformance.cases.ops.definitions.attention import Scores, attention, indexer, soft_max
from conformance.cases.ops.sample import Book, Sample, result

__all__ = ["BOOK", "Attended", "Softened"]

BOOK = Book()
_sample = BOOK.sample


def _mask(draw: Draw, *ne: int, kind: str) -> Operand:
    """A causal mask with some biases; row i sees n0 - n1 + i + 1 places."""
    values = draw.floats(*ne, kind=kind, low=-1, high=0).values
    column, row = np.arange(ne[0]), np.arange(ne[1])[:, None]
    return held(np.where(column <= max(0, ne[0] - ne[1]) + row, values, -np.inf), kind)


@attrs.frozen
class Softened:
    """A SOFT_MAX; mask: its type, "" for none."""

    mask: str = ""
    of_mask: tuple[int, ...] = (37, 5, 1, 1)
    has_sinks: bool = False
    heads: int = 4
    scale: float = 0.75
    max_bias: float = 0.0

    def __call__(self, draw: Draw) -> Sample:
        x = draw.floats(37, 5, self.heads, 2, low=-4, high=4)
        mask = _mask(draw, *self.of_mask, kind=self.mask) if self.mask else None
        sinks = draw.floats(self.heads, low=-1, high=3) if self.has_sinks else None
        want = soft_max(x.values, values_of(mask), values_of(sinks), Scores(self.scale, self.max_bias))
        return result("SOFT_MAX", want, x, mask, sinks, params={"scale": self.scale, "max_bias": self.max_bias})


for _slug, _words, _softened in (
    ("plain", "without mask", Softened()),
    ("mask-f32", "with a mask in F32", Softened(mask="F32")),
    ("mask-f16", "with a mask in F16", Softened(mask="F16")),
    ("mask-of-each-head", "with a mask of two heads for four", Softened(mask="F16", of_mask=(37, 5, 2, 2))),
    ("mask-with-more-rows", "with a mask of more rows than x", Softened(mask="F16", of_mask=(37, 32, 1, 1))),
    ("sinks", "with sinks", Softened(has_sinks=True)),
    ("mask-and-sinks", "with mask and sinks", Softened(mask="F32", has_sinks=True)),
):
    BOOK.add("SOFT_MAX", _slug, f"SOFT_MAX {_words}", _softened)
for _heads in (4, 6):
    _title = f"The slopes of {_heads} heads, through SOFT_MAX"
    _softened = Softened(mask="F32", heads=_heads, max_bias=8.0)
    BOOK.add("SOFT_MAX", f"slopes-of-{_heads}-heads", _title, _softened, clause="OP-ALIBI")


@attrs.frozen(kw_only=True)
class Attended:
    """A FLASH_ATTN_EXT; kinds: of keys and values; d, dv: their widths; heads: of queries and of keys."""

    kinds: tuple[str, str] = ("F16", "F16")
    d: int = 64
    dv: int = 64
    n: int = 3
    kv: int = 41
    heads: tuple[int, int] = (4, 4)
    sequences: int = 1
    mask: tuple[int, ...] | None = (41, 32, 1, 1)
    has_sinks: bool = False
    max_bias: float = 0.0
    softcap: float = 0.0

    def __call__(self, draw: Draw) -> Sample:
        h, hk = self.heads
        q = draw.floats(self.d, self.n, h, self.sequences, low=-2, high=2)
        k = draw.any(self.d, self.kv, hk, self.sequences, kind=self.kinds[0])
        v = draw.any(self.dv, self.kv, hk, self.sequences, kind=self.kinds[1])
        mask = _mask(draw, *self.mask, kind="F16") if self.mask else None
        sinks = draw.floats(h, low=-1, high=3) if self.has_sinks else None
        scores = Scores(self.d**-0.5, self.max_bias, self.softcap)
        want = attention(q.values, k.values, v.values, values_of(mask), values_of(sinks), scores)
        return result("FLASH_ATTN_EXT", want, q, k, v, mask, sinks, params=attrs.asdict(scores))


for _slug, _words, _attended in (
    ("f16", "keys and values in F16", Attended()),
    ("f32", "keys and values in F32", Attended(kinds=("F32", "F32"))),
    ("bf16", "keys and values in BF16", Attended(kinds=("BF16", "BF16"))),
    ("q8-0", "keys and values in Q8_0", Attended(kinds=("Q8_0", "Q8_0"))),
    ("q4-0", "keys and values in Q4_0", Attended(kinds=("Q4_0", "Q4_0"))),
    ("q4-1", "keys and values in Q4_1", Attended(kinds=("Q4_1", "Q4_1"))),
    ("q5-0", "keys and values in Q5_0", Attended(kinds=("Q5_0", "Q5_0"))),
    ("q5-1", "keys and values in Q5_1", Attended(kinds=("Q5_1", "Q5_1"))),
    ("q8-0-and-f16", "keys in Q8_0, values in F16", Attended(kinds=("Q8_0", "F16"))),
    ("no-mask", "no mask", Attended(mask=None)),
    ("one-token", "one token", Attended(n=1)),
    ("many-tokens", "many tokens", Attended(n=70, kv=96, mask=(96, 96, 1, 1))),
    ("shared-heads", "four heads of queries for each of keys", Attended(heads=(8, 2))),
    ("sequences", "two sequences, each with its mask", Attended(sequences=2, mask=(41, 32, 1, 2))),
    ("mask-of-each-head", "a mask of two heads for four", Attended(mask=(41, 32, 2, 1))),
    ("other-width-of-v", "values of another width than keys", Attended(dv=32)),
    ("softcap", "a softcap", Attended(softcap=2.0)),
    ("sinks", "sinks", Attended(has_sinks=True)),
    ("alibi", "slopes", Attended(max_bias=8.0, heads=(6, 6))),
):
    BOOK.add("FLASH_ATTN_EXT", _slug, f"FLASH_ATTN_EXT, {_words}", _attended)


@_sample("FLASH_ATTN_EXT", "cache")
def _cache(draw: Draw) -> Sample:
    """Keys and values as a cache holds them: heads side by side for each token"""
    q = draw.floats(64, 8, 3, low=-2, high=2).permuted(0, 2, 1, 3)
    k, v = (draw.floats(64, 2, 41, kind="F16").permuted(0, 2, 1, 3) for _ in range(2))
    mask = _mask(draw, 41, 32, kind="F16")
    want = attention(q.values, k.values, v.values, mask.values, None, Scores(0.125))
    return result("FLASH_ATTN_EXT", want, q, k, v, mask, params={"scale": 0.125})


@_sample("FLASH_ATTN_EXT", "nothing-to-see")
def _nothing(draw: Draw) -> Sample:
    """A row whose mask is minus infinity throughout gives zeros"""
    q, k, v = draw.floats(64, 3, 2), draw.floats(64, 41, 2, kind="F16"), draw.floats(64, 41, 2, kind="F16")
    hidden = np.zeros((32, 41))
    hidden[1] = -np.inf
    mask = held(hidden, "F16")
    want = attention(q.values, k.values, v.values, mask.values, None, Scores(0.125))
    return result("FLASH_ATTN_EXT", want, q, k, v, mask, params={"scale": 0.125})


def _indexer(draw: Draw, kind: str, sequences: int, masks: int) -> Sample:
    q, k = draw.floats(128, 4, 5, sequences), draw.any(128, 1, 37, sequences, kind=kind)
    weights, mask = draw.floats(4, 5, 1, sequences), _mask(draw, 37, 5, 1, masks, kind="F16")
    want = indexer(q.values, k.values, weights.values, mask.values)
    return result("LIGHTNING_INDEXER", want, q, k, weights, mask)


for _slug, _kind, _sequences, _masks in (
    ("f32", "F32", 1, 1),
    ("f16", "F16", 2, 1),
    ("q8-0", "Q8_0", 2, 2),
):
    _title = f"Keys in {_kind}, {_sequences} sequences, {_masks} masks"
    BOOK.add("LIGHTNING_INDEXER", _slug, _title, partial(_indexer, kind=_kind, sequences=_sequences, masks=_masks))
