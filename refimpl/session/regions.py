"""From a tensor record to the bytes it means: pure arithmetic in Python integers, which cannot wrap (TENSOR-16).

Rules:
- The byte size of a tensor follows from type, extents and strides alone (TENSOR-4). Unknown and withdrawn types, rows
  of incomplete blocks, 2^63 or more elements and more than Limits.tensor_bytes are refused before any other use.
- Bytes named by a message lie inside the tensor, and the tensor lies inside its buffer. Both are checked, always.
- A tensor without elements means no bytes: its address may be anything (REGION-6).
- One table of types serves all dialects: the numbers never change, they only become more.
"""

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import attrs

from refimpl.errors import FrameError, HandleError, RegionError
from refimpl.limits import Limits
from refimpl.session.ledger import Ledger
from refimpl.wire.tensor import geometry
from spec.dialect import Dialect
from spec.load import load

__all__ = ["Region", "nbytes", "resolve", "resolve_2d", "resolve_copy", "span_2d", "tensor_nbytes"]

END_OF_ELEMENTS = 1 << 63
U64_END = 1 << 64


@attrs.frozen
class Region:
    """`size` bytes of the buffer `handle`, from byte `offset` of it."""

    handle: int
    offset: int
    size: int


@cache
def _newest() -> Dialect:
    spec = load()
    return spec.dialect(spec.newest)


def _block(type: int) -> tuple[int, int]:
    """Elements and bytes of one block of a type; RegionError for a number that names none."""
    dialect = _newest()
    definition = dialect.types.get(type)
    if definition is not None:
        return definition.block, definition.bytes
    if type in dialect.withdrawn:
        raise RegionError("TENSOR-3", f"type {type} ({dialect.withdrawn[type].name}) is withdrawn")
    raise RegionError("TENSOR-2", f"type {type} is unknown")


def nbytes(type: int, ne: Sequence[int], nb: Sequence[int], limits: Limits) -> int:
    """Byte size of a tensor of extents `ne` and byte strides `nb`, four each; RegionError for what no tensor may be."""
    block, block_bytes = _block(type)
    if prod(ne) >= END_OF_ELEMENTS:
        raise RegionError("TENSOR-5", f"extents {list(ne)} are 2^63 elements or more")
    if 0 in ne:
        return 0
    if ne[0] % block:
        raise RegionError("TENSOR-6", f"a row of {ne[0]} elements in blocks of {block} (type {type})")
    row = block_bytes + (ne[0] - 1) * nb[0] if block == 1 else ne[0] * nb[0] // block
    size = row + (ne[1] - 1) * nb[1] + (ne[2] - 1) * nb[2] + (ne[3] - 1) * nb[3]
    if size > limits.tensor_bytes:
        raise RegionError("TENSOR-15", f"a tensor of {size} bytes is over limits.tensor_bytes = {limits.tensor_bytes}")
    return size


def tensor_nbytes(tensor: Any, limits: Limits) -> int:
    """Byte size of one RPC_TENSOR record; raises as `nbytes` does."""
    type, _, ne, nb, _ = geometry(tensor)
    return nbytes(type, ne, nb, limits)


def resolve(ledger: Ledger, tensor: Any, offset: int, size: int) -> Region:
    """The `size` bytes from byte `offset` of `tensor` (one RPC_TENSOR record) as a region of a buffer in `ledger`.

    Raises HandleError if the tensor is in no buffer that the ledger knows, RegionError if the tensor leaves its buffer
    or the bytes leave the tensor.
    """
    type, handle, ne, nb, data = geometry(tensor)
    if handle == 0:
        raise HandleError("REGION-5", "the tensor is in no buffer (handle 0)")
    entry = ledger.get(handle)
    whole = nbytes(type, ne, nb, ledger.limits)
    if whole and not entry.holds(data, whole):
        bounds = f"[{entry.base:#x}, {entry.base + entry.size:#x})"
        raise RegionError("REGION-1", f"a tensor at [{data:#x}, {data + whole:#x}) in a buffer at {bounds}")
    if offset < 0 or size < 0 or offset + size > whole:
        raise RegionError("REGION-2", f"bytes [{offset}, {offset + size}) of a tensor of {whole} bytes")
    return Region(handle, data - entry.base + offset if whole else 0, size)


def resolve_copy(ledger: Ledger, src: Any, dst: Any) -> tuple[Region, Region]:
    """What COPY_TENSOR reads and writes: all bytes of `src`, and as many of dst's buffer from the data of `dst` on.

    Extents need not agree (COPY-3): only the buffer bounds what is written. Raises as `resolve` does.
    """
    source = resolve(ledger, src, 0, tensor_nbytes(src, ledger.limits))
    resolve(ledger, dst, 0, 0)
    entry, data = ledger.get(int(dst["buffer"])), int(dst["data"])
    if source.size and not entry.holds(data, source.size):
        raise RegionError("COPY-3", f"{source.size} bytes from byte {data - entry.base} of a buffer of {entry.size}")
    return source, Region(entry.handle, data - entry.base if source.size else 0, source.size)


def resolve_2d(ledger: Ledger, tensor: Any, offset: int, pieces: tuple[int, int, int]) -> Region:
    """What a strided transfer touches, from its first to its last byte; pieces: size, n_copies and stride.

    The message holds size * n_copies bytes, which may be more: pieces may overlap. Raises as `resolve` and `span_2d`
    do, and FrameError for a message over Limits.tensor_bytes.
    """
    size, n_copies, stride = pieces
    span = span_2d(size, n_copies, stride)
    start = resolve(ledger, tensor, 0, 0)
    whole = tensor_nbytes(tensor, ledger.limits)
    if offset < 0 or offset + span > whole:
        detail = f"{n_copies} pieces of {size} bytes, {stride} apart, from byte {offset} of a tensor of {whole} bytes"
        raise RegionError("STRIDED-2", detail)
    if size * n_copies > ledger.limits.tensor_bytes:
        detail = f"a message of {size * n_copies} bytes is over limits.tensor_bytes = {ledger.limits.tensor_bytes}"
        raise FrameError("FRAME-7", detail)
    return Region(start.handle, start.offset + offset, span)


def span_2d(size: int, n_copies: int, stride: int) -> int:
    """Bytes from the first to the last byte of `n_copies` pieces of `size` bytes that begin `stride` bytes apart.

    Raises RegionError for no pieces, empty pieces, or more bytes than 64 bits can count.
    """
    if size == 0 or n_copies == 0:
        raise RegionError("STRIDED-3", f"{n_copies} pieces of {size} bytes: both must be positive")
    span = (n_copies - 1) * stride + size
    if max(span, size * n_copies) >= U64_END:
        raise RegionError("STRIDED-3", f"{n_copies} pieces of {size} bytes, {stride} apart, are 2^64 bytes or more")
    return span
