"""Constants of the graph that no file holds: the matrices that rotate K and V before they are quantised.

Their sizes are llama.cpp's (build 11434): K by the largest power of two from 64 on that divides the head, V by 64; no
rotation where 64 does not divide the head.
"""

import numpy as np

from refimpl.graph.layout import type_layouts
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import ModelFile, WeightTensor
from refimpl.model.hparams import Hparams
from spec.names import Type

__all__ = ["K_ROT", "V_ROT", "hadamard", "quantised", "rotations", "weight_of"]

K_ROT = "attn_inp_k_rot"
"""F32 [n, n]; present with a quantised K cache"""
V_ROT = "attn_inp_v_rot"
SMALLEST = 64


def quantised(kind: Type) -> bool:
    """Whether a type holds its values in blocks with a scale."""
    return int(type_layouts().block[kind]) > 1


def rotations(hparams: Hparams, cache: CacheShape) -> dict[str, int]:
    """Size of each rotation that the cache asks for, by name."""
    found: dict[str, int] = {}
    if quantised(cache.type_k) and hparams.n_embd_head_k % SMALLEST == 0:
        size = SMALLEST
        while hparams.n_embd_head_k % (2 * size) == 0:
            size *= 2
        found[K_ROT] = size
    if quantised(cache.type_v) and hparams.n_embd_head_v % SMALLEST == 0:
        found[V_ROT] = SMALLEST
    return found


def hadamard(name: str, size: int) -> WeightTensor:
    """The orthonormal matrix of Walsh and Hadamard, (size, size); size is a power of two."""
    rows = np.full((1, 1), 1.0 / float(np.sqrt(np.float32(size))), np.float32)
    while len(rows) < size:
        rows = np.block([[rows, rows], [rows, -rows]])
    return WeightTensor(name, Type.F32, (size, size, 1, 1), np.ascontiguousarray(rows).reshape(-1).view(np.uint8))


def weight_of(model: ModelFile, cache: CacheShape, name: str) -> WeightTensor:
    """A weight of a graph by its name: a tensor of the file, or a rotation."""
    stored = model.tensors.get(name)
    return stored or hadamard(name, rotations(model.hparams, cache)[name])
