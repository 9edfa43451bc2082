"""A compiled graph of the CPU device, and the layout of weights that it depends on.

Steps hold addresses, so a program is valid as long as the allocations it was compiled with live. Before each run the
weights it wants packed are packed and what it reads as it was sent is unpacked; while nothing has changed since the
last run, that is one comparison for each allocation.
"""

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.device.cpu.memory import CpuAllocation
from refimpl.device.cpu.pace import Pace
from refimpl.device.cpu.packed import PackedRegion
from refimpl.device.cpu.plan import Range
from refimpl.device.cpu.pool import Pool, StopFlag, aligned_words, run_here
from refimpl.device.cpu.weights import Touched, Weight
from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.cpu.matmul import packing
from refimpl.kernels.cpu.matmul.layout import GROUP
from refimpl.kernels.cpu.step import DST, KERNEL, OPERAND_WORDS, WORD, WORDS
from spec.names import Type

__all__ = ["CpuProgram", "Product", "Workspace", "unpack"]

PACK: Mapping[Type, Kernel] = {
    Type.Q4_0: packing.pack_q4_0,
    Type.Q4_1: packing.pack_q4_1,
    Type.Q5_0: packing.pack_q5_0,
    Type.Q5_1: packing.pack_q5_1,
    Type.Q8_0: packing.pack_q8_0,
    Type.Q4_K: packing.pack_q4_k,
    Type.Q5_K: packing.pack_q5_k,
    Type.Q6_K: packing.pack_q6_k,
}
UNPACK: Mapping[Type, Kernel] = {
    Type.Q4_0: packing.unpack_q4_0,
    Type.Q4_1: packing.unpack_q4_1,
    Type.Q5_0: packing.unpack_q5_0,
    Type.Q5_1: packing.unpack_q5_1,
    Type.Q8_0: packing.unpack_q8_0,
    Type.Q4_K: packing.unpack_q4_k,
    Type.Q5_K: packing.unpack_q5_k,
    Type.Q6_K: packing.unpack_q6_k,
}


@attrs.frozen(eq=False)
class Workspace:
    """Memory that a program keeps between its steps, given back with the program."""

    allocation: CpuAllocation

    @property
    def range(self) -> Range:
        return self.allocation.address, self.allocation.address + self.allocation.size


@attrs.frozen(eq=False)
class Product:
    """A step of MUL_MAT or MUL_MAT_ID that can do with packed weights or without."""

    step: int
    weight: Weight
    packed: Kernel
    plain: Kernel
    word: int = KERNEL // WORD
    """of the step: where the address of the kernel stands"""


@attrs.define(eq=False)
class CpuProgram:
    """See refimpl.device.protocol.Program."""

    handles: frozenset[int]
    steps: NDArray[np.int64]
    """(n, WORDS)"""
    scratch: int
    """bytes for each worker"""
    labels: Mapping[int, str]
    """names of the nodes that can find a fault"""
    products: Sequence[Product]
    touched: Sequence[Touched]
    workspace: Workspace
    pace: Pace = attrs.field(factory=Pace)
    _settled: tuple[int, ...] = ()
    """versions of the allocations' layouts that the steps agree with"""

    @property
    def nbytes(self) -> int:
        return int(self.steps.nbytes) + self.workspace.allocation.size

    def settled_at_once(self) -> bool:
        """Whether the weights lie as the steps expect, or the steps could be made to expect what there is."""
        if self._is_settled:
            return True
        if any(touched.packed() for touched in self.touched):
            return False
        if not all(product.weight.region in product.weight.allocation.packed for product in self.products):
            return False
        self._adopt()
        return True

    def settle(self, pool: Pool) -> None:
        """Bring weights into the layout that the steps expect. The caller has the device for itself."""
        if self._is_settled:
            return
        for touched in self.touched:
            packed = touched.allocation.packed
            for region in touched.packed():
                unpack(touched.allocation, region)
                packed.deny(region)
        _pack(pool, [product.weight for product in self.products if _wanted(product.weight)])
        self._adopt()

    @property
    def _is_settled(self) -> bool:
        return bool(self._settled) and self._settled == self._versions()

    def _adopt(self) -> None:
        """Have the steps take the weights as they lie now."""
        entries = {kernel: kernel.address for product in self.products for kernel in (product.packed, product.plain)}
        for product in self.products:
            weight = product.weight
            kernel = product.packed if weight.region in weight.allocation.packed else product.plain
            self.steps[product.step, product.word] = entries[kernel]
        self._settled = self._versions()

    def _versions(self) -> tuple[int, ...]:
        return tuple(touched.allocation.packed.version for touched in self.touched)


def _wanted(weight: Weight) -> bool:
    """Whether a weight should be packed and is not; what another program keeps packed differently there goes first.

    One that is denied will be read as it was sent, and so has to lie: what is packed there is denied as well.
    """
    packed, region = weight.allocation.packed, weight.region
    if region in packed:
        return False
    denied = packed.denied(region)
    for other in packed.overlapping(region.offset, region.end):
        unpack(weight.allocation, other)
        if denied:
            packed.deny(other)
    return not denied


def _pack(pool: Pool, weights: Sequence[Weight]) -> None:
    chosen = {(id(weight.allocation), weight.region): weight for weight in weights}
    if not chosen:
        return
    ordered = list(chosen.values())
    steps = aligned_words(len(ordered) * WORDS).reshape(-1, WORDS)
    for step, weight in zip(steps, ordered, strict=True):
        _fill(step, PACK[weight.region.type], weight.allocation, weight.region)
    pool.run(steps, max(_group_bytes(weight.region) for weight in ordered), StopFlag())
    for weight in ordered:
        weight.allocation.packed.add(weight.region)


def unpack(allocation: CpuAllocation, region: PackedRegion) -> None:
    """Bring a packed region back to how it was sent, in this thread."""
    steps = aligned_words(WORDS).reshape(1, WORDS)
    _fill(steps[0], UNPACK[region.type], allocation, region)
    run_here(steps, _group_bytes(region))
    allocation.packed.remove(region)


def _group_bytes(region: PackedRegion) -> int:
    return region.size // region.rows * GROUP


def _fill(step: NDArray[np.int64], kernel: Kernel, allocation: CpuAllocation, region: PackedRegion) -> None:
    """A step over one whole region as src0."""
    operand = DST // WORD + OPERAND_WORDS
    step[KERNEL // WORD] = kernel.address
    step[operand] = allocation.address + region.offset
    step[operand + 1 : operand + 5] = region.columns, region.rows, 1, 1
