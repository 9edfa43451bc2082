"""Bytes of any element type > elements in float64, exactly.

Rules
- Plain types are read by numpy, BF16 by its definition, block formats by formats.py. Those that need a grid (IQ1, IQ2,
  IQ3, IQ4 and TQ1_0) are read by the gguf package, whose results in F32 are exact for them.
- Bytes in, values out: the shape is whoever's tensor it is.
"""

import gguf
import numpy as np
from numpy.typing import NDArray

from conformance.cases.ops.blocks.formats import DECODERS, Array
from spec.dialect import TypeDef

__all__ = ["BF16_SHIFT", "PLAIN", "SCALARS", "decoded", "parts_of"]

PLAIN = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "<i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}
"""types that numpy has"""
SCALARS = {"u8": "u1", "i8": "i1", "u16": "<u2", "i16": "<i2", "u32": "<u4", "f16": "<f2", "f32": "<f4"}
"""scalars of block layouts"""
BF16_SHIFT = 16


def decoded(kind: TypeDef, data: bytes) -> Array:
    """All elements in the order of the bytes; data holds whole blocks."""
    if kind.name in PLAIN:
        return np.frombuffer(data, PLAIN[kind.name]).astype(np.float64)
    if kind.name == "BF16":
        words = np.frombuffer(data, "<u2").astype(np.uint32) << BF16_SHIFT
        return words.view(np.float32).astype(np.float64)
    if kind.name in DECODERS:
        blocks = parts_of(kind, data)
        return DECODERS[kind.name]({name: blocks[name] for name in blocks.dtype.names or ()}).reshape(-1)
    rows = np.frombuffer(data, np.uint8).reshape(-1, kind.bytes)
    return gguf.dequantize(rows, gguf.GGMLQuantizationType[kind.name]).astype(np.float64).reshape(-1)


def parts_of(kind: TypeDef, data: bytes | bytearray) -> NDArray[np.void]:
    """The blocks as records, one field for each part of the layout: (blocks,) of arrays (count,)."""
    fields = [(part.name, SCALARS[part.type], (part.count,)) for part in kind.layout]
    return np.frombuffer(data, np.dtype(fields))
