"""Writes a random model as GGUF, one weight at a time: the same bytes for the same shape, type and seed.

Weights are normal with deviation 1 / sqrt(columns), so that activations keep their size; norms are 1. The gguf library
quantises the simple block formats and not the K-quants: for those the file is F16, and llama-quantize makes the rest.
"""

import shlex
from pathlib import Path

import attrs
import numpy as np
from gguf import GGUFWriter
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import quant_shape_to_byte_shape, quantize
from numpy.typing import NDArray

from refimpl.bench.random_model.shape import MERGE, ModelShape, RandomWeight, tokens
from refimpl.model.gguf_file import SERVED_TYPES

__all__ = ["TYPES", "Written", "storable", "write_random_model"]

TYPES = tuple(kind.name for kind in sorted(SERVED_TYPES))
"""what --type takes"""
PRE_TOKENIZER = "gpt-2"
PIECE = 1 << 24
"""elements made at a time"""


@attrs.frozen
class Written:
    """What was written, and what is left to do."""

    path: Path
    type: GGMLQuantizationType
    """of its matrices"""
    n_params: int
    nbytes: int
    """of all weights"""
    next_step: str = ""
    """command that makes the type that was asked for; empty where this is it"""


def storable(kind: GGMLQuantizationType) -> bool:
    """Whether the gguf library makes this type."""
    try:
        quantize(np.zeros((1, GGML_QUANT_SIZES[kind][0]), np.float32), kind)
    except NotImplementedError:
        return False
    return True


def write_random_model(shape: ModelShape, kind: GGMLQuantizationType, seed: int, path: Path) -> Written:
    """Write the file. Raises UsageError where shape and type do not go together, and OSError."""
    list(shape.weights(kind))
    stored = kind if storable(kind) else GGMLQuantizationType.F16
    weights = list(shape.weights(stored))
    writer = GGUFWriter(path, "llama")
    _describe(writer, shape, stored, seed)
    for weight in weights:
        writer.add_tensor_info(weight.name, _byte_shape(weight), np.dtype(np.uint8), _nbytes(weight), weight.type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, weight in enumerate(weights):
        writer.write_tensor_data(_random(weight, np.random.default_rng((seed, number))))
    writer.close()
    n_params = sum(int(np.prod(weight.shape)) for weight in weights)
    return Written(path, stored, n_params, sum(map(_nbytes, weights)), _next_step(path, kind, stored))


def _next_step(path: Path, kind: GGMLQuantizationType, stored: GGMLQuantizationType) -> str:
    if kind is stored:
        return ""
    target = path.with_name(f"{path.stem}-{kind.name}{path.suffix}")
    return shlex.join(["llama-quantize", "--pure", str(path), str(target), kind.name])


def _describe(writer: GGUFWriter, shape: ModelShape, stored: GGMLQuantizationType, seed: int) -> None:
    writer.add_name(f"random {stored.name}, seed {seed}")
    for key, value in shape.metadata().items():
        if isinstance(value, float):
            writer.add_float32(f"llama.{key}", value)
        else:
            writer.add_uint32(f"llama.{key}", value)
    spelled = tokens(shape.vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list([spelling for spelling, _ in spelled])
    writer.add_token_types([int(kind) for _, kind in spelled])
    writer.add_token_merges([" ".join(MERGE)])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)


def _byte_shape(weight: RandomWeight) -> tuple[int, ...]:
    return tuple(quant_shape_to_byte_shape(weight.shape, weight.type))


def _nbytes(weight: RandomWeight) -> int:
    return int(np.prod(_byte_shape(weight)))


def _random(weight: RandomWeight, source: np.random.Generator) -> NDArray[np.uint8]:
    """The packed bytes (rows, bytes of a row), or (bytes,) of a norm."""
    packed = np.empty(_byte_shape(weight), np.uint8)
    if len(weight.shape) == 1:
        packed[:] = np.ones(weight.shape, np.float32).view(np.uint8)
        return packed
    rows, columns = weight.shape
    step = max(1, PIECE // columns)
    for first in range(0, rows, step):
        count = min(step, rows - first)
        values = source.standard_normal((count, columns), np.float32) / np.float32(columns**0.5)
        packed[first : first + count] = quantize(values, weight.type).view(np.uint8)
    return packed
