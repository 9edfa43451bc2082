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
from refimpl.graph.layout import type_layouts
from refimpl.kernels.cpu.matmul.layout import GROUP
from refimpl.wire.tensor import GGML_MAX_DIMS
from spec.names import Op, Type

__all__ = ["PACKABLE", "Touched", "Weight", "packable"]

PACKABLE = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q4_K, Type.Q5_K, Type.Q6_K)

BUFFER = 1 << 47
"""distance of buffers from each other on one axis of bytes; no tensor reaches so far (limits.tensor_bytes)"""


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

    def packed(self) -> Sequence[PackedRegion]:
        """The regions that are packed now and share a byte with one of the ranges."""
        regions = self.allocation.packed
        bounds = regions.bounds
        met = self.overlapping(bounds[:, 0], bounds[:, 1])
        return [regions.all()[at] for at in np.flatnonzero(met).tolist()]

    def overlapping(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) whether one of the ranges shares a byte with [start, end) (n,)."""
        if not len(self.start):
            return np.zeros(len(start), np.bool_)
        before = np.searchsorted(self.start, end)
        met: NDArray[np.bool_] = (before > 0) & (self.reach[np.maximum(before, 1) - 1] > start)
        return met


def packable(
    table: TensorTable, running: NDArray[np.int32], allocations: Sequence[CpuAllocation]
) -> tuple[Mapping[int, Weight], Sequence[Touched]]:
    """Weights by tensor index, and everything else that the nodes `running` touch, for each allocation."""
    sources, ops = table.src[running], table.op[running]
    products = np.isin(ops, (Op.MUL_MAT, Op.MUL_MAT_ID))
    candidates = _candidates(table, sources, products, ops)
    as_weights = np.zeros_like(sources, np.bool_)
    as_weights[:, 0] = products & np.isin(sources[:, 0], candidates)
    others = np.unique(np.concatenate((running, sources[(sources != ABSENT) & ~as_weights])))
    places = _places(table, candidates)
    apart = _alone(places) & ~_overlapped(places, _touched(table, others, allocations))
    found = {
        index: Weight(allocations[buffer], PackedRegion(offset, size, Type(kind), columns, rows))
        for index, (buffer, offset, size, kind, columns, rows) in zip(
            candidates[apart].tolist(), places[apart].tolist(), strict=True
        )
    }
    return found, _touched(table, np.concatenate((others, candidates[~apart])), allocations)


def _candidates(
    table: TensorTable, sources: NDArray[np.int32], products: NDArray[np.bool_], ops: NDArray[np.int32]
) -> NDArray[np.int32]:
    """(c,) src[0] of products, once each, whose form allows packing; of several matrices only if all are experts'."""
    weights = np.unique(sources[products, 0])
    ne, nb, kind = table.ne[weights], table.nb[weights], table.type[weights]
    layouts = type_layouts()
    natural = layouts.bytes[kind]
    packed = nb[:, 0] == natural
    for dim in range(1, GGML_MAX_DIMS):
        natural = natural * (ne[:, dim - 1] // (layouts.block[kind] if dim == 1 else 1))
        packed &= (ne[:, dim] == 1) | (nb[:, dim] == natural)
    single = np.isin(weights, sources[ops == Op.MUL_MAT, 0])
    fits = (ne[:, 1] % GROUP == 0) & ((ne[:, 2] == 1) | ~single) & (ne[:, 3] == 1)
    chosen: NDArray[np.int32] = weights[np.isin(kind, PACKABLE) & (table.op[weights] == Op.NONE) & fits & packed]
    return chosen


def _places(table: TensorTable, tensors: NDArray[np.int32]) -> NDArray[np.int64]:
    """(c, 6) buffer, then the fields of a PackedRegion, of each tensor."""
    layouts, kind = type_layouts(), table.type[tensors]
    columns, rows = table.ne[tensors, 0], table.ne[tensors, 1] * table.ne[tensors, 2]
    size = columns // layouts.block[kind] * layouts.bytes[kind] * rows
    return np.stack((table.buffer[tensors], table.offset[tensors], size, kind, columns, rows), axis=1)


def _alone(places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(c,) whether no other place shares a byte with this one; the same place twice is one."""
    if not len(places):
        return np.zeros(0, np.bool_)
    ordered, which = np.unique(places, axis=0, return_inverse=True)
    start = ordered[:, 0] * BUFFER + ordered[:, 1]
    end = start + ordered[:, 2]
    reach = np.maximum.accumulate(end)
    alone = np.ones(len(ordered), np.bool_)
    alone[1:] &= reach[:-1] <= start[1:]
    alone[:-1] &= end[:-1] <= start[1:]
    return alone[which.reshape(-1)]


def _overlapped(places: NDArray[np.int64], touched: Sequence[Touched]) -> NDArray[np.bool_]:
    """(c,) whether something else that the graph touches shares a byte with a place."""
    found = np.zeros(len(places), np.bool_)
    for buffer in np.unique(places[:, 0]).tolist():
        own = np.flatnonzero(places[:, 0] == buffer)
        found[own] = touched[buffer].overlapping(places[own, 1], places[own, 1] + places[own, 2])
    return found


def _touched(table: TensorTable, tensors: NDArray[np.int32], allocations: Sequence[CpuAllocation]) -> Sequence[Touched]:
    """The bytes of `tensors`, by allocation."""
    by_buffer = tensors[np.argsort(table.buffer[tensors], kind="stable")]
    ends = np.searchsorted(table.buffer[by_buffer], np.arange(len(allocations) + 1))
    here = [by_buffer[begin:end] for begin, end in pairwise(ends)]
    return [
        Touched.of(allocation, table.offset[own], table.offset[own] + table.nbytes[own])
        for allocation, own in zip(allocations, here, strict=True)
    ]
