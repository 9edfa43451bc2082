"""What decides about a node's kernel, and what a kernel asks for."""

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.cpu.compiled import Kernel
from spec.names import Op, Type

__all__ = ["Choice", "NoKernel", "Node"]


@attrs.frozen(eq=False)
class Node:
    """One node that runs: what decides about its kernel."""

    op: Op
    index: int
    """of its tensor"""
    sources: tuple[int, ...]
    """tensor indices or ABSENT, without absent ones at the end"""
    types: tuple[Type | None, ...]
    """of the sources"""
    shapes: tuple[tuple[int, ...], ...]
    """extents of the sources; () for absent ones"""
    dst_type: Type
    dst_shape: tuple[int, ...]
    params: NDArray[np.int32]
    """(16,)"""

    def type(self, slot: int) -> Type | None:
        """Type of a source, None where it is absent."""
        return self.types[slot] if slot < len(self.types) else None

    def given(self, slot: int) -> Type:
        """Type of a source that the op cannot do without; raises NoKernel where it is absent."""
        type = self.type(slot)
        if type is None:
            raise NoKernel(f"without src[{slot}]")
        return type


@attrs.frozen
class Choice:
    """A kernel with what it asks for: extra words, and bytes of scratch for each thread."""

    kernel: Kernel
    extra: tuple[int, ...] = ()
    scratch: int = 0


class NoKernel(Exception):
    """Nothing here computes a node; the text says what is special about it."""
