"""Pieces of equal size at equal distances in a tensor, one behind the other in a message: SET_TENSOR_2D, GET_TENSOR_2D.

Rules of this file:
- `span` is the memory from the first byte of the first piece to the last of the last, as session/regions.py proved it;
  nothing outside is touched, and bytes between two pieces keep their values.
- Large pieces go between socket and memory without a copy, small ones a batch at a time through numpy.
- Pieces may overlap. The later one wins (STRIDED-6): of each piece of a batch only the bytes before the next one are
  written, and the whole of the last.
"""

from collections.abc import Iterator

import attrs
import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

__all__ = ["BATCH", "Pieces"]

BATCH = 1 << 20
"""bytes of a message that are moved at once; a piece of a quarter of it or more is moved alone, without a copy"""


@attrs.frozen
class Pieces:
    """`count` pieces of `size` bytes (both positive), which begin `stride` bytes apart."""

    size: int
    count: int
    stride: int

    @property
    def packed_bytes(self) -> int:
        """Bytes of all pieces in a message."""
        return self.size * self.count

    @property
    def contiguous(self) -> bool:
        """Whether memory looks like the message."""
        return self.count == 1 or self.stride == self.size

    @property
    def whole(self) -> bool:
        """Whether pieces are large enough to be moved one by one."""
        return self.size >= BATCH // 4

    def batches(self) -> Iterator[tuple[int, int]]:
        """Number of the first piece and count of pieces of each batch."""
        step = 1 if self.whole else BATCH // self.size
        for first in range(0, self.count, step):
            yield first, min(step, self.count - first)

    def piece(self, span: memoryview, number: int) -> memoryview:
        """Memory of one piece."""
        return span[number * self.stride : number * self.stride + self.size]

    def gather(self, span: memoryview, first: int, count: int) -> memoryview:
        """A batch as it stands in a message."""
        rows = _rows(span[first * self.stride :], count, self.size, self.stride)
        return np.ascontiguousarray(rows).reshape(-1).data

    def scatter(self, span: memoryview, first: int, packed: memoryview) -> None:
        """Write a batch, which stands in `packed` as in a message."""
        count = len(packed) // self.size
        rows = np.frombuffer(packed, np.uint8).reshape(count, self.size)
        begin = span[first * self.stride :]
        width = min(self.size, self.stride)
        if count > 1 and width:
            _rows(begin, count - 1, width, self.stride)[:] = rows[:-1, :width]
        self.piece(begin, count - 1)[:] = packed[-self.size :]


def _rows(memory: memoryview, count: int, width: int, stride: int) -> NDArray[np.uint8]:
    """(count, width) bytes of memory, row i at byte i * stride."""
    if (count - 1) * stride + width > len(memory):
        raise ValueError(f"{count} rows of {width} bytes, {stride} apart, in {len(memory)} bytes")
    step = stride if count > 1 else width
    return as_strided(np.frombuffer(memory, np.uint8), (count, width), (step, 1))
