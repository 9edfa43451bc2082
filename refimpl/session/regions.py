"""From a tensor record to the bytes it means: pure arithmetic in Python integers, which cannot wrap.

Rules:
- The byte size of a tensor follows from type, extents and strides alone (clause TENSOR-2); a withdrawn or unknown type, a row of
  incomplete blocks, more than 2^63 - 1 elements and more than Limits.tensor_bytes bytes are refused before any other use.
- Bytes named by a message lie inside the tensor and the tensor lies inside its buffer. Both are checked, always.
- A tensor without elements means no bytes: its address may be anything, also the end of its buffer.
"""

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import attrs

from refimpl.errors import HandleError, RegionError
from refimpl.limits import Limits
from refimpl.session.ledger import BufferEntry, Ledger
from spec.load import load

__all__ = ["Region", "nbytes", "resolve", "resolve_copy", "span_2d", "tensor_nbytes"]

MAX_ELEMENTS = (1 << 63) - 1


@attrs.frozen
class Region:
    """`size` bytes of the buffer `handle`, from byte `offset` of it."""

    handle: int
    offset: int
    size: int


@cache
def _blocks() -> dict[int, tuple[int, int]]:
    """Type number > elements and bytes per block. One table for all dialects: type numbers are never reused (TENSOR-4)."""
    spec = load()
    return {number: (kind.block, kind.bytes) for name in spec.dialects for number, kind in spec.dialect(name).types.items()}


def nbytes(type: int, ne: Sequence[int], nb: Sequence[int], limits: Limits) -> int:
    """Byte size of a tensor with extents `ne` and byte strides `nb`, four each; raises RegionError for what no tensor may be."""
    layout = _blocks().get(type)
    if layout is None:
        raise RegionError("TENSOR-4", f"type {type} is unknown or withdrawn")
    if prod(ne) > MAX_ELEMENTS:
        raise RegionError("TENSOR-3", f"extents {list(ne)} are more than 2^63 - 1 elements")
    if 0 in ne:
        return 0
    block, block_bytes = layout
    if ne[0] % block:
        raise RegionError("TENSOR-3", f"a row of {ne[0]} elements is no whole number of blocks of {block} (type {type})")
    row = block_bytes + (ne[0] - 1) * nb[0] if block == 1 else ne[0] * nb[0] // block
    size = row + sum((extent - 1) * stride for extent, stride in zip(ne[1:], nb[1:], strict=True))
    if size > limits.tensor_bytes:
        raise RegionError("TENSOR-3", f"a tensor of {size} bytes is over limits.tensor_bytes = {limits.tensor_bytes}")
    return size


def tensor_nbytes(tensor: Any, limits: Limits) -> int:
    """Byte size of an RPC_TENSOR record; raises as `nbytes` does."""
    return nbytes(int(tensor["type"]), tensor["ne"].tolist(), tensor["nb"].tolist(), limits)


def _place(ledger: Ledger, tensor: Any) -> tuple[BufferEntry, int, int]:
    """Buffer of a tensor, its offset in it, and its byte size; the whole tensor is proved to lie inside the buffer."""
    handle = int(tensor["buffer"])
    if handle == 0:
        raise HandleError("BUF-1", "the tensor lies in no buffer (handle 0)")
    entry = ledger.get(handle)
    size = tensor_nbytes(tensor, ledger.limits)
    if size == 0:
        return entry, 0, 0
    data = int(tensor["data"])
    if not entry.holds(data, size):
        raise RegionError(
            "REGION-1",
            f"tensor bytes [{data:#x}, {data + size:#x}) outside its buffer [{entry.base:#x}, {entry.base + entry.size:#x})",
        )
    return entry, data - entry.base, size


def resolve(ledger: Ledger, tensor: Any, offset: int, size: int) -> Region:
    """The `size` bytes from byte `offset` of `tensor` (one RPC_TENSOR record), as a region of a buffer in `ledger`.

    Raises HandleError if the tensor's buffer is 0 or not owned, RegionError if the tensor leaves its buffer or the bytes
    leave the tensor.
    """
    entry, start, whole = _place(ledger, tensor)
    if offset + size > whole:
        raise RegionError("REGION-2", f"bytes [{offset}, {offset + size}) of a tensor of {whole} bytes")
    return Region(entry.handle, start + offset, size)


def resolve_copy(ledger: Ledger, src: Any, dst: Any) -> tuple[Region, Region]:
    """Where COPY_TENSOR reads and writes: all bytes of `src`, and as many from the start of `dst`. Raises as `resolve` does."""
    size = tensor_nbytes(src, ledger.limits)
    return resolve(ledger, src, 0, size), resolve(ledger, dst, 0, size)


def span_2d(size: int, n_copies: int, stride: int) -> int:
    """Bytes from the first to the last byte of `n_copies` pieces of `size` bytes that start `stride` bytes apart.

    Raises RegionError for no pieces or empty ones.
    """
    if size == 0 or n_copies == 0:
        raise RegionError("REGION-3", f"{n_copies} pieces of {size} bytes: both must be positive")
    return (n_copies - 1) * stride + size
