"""A graph that has passed every check: what a device compiles. Handles and offsets, no addresses.

Struct of arrays over t tensors, in the order of the message; `nodes` indexes the n of them that must be executed, in
execution order. Everything here is proved by graph/build.py: types known, byte sizes inside their buffers, sources
present and of the shape and type that the op's rule asks for, no cycle, no node without memory.
"""

import attrs
import numpy as np
from numpy.typing import NDArray

__all__ = ["ABSENT", "CheckedGraph", "TensorTable"]

ABSENT = -1
"""index of a source, view source or buffer that is not there"""


@attrs.frozen(eq=False, kw_only=True)
class TensorTable:
    """t tensors as arrays; i indexes tensors, d dimensions (0 fastest)."""

    type: NDArray[np.int32]
    """(t,) spec.names.Type"""
    ne: NDArray[np.int64]
    """(t, 4) elements per dimension"""
    nb: NDArray[np.int64]
    """(t, 4) byte strides as sent (modulo 2^32; a dimension of extent 1 may hold anything)"""
    nbytes: NDArray[np.int64]
    """(t,) byte size of the tensor; 0 if any extent is 0"""
    buffer: NDArray[np.int64]
    """(t,) index into CheckedGraph.handles, or ABSENT"""
    offset: NDArray[np.int64]
    """(t,) first byte inside that buffer"""
    op: NDArray[np.int32]
    """(t,) spec.names.Op"""
    params: NDArray[np.int32]
    """(t, 16) op_params words; floats as bit patterns"""
    flags: NDArray[np.int32]
    """(t,) spec.names.TensorFlag bits"""
    src: NDArray[np.int32]
    """(t, 10) index of each source, or ABSENT"""
    view_src: NDArray[np.int32]
    """(t,) index of the viewed tensor, or ABSENT"""
    use_count: NDArray[np.int32]
    """(t,) readers in the client's whole graph; a hint"""
    name: NDArray[np.bytes_]
    """(t,) S64, NUL padded; for messages only"""


@attrs.frozen(eq=False, kw_only=True)
class CheckedGraph:
    """Tensors, the nodes to execute among them, and the buffers they live in."""

    tensors: TensorTable
    nodes: NDArray[np.int32]
    """(n,) tensor indices in execution order: COMPUTE flag set, not a no-op, not empty"""
    handles: tuple[int, ...]
    """buffer handles that any tensor lives in"""

    def label(self, index: int) -> str:
        """Tensor `index` in words for a message: name, op and type numbers are resolved by the caller."""
        name = bytes(self.tensors.name[index]).split(b"\0")[0].decode("utf-8", "replace")
        return f"tensor {index} '{name}'"
