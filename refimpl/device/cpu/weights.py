"""Which matrices of a graph may be packed, and what has to hold of memory before its program runs.

A matrix may be packed if it is a leaf without gaps in a format with a packed layout, its rows are a multiple of 16, and
the graph touches its bytes in no other way than as the weights of products. So may the matrices of all experts, as one
matrix of all their rows. All else that a graph touches has to lie
as it was sent.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu.memory import CpuAllocation
from refimpl.device.cpu.packed import PackedRegion
from refimpl.graph.checked import ABSENT, TensorTable
from refimpl.graph.layout import is_contiguous, type_layouts
from refimpl.kernels.cpu.matmul.layout import GROUP
from spec.names import Op, Type

__all__ = ["PACKABLE", "Touched", "Weight", "packable"]

PACKABLE = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q4_K, Type.Q5_K, Type.Q6_K)

Place = tuple[int, PackedRegion]
"""number of a buffer, and a region of it"""
NOWHERE = (1 << 63, 0)
"""behind all buffers"""


@attrs.frozen
class Weight:
    """A matrix that a program would like to have packed."""

    allocation: CpuAllocation
    region: PackedRegion


@attrs.frozen(eq=False)
class Touched:
    """Byte ranges of one allocation that have to lie as they were sent, sorted by their first byte."""

    allocation: CpuAllocation
    start: NDArray[np.int64]
    """(r,)"""
    reach: NDArray[np.int64]
    """(r,) the largest end of this range and all before it"""

    @classmethod
    def of(cls, allocation: CpuAllocation, start: NDArray[np.int64], end: NDArray[np.int64]) -> "Touched":
        """From ranges [start, end) (r,) in any order."""
        order = np.argsort(start, kind="stable")
        return cls(allocation, start[order], np.maximum.accumulate(end[order]))

    def overlaps(self, region: PackedRegion) -> bool:
        """Whether one of the ranges shares a byte with a region."""
        before = int(np.searchsorted(self.start, region.end))
        return before > 0 and int(self.reach[before - 1]) > region.offset


def packable(
    table: TensorTable, running: NDArray[np.int32], allocations: Sequence[CpuAllocation]
) -> tuple[Mapping[int, Weight], Sequence[Touched]]:
    """Weights by tensor index, and everything else that the nodes `running` touch, for each allocation."""
    sources = table.src[running]
    products = np.isin(table.op[running], (Op.MUL_MAT, Op.MUL_MAT_ID))
    single = set(sources[table.op[running] == Op.MUL_MAT, 0].tolist())
    weights = np.unique(sources[products, 0]).tolist()
    candidates = [index for index in weights if _may_be_packed(table, index, index not in single)]
    as_weights = np.zeros_like(sources, np.bool_)
    as_weights[:, 0] = products & np.isin(sources[:, 0], candidates)
    others = np.unique(np.concatenate((running, sources[(sources != ABSENT) & ~as_weights])))
    found = _without_conflicts(table, candidates, _touched(table, others, allocations), allocations)
    refused = np.array([index for index in candidates if index not in found], others.dtype)
    return found, _touched(table, np.concatenate((others, refused)), allocations)


def _without_conflicts(
    table: TensorTable, candidates: Sequence[int], touched: Sequence[Touched], allocations: Sequence[CpuAllocation]
) -> Mapping[int, Weight]:
    """Those candidates that share no byte with `touched`, nor with another matrix among them."""
    places = [(int(table.buffer[index]), _region(table, index)) for index in candidates]
    alone = _alone(places)
    return {
        index: Weight(allocations[place[0]], place[1])
        for index, place in zip(candidates, places, strict=True)
        if place in alone and not touched[place[0]].overlaps(place[1])
    }


def _alone(places: Sequence[Place]) -> set[Place]:
    """Those that share no byte with another."""
    ordered = sorted(set(places))
    begins = [(buffer, region.offset) for buffer, region in ordered]
    alone, reach = set(), (0, 0)
    for place, begin, following in zip(ordered, begins, [*begins[1:], NOWHERE], strict=False):
        end = place[0], place[1].end
        if reach <= begin and end <= following:
            alone.add(place)
        reach = max(reach, end)
    return alone


def _may_be_packed(table: TensorTable, index: int, several: bool) -> bool:
    """`several`: its products take more than one matrix"""
    kind, ne = int(table.type[index]), table.ne[index].tolist()
    return (
        kind in PACKABLE
        and int(table.op[index]) == Op.NONE
        and ne[1] % GROUP == 0
        and (several or ne[2] == 1)
        and ne[3] == 1
        and is_contiguous(kind, ne, table.nb[index].tolist())
    )


def _region(table: TensorTable, index: int) -> PackedRegion:
    columns, rows = int(table.ne[index, 0]), int(table.ne[index, 1] * table.ne[index, 2])
    layouts, kind = type_layouts(), int(table.type[index])
    size = columns // int(layouts.block[kind]) * int(layouts.bytes[kind]) * rows
    return PackedRegion(int(table.offset[index]), size, Type(kind), columns, rows)


def _touched(table: TensorTable, tensors: NDArray[np.int32], allocations: Sequence[CpuAllocation]) -> Sequence[Touched]:
    """The bytes of `tensors`, by allocation."""
    by_buffer = tensors[np.argsort(table.buffer[tensors], kind="stable")]
    ends = np.searchsorted(table.buffer[by_buffer], np.arange(len(allocations) + 1))
    here = [by_buffer[begin:end] for begin, end in pairwise(ends)]
    return [
        Touched.of(allocation, table.offset[own], table.offset[own] + table.nbytes[own])
        for allocation, own in zip(allocations, here, strict=True)
    ]
