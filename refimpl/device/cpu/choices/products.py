"""MUL_MAT with weights that activations meet in a form of their own: that form, and the kernels, by type."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.cpu.matmul import activations, floats, layout, packed, pairs
from refimpl.kernels.cpu.matmul import rows as by_rows
from refimpl.kernels.cpu.matmul.k_quants import activations as k_activations
from refimpl.kernels.cpu.matmul.k_quants import layout as k_layout
from refimpl.kernels.cpu.matmul.k_quants import packed as k_packed
from refimpl.kernels.cpu.matmul.k_quants import rows as k_by_rows
from spec.names import Type

__all__ = ["PRODUCTS", "ActivationForm", "ProductKernels"]


@attrs.frozen
class ActivationForm:
    """What activations become before a product: blocks, or numbers of another type, row after row."""

    kernel: Kernel
    """makes them of F32 rows"""
    block: int
    """elements of a block"""
    bytes: int
    """bytes of a block"""

    def size(self, ne: Sequence[int]) -> int:
        """Bytes that a tensor of these extents takes."""
        return ne[0] // self.block * self.bytes * ne[1] * ne[2] * ne[3]


@attrs.frozen
class ProductKernels:
    """MUL_MAT with weights of one type."""

    packed: Kernel | None
    """for weights in their packed layout, where there is one"""
    plain: Kernel
    activations: ActivationForm


Q8 = ActivationForm(activations.quantise_q8, layout.BLOCK, layout.ACTIVATION)
Q8_K = ActivationForm(k_activations.quantise_q8_k, k_layout.BLOCK, k_layout.ACTIVATION)

BF16 = ActivationForm(pairs.round_to_bf16, 1, 2)
F16 = ActivationForm(floats.round_to_f16, 1, 4)

PRODUCTS: Mapping[Type, ProductKernels] = MappingProxyType(
    {
        Type.F16: ProductKernels(None, floats.mul_mat_f16, F16),
        Type.BF16: ProductKernels(None, pairs.mul_mat_pairs, BF16),
        Type.Q4_0: ProductKernels(packed.mul_mat_packed_q4_0, by_rows.mul_mat_q4_0, Q8),
        Type.Q4_1: ProductKernels(packed.mul_mat_packed_q4_1, by_rows.mul_mat_q4_1, Q8),
        Type.Q5_0: ProductKernels(packed.mul_mat_packed_q5_0, by_rows.mul_mat_q5_0, Q8),
        Type.Q5_1: ProductKernels(packed.mul_mat_packed_q5_1, by_rows.mul_mat_q5_1, Q8),
        Type.Q8_0: ProductKernels(packed.mul_mat_packed_q8_0, by_rows.mul_mat_q8_0, Q8),
        Type.Q4_K: ProductKernels(k_packed.mul_mat_packed_q4_k, k_by_rows.mul_mat_q4_k, Q8_K),
        Type.Q5_K: ProductKernels(k_packed.mul_mat_packed_q5_k, k_by_rows.mul_mat_q5_k, Q8_K),
        Type.Q6_K: ProductKernels(k_packed.mul_mat_packed_q6_k, k_by_rows.mul_mat_q6_k, Q8_K),
    }
)
