"""Element type -> its layout and its arithmetic: the one place that lists the formats."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
from numpy.typing import NDArray

from refimpl.kernels.blocks import bf16, f16, f32, integers, q4_0, q4_1, q5_0, q5_1, q8_0, q8_1
from refimpl.kernels.blocks.k_quants import q4_k, q5_k, q6_k, q8_k
from refimpl.kernels.blocks.raw import Raw, Reals
from spec.names import Type

__all__ = ["FORMATS", "Format"]


@attrs.frozen
class Format:
    """One element type: n blocks are (n, bytes) packed and (n, block) unpacked."""

    type: Type
    block: int
    """elements of a block"""
    bytes: int
    """bytes of a block"""
    decode: Callable[[Raw], NDArray[Any]]
    """(n, bytes) -> (n, block): float32, or the integer type itself"""
    encode: Callable[[Reals], Raw] | None = None
    """(n, block) float32 -> (n, bytes); None where nothing here needs it"""


FORMATS: Mapping[Type, Format] = MappingProxyType(
    {
        entry.type: entry
        for entry in (
            Format(Type.F32, f32.BLOCK, f32.BYTES, f32.dequantise, f32.quantise),
            Format(Type.F16, f16.BLOCK, f16.BYTES, f16.dequantise, f16.quantise),
            Format(Type.Q4_0, q4_0.BLOCK, q4_0.BYTES, q4_0.dequantise, q4_0.quantise),
            Format(Type.Q4_1, q4_1.BLOCK, q4_1.BYTES, q4_1.dequantise, q4_1.quantise),
            Format(Type.BF16, bf16.BLOCK, bf16.BYTES, bf16.dequantise, bf16.quantise),
            Format(Type.Q5_0, q5_0.BLOCK, q5_0.BYTES, q5_0.dequantise, q5_0.quantise),
            Format(Type.Q5_1, q5_1.BLOCK, q5_1.BYTES, q5_1.dequantise, q5_1.quantise),
            Format(Type.Q4_K, q4_k.BLOCK, q4_k.BYTES, q4_k.dequantise),
            Format(Type.Q5_K, q5_k.BLOCK, q5_k.BYTES, q5_k.dequantise),
            Format(Type.Q6_K, q6_k.BLOCK, q6_k.BYTES, q6_k.dequantise),
            Format(Type.Q8_K, q8_k.BLOCK, q8_k.BYTES, q8_k.dequantise, q8_k.quantise),
            Format(Type.Q8_0, q8_0.BLOCK, q8_0.BYTES, q8_0.dequantise, q8_0.quantise),
            Format(Type.Q8_1, q8_1.BLOCK, q8_1.BYTES, q8_1.dequantise, q8_1.quantise),
            Format(Type.I32, integers.BLOCK, integers.I32_BYTES, integers.read_i32),
            Format(Type.I64, integers.BLOCK, integers.I64_BYTES, integers.read_i64),
        )
    }
)
