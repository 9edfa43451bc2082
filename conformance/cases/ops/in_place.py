"""Samples whose result has exactly the bytes of an operand, for every op that ops.toml marks so.

Rules
- They are the first sample of the op over again: the same values have to come out.
- The operand is the first one of the result's type and extents, as clients choose it.
"""

from collections.abc import Iterable, Iterator

import attrs

from conformance.cases.graph.build import Tensor
from conformance.cases.ops.blocks.draw import Draw
from conformance.cases.ops.sample import Entry, Make, Sample, onto
from spec.load import load

__all__ = ["in_place"]

SLUG = "in-place"


def in_place(entries: Iterable[Entry]) -> Iterator[Entry]:
    """An entry for each marked op that has samples but none of this kind."""
    known = tuple(entries)
    spec = load()
    marked = {op.name for op in spec.dialect(spec.versions[-1]).ops if op.in_place}
    first: dict[str, Entry] = {}
    for entry in known:
        first.setdefault(entry.op, entry)
    have = {entry.op for entry in known if entry.slug == SLUG}
    for op, entry in first.items():
        if op in marked - have:
            title = f"{op} whose result has the bytes of an operand"
            yield attrs.evolve(entry, slug=SLUG, title=title, make=_onto(entry.make), clause=f"OP-{op}")


def _onto(make: Make) -> Make:
    def made(draw: Draw) -> Sample:
        sample = make(draw)
        (node,) = sample.graph.results
        return onto(sample, next(operand for operand in node.srcs if operand is not None and _alike(operand, node)))

    return made


def _alike(operand: Tensor, result: Tensor) -> bool:
    return operand.type == result.type and _extents(operand) == _extents(result)


def _extents(tensor: Tensor) -> tuple[int, ...]:
    return (*tensor.ne, 1, 1, 1)[:4]
