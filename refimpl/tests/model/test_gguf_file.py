"""Model files: what the gguf library wrote is what is read, and a file that cannot be used says why, by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize

from refimpl.errors import ModelError
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.model.gguf_file import SERVED_TYPES, open_model, read_metadata
from refimpl.tests.model.tiny import N_EMBD, N_FF, N_VOCAB, TINY_PATH, write_model
from spec.names import Type

F32 = GGMLQuantizationType.F32


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        open_model(path)
    assert caught.value.path == str(path)
    return str(caught.value)


def test_names_types_shapes_and_bytes_are_those_the_gguf_library_reads() -> None:
    model = open_model(TINY_PATH)
    reference = GGUFReader(TINY_PATH)
    assert list(model.tensors) == [tensor.name for tensor in reference.tensors]
    for tensor in reference.tensors:
        ours = model.tensors[tensor.name]
        assert ours.type.name == tensor.tensor_type.name
        assert list(ours.ne[: len(tensor.shape)]) == tensor.shape.tolist()
        np.testing.assert_array_equal(ours.data, np.ascontiguousarray(tensor.data).view(np.uint8).reshape(-1))


def test_metadata_are_those_the_gguf_library_reads() -> None:
    ours = read_metadata(TINY_PATH)
    reference = {k: f.contents() for k, f in GGUFReader(TINY_PATH).fields.items() if not k.startswith("GGUF.")}
    assert ours.keys() == reference.keys()
    for key, value in reference.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)


NARROW = sorted(kind for kind in SERVED_TYPES if N_EMBD % FORMATS[kind].block == 0)
"""types whose blocks are no longer than the rows of the test's model"""


@pytest.mark.parametrize("kind", NARROW)
def test_every_served_type_loads(tmp_path: Path, kind: Type) -> None:
    model = open_model(write_model(tmp_path / "m.gguf", kind=GGMLQuantizationType(kind)))
    tensor = model.tensors["blk.0.attn_q.weight"]
    assert tensor.type is kind
    reference = next(t for t in GGUFReader(tmp_path / "m.gguf").tensors if t.name == tensor.name)
    form = FORMATS[kind]
    values = form.decode(tensor.data.reshape(-1, form.bytes)).reshape(N_EMBD, N_EMBD)
    np.testing.assert_array_equal(values, dequantize(reference.data, GGMLQuantizationType(kind)))


def test_weights_are_read_only_views_of_the_file(tmp_path: Path) -> None:
    tensor = open_model(write_model(tmp_path / "m.gguf")).tensors["token_embd.weight"]
    assert not tensor.data.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        tensor.data[0] = 1


def test_numbers_of_the_graph_come_from_metadata_and_tensors(tmp_path: Path) -> None:
    hparams = open_model(write_model(tmp_path / "m.gguf")).hparams
    assert (hparams.n_layer, hparams.n_embd, hparams.n_ff, hparams.n_vocab) == (1, N_EMBD, N_FF, N_VOCAB)
    assert (hparams.n_head, hparams.n_head_kv, hparams.n_embd_head_k, hparams.n_embd_k_gqa) == (4, 2, 16, 32)
    assert hparams.tied_output
    assert hparams.attention_scale == 0.25
    assert (hparams.rope.n_dims, hparams.rope.n_ctx_orig, hparams.rope.freq_base) == (16, 128, 10000.0)
    assert (hparams.rope.freq_scale, hparams.rope.ext_factor) == (1.0, 0.0)


@pytest.mark.parametrize(("kind", "scale", "ext"), [("linear", 0.25, 0.0), ("yarn", 0.25, 1.0), ("none", 1.0, 0.0)])
def test_rope_scaling_follows_its_kind(tmp_path: Path, kind: str, scale: float, ext: float) -> None:
    keys = {"rope.scaling.type": kind, "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 32}
    path = write_model(tmp_path / "m.gguf", {f"llama.{key}": value for key, value in keys.items()})
    rope = open_model(path).hparams.rope
    assert (rope.freq_scale, rope.ext_factor, rope.n_ctx_orig) == (scale, ext, 32)


def test_per_layer_head_counts_that_agree_are_one_number(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", {"llama.attention.head_count_kv": [2]})
    assert open_model(path).hparams.n_head_kv == 2


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"general.architecture": "gpt2"}, ["'gpt2'", "known architectures: llama"]),
        ({"general.architecture": None}, ["architecture None"]),
        ({"llama.block_count": None}, ["llama.block_count", "missing"]),
        ({"llama.embedding_length": "wide"}, ["llama.embedding_length", "not a number"]),
        ({"llama.attention.head_count_kv": 3}, ["4 attention heads", "3 K/V heads"]),
        ({"llama.attention.head_count": [4, 8]}, ["llama.attention.head_count", "layer to layer"]),
        ({"llama.expert_count": 8}, ["mixture of experts"]),
        ({"llama.attention.causal": False}, ["non-causal"]),
        ({"llama.rope.scaling.type": "longrope"}, ["'longrope'", "linear"]),
        ({"llama.rope.dimension_count": 15}, ["rope.dimension_count 15"]),
        ({"llama.embedding_length": 128, "llama.attention.key_length": 16}, ["token_embd.weight", "[64, 40, 1, 1]"]),
    ],
)
def test_metadata_that_no_graph_is_built_from_are_refused(
    tmp_path: Path, keys: dict[str, Any], words: list[str]
) -> None:
    message = refusal(write_model(tmp_path / "m.gguf", keys))
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"blk.0.ffn_up.weight": None}, ["'blk.0.ffn_up.weight' is missing"]),
        ({"token_embd.weight": None}, ["'token_embd.weight' is missing"]),
        (
            {"output_norm.weight": (np.ones(N_EMBD + 1, np.float32), F32)},
            ["output_norm.weight", "[65, 1, 1, 1]", "[64, 1"],
        ),
        ({"blk.0.attn_q.bias": (np.ones(N_EMBD, np.float32), F32)}, ["'blk.0.attn_q.bias'", "no place"]),
        (
            {"blk.0.ffn_norm.weight": (np.ones(N_EMBD, np.int32), None)},
            ["'blk.0.ffn_norm.weight' has type I32", "Q8_0"],
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path, weights: dict[str, Any], words: list[str]) -> None:
    message = refusal(write_model(tmp_path / "m.gguf", weights=weights))
    assert all(word in message for word in words), message


def test_a_type_without_kernels_is_refused_with_tensor_type_and_choice(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", kind=GGMLQuantizationType.Q5_0)
    with pytest.raises(ModelError, match=r"'token_embd.weight' has type Q5_0, .*\(only F32, Q8_0\)"):
        open_model(path, {Type.F32, Type.Q8_0})
    assert open_model(path, {Type.F32, Type.Q5_0}).hparams.n_vocab == N_VOCAB


def test_a_type_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    raw = bytearray(path.read_bytes())
    name = b"blk.0.ffn_down.weight"
    at = raw.index(name) + len(name) + 4 + 2 * 8
    raw[at : at + 4] = (4095).to_bytes(4, "little")
    path.write_bytes(raw)
    assert "'blk.0.ffn_down.weight' has the unknown type 4095" in refusal(path)


def test_a_file_cut_inside_the_weights_names_the_tensor(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    raw = path.read_bytes()
    last = max(GGUFReader(path).tensors, key=lambda tensor: tensor.data_offset)
    path.write_bytes(raw[: last.data_offset + last.n_bytes - 1])
    message = refusal(path)
    assert "truncated" in message
    assert last.name in message


def test_a_file_cut_anywhere_before_the_weights_is_truncated(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    raw = path.read_bytes()
    end = min(tensor.data_offset for tensor in GGUFReader(path).tensors) - 64
    for size in range(4, end, 7):
        path.write_bytes(raw[:size])
        assert "truncated" in refusal(path)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "empty"), (b"\x7fELF and more", "not a GGUF"), (b"GG", "not a GGUF")]
)
def test_another_kind_of_file_is_no_gguf(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    assert words in refusal(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + (99).to_bytes(4, "little") + bytes(100))
    assert "version 99" in refusal(path)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "nowhere.gguf")
    assert "directory" in refusal(tmp_path)
