"""Models for tests: the tiny Llama that the stock captures were made with, and small files written on the spot."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from gguf.quants import dequantize, quantize

from refimpl.model.gguf_file import ModelFile, WeightTensor, open_model
from refimpl.model.weights import OUTPUT
from refimpl.tests.model.captured import captured_weights
from spec.names import Type

__all__ = ["N_EMBD", "N_FF", "N_VOCAB", "TINY_PATH", "captured_model", "parts_of", "split_model", "write_model"]

TINY_PATH = Path(str(files("refimpl.tests") / "data" / "tiny-llama-Q4_0.gguf"))
N_EMBD, N_FF, N_VOCAB, N_KV = 64, 96, 40, 32


def captured_model(variant: str) -> ModelFile:
    """The model of the captures with the weights that stock sent.

    Its output matrix, Q6_K there, is widened to F32: for that type there is no oracle.
    """
    model = open_model(TINY_PATH)
    sent = captured_weights(variant)
    packed = np.frombuffer(sent[OUTPUT][1], np.uint8).reshape(model.hparams.n_vocab, -1)
    values = dequantize(packed, GGMLQuantizationType.Q6_K).astype(np.float32)
    tensors = {
        name: attrs.evolve(tensor, data=np.frombuffer(sent[name][1], np.uint8)) if name in sent else tensor
        for name, tensor in model.tensors.items()
    }
    output = WeightTensor(OUTPUT, Type.F32, model.tensors[OUTPUT].ne, values.reshape(-1).view(np.uint8))
    return attrs.evolve(model, tensors={**tensors, OUTPUT: output})


def write_model(
    path: Path,
    keys: Mapping[str, Any] | None = None,
    weights: Mapping[str, Any] | None = None,
    kind: GGMLQuantizationType = GGMLQuantizationType.Q8_0,
    part_tensors: int = 0,
) -> Path:
    """Write a one-layer Llama with tied output; returns `path`.

    `keys` and `weights` replace or add an entry, None leaves one out. With `part_tensors` the gguf library writes
    parts of so many tensors beside `path` instead of it; see `parts_of`.
    """
    writer = GGUFWriter(path, "llama", split_max_tensors=part_tensors)
    for key, value in (_KEYS | dict(keys or {})).items():
        _add_key(writer, key, value)
    for name, value in (_weights(kind) | dict(weights or {})).items():
        if value is not None:
            values, stored = value
            writer.add_tensor(name, values, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def parts_of(path: Path) -> list[Path]:
    """The files that `write_model` made of `path`, in order."""
    return sorted(path.parent.glob(f"{path.stem}-*-of-*.gguf"))


def split_model(source: Path, path: Path, count: int = 2) -> list[Path]:
    """The model of one file in `count` parts beside `path`, written by the gguf library."""
    reader = GGUFReader(source)
    writer = GGUFWriter(path, "llama", split_max_tensors=-(-len(reader.tensors) // count))
    for name, field in reader.fields.items():
        if not name.startswith(("GGUF.", "general.architecture")):
            writer.add_key_value(name, field.contents(), field.types[0], field.types[-1])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return parts_of(path)


_KEYS: dict[str, Any] = {
    "llama.block_count": 1,
    "llama.context_length": 128,
    "llama.embedding_length": N_EMBD,
    "llama.feed_forward_length": N_FF,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
}


def _add_key(writer: GGUFWriter, key: str, value: Any) -> None:
    if key == "general.architecture":
        writer.kv_data[0].pop(key)
        if value is not None:
            writer.add_string(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif value is not None:
        writer.add_array(key, value)


def _weights(kind: GGMLQuantizationType) -> dict[str, Any]:
    """Shapes as numpy has them, slowest dimension first."""
    random = np.random.default_rng(3)
    matrices = {
        "token_embd": (N_VOCAB, N_EMBD),
        "blk.0.attn_q": (N_EMBD, N_EMBD),
        "blk.0.attn_k": (N_KV, N_EMBD),
        "blk.0.attn_v": (N_KV, N_EMBD),
        "blk.0.attn_output": (N_EMBD, N_EMBD),
        "blk.0.ffn_gate": (N_FF, N_EMBD),
        "blk.0.ffn_up": (N_FF, N_EMBD),
        "blk.0.ffn_down": (N_EMBD, N_FF),
    }
    made: dict[str, Any] = {}
    for name, shape in matrices.items():
        made[f"{name}.weight"] = (quantize(random.normal(0, 0.2, shape).astype(np.float32), kind), kind)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        made[f"{name}.weight"] = (random.normal(1, 0.1, N_EMBD).astype(np.float32), GGMLQuantizationType.F32)
    return made
