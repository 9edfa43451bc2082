"""spec/text/tensors.md: records that cannot be, through every command that takes one."""

from collections.abc import Callable, Mapping
from functools import partial

import attrs

from conformance.cases.talk import Buffer, allocate, opened, row
from conformance.cases.tensors.takers import PIECE, TAKERS, Taker, denied, of_taker, tolerated
from conformance.judge.case import Section
from conformance.judge.codec import Codec, Value
from conformance.judge.steps import Talk
from spec.load import load

__all__ = ["CASES", "SIZE", "WRAPPED", "Bad"]

_section = Section()
CASES = _section.cases

SIZE = 64
TOP = 1 << 64
ALL_ONES = (1 << 32) - 1
NOWHERE = Buffer(0, 0, 0)
ASSERTS = "llama.cpp#13067"
OVER_READ = "CVE-2024-42477"
WRAPPED: Mapping[str, Value] = {"ne": (1, ALL_ONES - 1, (1 << 31) + 1, 1), "nb": (1, ALL_ONES, 8, 8)}
"""a span of 2^64 + 4 bytes with fewer than 2^63 elements: 4 bytes to whoever counts in 64 bits"""

Fields = Callable[[Codec, Buffer], Mapping[str, Value]]


@attrs.frozen(kw_only=True)
class Bad:
    """What is wrong with a record: fields that say otherwise; placed: whether it is about where the tensor lies."""

    what: str
    fields: Fields
    placed: bool = False
    level: str | None = None
    upstream: str = ""


def _as(**fields: Value) -> Fields:
    return lambda codec, buffer: fields


def _data(at: Callable[[Buffer], int]) -> Fields:
    return lambda codec, buffer: {"data": at(buffer) % TOP}


def _half_a_block(codec: Codec, buffer: Buffer) -> Mapping[str, Value]:
    kind = codec.dialect.type("Q4_0")
    return {"type": kind.number, "ne": (kind.block + 8, 1, 1, 1), "nb": (kind.bytes, 36, 36, 36)}


BAD: Mapping[str, Bad] = {
    "TENSOR-2/{}-first-unknown-type": Bad(
        what="the type number behind the last",
        fields=lambda codec, buffer: {"type": max(codec.dialect.types) + 1},
        upstream=ASSERTS,
    ),
    "TENSOR-2/{}-type-all-ones": Bad(what="type 2^32 - 1", fields=_as(type=ALL_ONES), upstream=OVER_READ),
    "TENSOR-2/{}-type-2-31": Bad(what="type 2^31", fields=_as(type=1 << 31), upstream=OVER_READ),
    "TENSOR-5/{}-too-many-elements": Bad(what="more than 2^63 elements", fields=_as(ne=(ALL_ONES, ALL_ONES, 1, 1))),
    "TENSOR-5/{}-elements-wrap": Bad(what="2^64 elements, 0 modulo 2^64", fields=_as(ne=(1 << 16,) * 4)),
    "TENSOR-5/{}-all-ones": Bad(what="all extents are 2^32 - 1", fields=_as(ne=(ALL_ONES,) * 4)),
    "TENSOR-6/{}-half-a-block": Bad(
        what="a row that ends inside a block", fields=_half_a_block, level="SHOULD", upstream="llama.cpp#25288"
    ),
    "TENSOR-7/{}-strides-all-ones": Bad(
        what="strides of 4 GiB less a byte",
        fields=_as(ne=(8, 2, 2, 2), nb=(1, ALL_ONES, ALL_ONES, ALL_ONES)),
        placed=True,
    ),
    "TENSOR-7/{}-first-stride-all-ones": Bad(
        what="elements that are 4 GiB less a byte apart", fields=_as(nb=(ALL_ONES, SIZE, SIZE, SIZE)), placed=True
    ),
    "TENSOR-16/{}-span-wraps": Bad(
        what="a span of 2^64 + 4 bytes, 4 modulo 2^64", fields=lambda codec, buffer: WRAPPED, placed=True
    ),
    "REGION-1/{}-before-the-buffer": Bad(
        what="data before the buffer", fields=_data(lambda b: b.base - 1), placed=True, upstream="CVE-2024-42479"
    ),
    "REGION-1/{}-over-the-end": Bad(
        what="a tensor that ends behind its buffer",
        fields=_data(lambda b: b.base + b.size - 1),
        placed=True,
        upstream=ASSERTS,
    ),
    "REGION-1/{}-behind-the-buffer": Bad(
        what="data behind the buffer", fields=_data(lambda b: b.base + b.size), placed=True, upstream="CVE-2024-42478"
    ),
    "REGION-1/{}-far-behind": Bad(
        what="data a gibibyte behind the buffer",
        fields=_data(lambda b: b.base + (1 << 30)),
        placed=True,
        upstream=ASSERTS,
    ),
    "REGION-1/{}-end-wraps": Bad(
        what="a tensor that ends behind 2^64", fields=_data(lambda b: TOP - 8), placed=True, upstream=ASSERTS
    ),
    "REGION-1/{}-data-zero": Bad(what="data 0", fields=_data(lambda b: 0), placed=True, upstream=ASSERTS),
    "REGION-1/{}-extent-too-long": Bad(
        what="a tensor that is longer than its buffer",
        fields=lambda codec, b: {"ne": (b.size + 1, 1, 1, 1), "nb": (1, *(b.size + 1,) * 3)},
        placed=True,
        upstream=ASSERTS,
    ),
    "REGION-5/{}-no-buffer": Bad(what="handle 0", fields=_as(buffer=0), placed=True),
    **{
        f"TENSOR-3/{{}}-type-{entry.number}": Bad(
            what=f"withdrawn type {entry.number}", fields=_as(type=entry.number), upstream="llama.cpp#20712"
        )
        for entry in load().withdrawn
    },
}
"""case id, but for the command > what is wrong"""
HARMLESS = frozenset({("REGION-5", "INIT_TENSOR")})
"""clauses that a command is excepted from (INIT-3)"""
DST_COUNTS_BYTES = ("TENSOR-7", "TENSOR-16", "REGION-1/{}-extent-too-long")
"""not asked of a copy's destination: of its record only the address counts (COPY-3)"""


def _refuses(taker: Taker, bad: Bad, codec: Codec) -> Talk[None]:
    """Operands of GET_ALLOC_SIZE are ignored by some (ALLOC-11)."""
    buffer = yield from opened(codec, SIZE)
    good = yield from allocate(codec, PIECE)
    where = buffer if taker.touches else NOWHERE
    ask = tolerated if taker.part == "operand" else denied
    yield from ask(taker, codec, row(codec, where, SIZE, **bad.fields(codec, buffer)), good)


for _taker in TAKERS:
    for _id, _bad in BAD.items():
        if _bad.placed and not _taker.touches:
            continue
        if (_id.partition("/")[0], _taker.command) in HARMLESS:
            continue
        if _taker.part == "dst" and _id.startswith(DST_COUNTS_BYTES):
            continue
        _case = of_taker(_id.format(_taker.slug), _taker, _bad.what, partial(_refuses, _taker, _bad))
        _section.add(attrs.evolve(_case, level_here=_bad.level, upstream=_bad.upstream))
