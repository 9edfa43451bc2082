"""Checked graphs of very many nodes, put together as arrays: no Python for each node on the way to the device."""

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.graph.checked import ABSENT, CheckedGraph, TensorTable
from refimpl.graph.layout import natural_strides, span
from spec.names import Op, TensorFlag, Type

__all__ = ["HANDLE", "Group", "graph"]

HANDLE = 1
SOURCES = 10


@attrs.frozen(eq=False)
class Group:
    """Tensors of one type and shape, at these offsets; results of an op if it has one."""

    type: Type
    ne: tuple[int, int, int, int]
    offsets: NDArray[np.int64]
    """(n,)"""
    op: Op = Op.NONE
    srcs: Sequence[NDArray[np.int64]] = ()
    """(n,) tensor numbers for each slot"""


def graph(*groups: Group) -> CheckedGraph:
    """All in one buffer; tensors are numbered in order, and results run in order."""
    counts = [len(group.offsets) for group in groups]

    def column(values: Sequence[object], kind: type = np.int64) -> NDArray:
        return np.repeat(np.array(values, kind), counts, axis=0)

    op = column([group.op for group in groups], np.int32)
    src = np.full((len(op), SOURCES), ABSENT, np.int32)
    ends = np.cumsum(counts)
    for group, end in zip(groups, ends, strict=True):
        for slot, numbers in enumerate(group.srcs):
            src[end - len(group.offsets) : end, slot] = numbers
    strides = [natural_strides(group.type, group.ne) for group in groups]
    table = TensorTable(
        type=column([group.type for group in groups], np.int32),
        ne=column([group.ne for group in groups]),
        nb=column(strides),
        nbytes=column([span(group.type, group.ne, nb) for group, nb in zip(groups, strides, strict=True)]),
        buffer=np.zeros(len(op), np.int64),
        offset=np.concatenate([group.offsets for group in groups]),
        op=op,
        params=np.zeros((len(op), 16), np.int32),
        flags=np.full(len(op), int(TensorFlag.COMPUTE), np.int32),
        src=src,
        view_src=np.full(len(op), ABSENT, np.int32),
        use_count=np.ones(len(op), np.int32),
        name=np.full(len(op), b"", "S64"),
    )
    return CheckedGraph(tensors=table, nodes=np.flatnonzero(op != Op.NONE).astype(np.int32), handles=(HANDLE,))
