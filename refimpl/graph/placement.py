"""How many bytes each record covers and where they lie: vectorised, and so that nothing can wrap.

Extents and strides are 32 bits, so one product fits 64 unsigned bits; before products are added they are cut off just
above the limit, and element counts are judged in floating point before they are formed in integers. Clauses TENSOR-2
to 6, 15, 16, REGION-1, 6, GRAPH-14, 15, HANDLE-7.
"""

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import GraphError, HandleError, RegionError
from refimpl.graph.checked import ABSENT
from refimpl.graph.layout import type_layouts
from refimpl.graph.numbering import Numbering
from refimpl.graph.refusal import Judge
from refimpl.limits import Limits
from refimpl.session.ledger import BufferTable

__all__ = ["Measures", "Places", "check_views", "locate", "measure"]

MAX_ELEMENTS = float(1 << 63)
MAX_SPAN = 1 << 60
"""no limit is taken to be more than this, so that the sum of five cut-off terms fits 63 bits"""


@attrs.frozen(eq=False)
class Measures:
    """Sizes of t records."""

    type: NDArray[np.int32]
    ne: NDArray[np.int64]
    nb: NDArray[np.int64]
    elements: NDArray[np.int64]
    """(t,) product of the extents"""
    nbytes: NDArray[np.int64]
    """(t,) from the first to the last byte; 0 without elements"""


def measure(judge: Judge, numbering: Numbering, limits: Limits) -> Measures:
    """Byte sizes of all records. Raises RegionError for types, extents and sizes that no tensor may have."""
    records = judge.records
    number = records["type"]
    known = numbering.type_known[numbering.types(number)]
    if not known.all():
        withdrawn = int(number[np.argmin(known)]) in numbering.withdrawn
        clause, what = ("TENSOR-3", "withdrawn") if withdrawn else ("TENSOR-2", "unknown")
        judge.require(known, RegionError, clause, lambda i: f"type {number[i]} is {what}")
    ne = records["ne"].astype(np.uint64)
    product = records["ne"].astype(np.float64).prod(axis=1)
    judge.require(product < MAX_ELEMENTS, RegionError, "TENSOR-5", lambda i: f"{product[i]:.4g} elements")
    limit = min(limits.tensor_bytes, MAX_SPAN)
    judge.require(product <= limit, RegionError, "TENSOR-15", lambda i: f"{product[i]:.4g} elements, limit {limit}")
    block = type_layouts().block[number.astype(np.intp)]
    nbytes, whole = _spans(records["type"].astype(np.intp), ne, records["nb"].astype(np.uint64), limit)
    empty = product == 0
    judge.require(whole | empty, RegionError, "TENSOR-6", lambda i: f"a row of {ne[i, 0]} in blocks of {block[i]}")
    nbytes[empty] = 0
    judge.require(nbytes <= limit, RegionError, "TENSOR-15", lambda i: f"its bytes are over the limit of {limit}")
    signed = ne.astype(np.int64)
    elements = np.where(empty, 0, signed.prod(axis=1))
    return Measures(number.astype(np.int32), signed, records["nb"].astype(np.int64), elements, nbytes)


def _spans(
    type: NDArray[np.intp], ne: NDArray[np.uint64], nb: NDArray[np.uint64], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Byte span of each record with elements, cut off a little above `limit`; and whether its rows are whole blocks."""
    layouts = type_layouts()
    block = layouts.block[type].astype(np.uint64)
    size = layouts.bytes[type].astype(np.uint64)
    steps = np.maximum(ne, np.uint64(1)) - np.uint64(1)
    terms = steps * nb
    terms[:, 0] = np.where(block == 1, terms[:, 0], ne[:, 0] * nb[:, 0] // block)
    span = np.minimum(terms, np.uint64(limit + 1)).astype(np.int64).sum(axis=1)
    return span + np.where(block == 1, size, 0).astype(np.int64), ne[:, 0] % block == 0


@attrs.frozen(eq=False)
class Places:
    """Where t records lie."""

    buffer: NDArray[np.int64]
    """(t,) index into `handles`, or ABSENT"""
    offset: NDArray[np.int64]
    """(t,) first byte inside the buffer; 0 without elements"""
    handles: tuple[int, ...]


def locate(judge: Judge, nbytes: NDArray[np.int64], buffers: BufferTable) -> Places:
    """Buffer and offset of all records; raises HandleError, GraphError or RegionError as the clauses say."""
    handle, data = judge.records["buffer"], judge.records["data"]
    nowhere = handle == 0
    row = np.searchsorted(buffers.handles, handle)
    if len(buffers.handles):
        row = np.minimum(row, len(buffers.handles) - 1)
        known = buffers.handles[row] == handle
    else:
        known = np.zeros(len(handle), np.bool_)
    judge.require(
        known | nowhere, HandleError, "HANDLE-7", lambda i: f"buffer {handle[i]:#x} is none of this connection's"
    )
    stray = nowhere & (data != 0) & (nbytes > 0)
    judge.require(~stray, GraphError, "GRAPH-14", lambda i: f"data {data[i]:#x} without a buffer")
    used, compact = np.unique(row[~nowhere], return_inverse=True)
    buffer = np.full(len(handle), ABSENT, np.int64)
    buffer[~nowhere] = compact
    offset = np.zeros(len(handle), np.int64)
    here = np.flatnonzero(~nowhere & (nbytes > 0))
    base, size = buffers.bases[row[here]], buffers.sizes[row[here]]
    room = size - nbytes[here]
    start = data[here] - base
    inside = (data[here] >= base) & (room >= 0) & (start <= np.maximum(room, 0).astype(np.uint64))
    judge.require(
        inside,
        RegionError,
        "REGION-1",
        lambda i: f"{nbytes[here[i]]} bytes at {data[here[i]]:#x} in a buffer of {size[i]} bytes at {base[i]:#x}",
        here,
    )
    offset[here] = start.astype(np.int64)
    return Places(buffer, offset, tuple(int(buffers.handles[index]) for index in used))


def check_views(judge: Judge, view_src: NDArray[np.int32], places: Places, nbytes: NDArray[np.int64]) -> None:
    """A view with bytes lies in the bytes of its source, where both are here (GRAPH-31); raises RegionError."""
    view = np.flatnonzero((view_src != ABSENT) & (nbytes > 0) & (places.buffer != ABSENT))
    view = view[places.buffer[view_src[view]] != ABSENT]
    source = view_src[view]
    start = places.offset[view] - places.offset[source]
    inside = (places.buffer[view] == places.buffer[source]) & (start >= 0) & (start + nbytes[view] <= nbytes[source])
    judge.require(
        inside,
        RegionError,
        "GRAPH-31",
        lambda i: f"{nbytes[view[i]]} bytes at byte {start[i]} leave their view source, {judge.label(int(source[i]))}",
        view,
    )
