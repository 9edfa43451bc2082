"""Random models are of the shape and type that was asked for, the same for the same seed, and readable."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.constants import GGMLQuantizationType

from refimpl.bench.random_model.shape import ModelShape, TokenKind, tokens
from refimpl.bench.random_model.write import TYPES, storable, write_random_model
from refimpl.errors import UsageError
from refimpl.model.gguf_file import open_model
from refimpl.model.tokenizer import Tokenizer

SMALL = ModelShape(layers=2, embd=256, heads=4, kv_heads=2, ff=512, vocab=300, ctx=512)
Q8_0, F16 = GGMLQuantizationType.Q8_0, GGMLQuantizationType.F16


def written(path: Path, seed: int = 0, kind: GGMLQuantizationType = Q8_0, shape: ModelShape = SMALL) -> bytes:
    write_random_model(shape, kind, seed, path)
    return path.read_bytes()


@pytest.mark.parametrize("name", TYPES)
def test_every_type_gives_a_model_that_opens(name: str, tmp_path: Path) -> None:
    kind = GGMLQuantizationType[name]
    result = write_random_model(SMALL, kind, 0, tmp_path / "m.gguf")
    model = open_model(tmp_path / "m.gguf")
    matrices = {tensor.type.name for tensor in model.tensors.values() if tensor.ne[1] > 1}
    assert matrices == {result.type.name}
    assert result.nbytes == model.nbytes
    assert result.n_params == sum(int(np.prod(tensor.ne)) for tensor in model.tensors.values())
    if storable(kind):
        assert (result.type, result.next_step) == (kind, "")
    else:
        assert result.type is F16
        assert result.next_step == f"llama-quantize --pure {tmp_path}/m.gguf {tmp_path}/m-{name}.gguf {name}"


def test_the_k_quants_are_left_to_llama_quantize() -> None:
    left = [name for name in TYPES if not storable(GGMLQuantizationType[name])]
    assert left == ["Q4_K", "Q5_K", "Q6_K"]


def test_the_shape_is_the_one_asked_for(tmp_path: Path) -> None:
    shape = ModelShape(layers=3, embd=96, heads=6, kv_heads=3, head_size=32, ff=160, vocab=64, ctx=99, tied=False)
    written(tmp_path / "m.gguf", shape=shape)
    hparams = open_model(tmp_path / "m.gguf").hparams
    assert (hparams.n_layer, hparams.n_embd, hparams.n_head, hparams.n_head_kv) == (3, 96, 6, 3)
    assert (hparams.n_embd_head_k, hparams.n_embd_head_v, hparams.n_ff) == (32, 32, 160)
    assert (hparams.n_vocab, hparams.n_ctx_train, hparams.tied_output) == (64, 99, False)


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    first = written(tmp_path / "a.gguf", 7)
    assert first == written(tmp_path / "b.gguf", 7)
    assert first != written(tmp_path / "c.gguf", 8)


def test_no_two_weights_are_alike_and_activations_keep_their_size(tmp_path: Path) -> None:
    written(tmp_path / "m.gguf", kind=F16)
    tensors = {tensor.name: np.array(tensor.data) for tensor in GGUFReader(tmp_path / "m.gguf").tensors}
    one, other = tensors["blk.0.attn_q.weight"], tensors["blk.1.attn_q.weight"]
    assert not np.array_equal(one, other)
    assert abs(one.astype(np.float32).std() * 16 - 1) < 0.05
    assert np.array_equal(tensors["output_norm.weight"], np.ones(256, np.float32))


def test_the_vocabulary_is_one_of_bytes(tmp_path: Path) -> None:
    written(tmp_path / "m.gguf")
    tokenizer = Tokenizer.from_metadata(open_model(tmp_path / "m.gguf").metadata, "m.gguf")
    ids = tokenizer.encode("Hé\n")
    assert b"".join(map(tokenizer.piece, ids)) == "Hé\n".encode()


def test_names_fill_a_vocabulary_up_and_a_small_one_is_cut() -> None:
    assert [kind for _, kind in tokens(260)[-2:]] == [TokenKind.UNUSED] * 2
    assert len({spelling for spelling, _ in tokens(1000)}) == 1000
    assert len(tokens(5)) == 5


@pytest.mark.parametrize(
    ("numbers", "flag"),
    [
        ({"heads": 5, "kv_heads": 2}, "--kv-heads"),
        ({"embd": 100, "heads": 3, "kv_heads": 3}, "--head-size"),
        ({"head_size": 7}, "--head-size"),
        ({"kv_heads": 0}, "--kv-heads"),
        ({"vocab": 2}, "--vocab"),
    ],
)
def test_numbers_that_make_no_llama_are_refused_by_flag(numbers: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        ModelShape(**numbers)


@pytest.mark.parametrize("kind", [Q8_0, GGMLQuantizationType.Q4_K])
def test_rows_that_blocks_do_not_divide_are_refused_before_anything_is_written(
    kind: GGMLQuantizationType, tmp_path: Path
) -> None:
    shape = ModelShape(layers=1, embd=100, heads=5, kv_heads=5, ff=256, vocab=40)
    with pytest.raises(UsageError, match=r"token_embd.weight.*--embd"):
        write_random_model(shape, kind, 0, tmp_path / "m.gguf")
    assert list(tmp_path.iterdir()) == []
