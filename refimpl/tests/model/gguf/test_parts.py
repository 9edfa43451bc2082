"""Models in several files: read as one, and refused by the name of the file that does not belong."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter

from refimpl.errors import ModelError
from refimpl.model.gguf.parts import read_parts
from refimpl.model.gguf.storage import LoadMode
from refimpl.model.gguf_file import open_model
from refimpl.tests.model.tiny import parts_of, write_model


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """A model of eleven tensors in three files."""
    write_model(tmp_path / "m.gguf", part_tensors=4)
    return parts_of(tmp_path / "m.gguf")


def refusal(first: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        open_model(first)
    return caught.value


def rewritten(part: Path, keys: Mapping[str, Any], to: Path | None = None) -> None:
    """The same tensors with other metadata: values of `keys` instead of those there, None to leave one out."""
    reader = GGUFReader(part)
    tensors = [(tensor.name, np.array(tensor.data), tensor.tensor_type) for tensor in reader.tensors]
    pairs = {k: f.contents() for k, f in reader.fields.items() if k.startswith("split.")} | dict(keys)
    writer = GGUFWriter(to or part, pairs.pop("general.architecture", "llama"))
    for key, value in pairs.items():
        if value is not None:
            (writer.add_int32 if key == "split.tensors.count" else writer.add_uint16)(key, value)
    for name, data, kind in tensors:
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_parts_make_the_model_that_one_file_makes(tmp_path: Path, parts: list[Path]) -> None:
    whole, split = open_model(write_model(tmp_path / "whole.gguf")), open_model(parts[0])
    assert len(parts) == 3
    assert split.hparams == whole.hparams
    assert list(split.tensors) == list(whole.tensors)
    for name, tensor in whole.tensors.items():
        np.testing.assert_array_equal(split.tensors[name].data, tensor.data)


@pytest.mark.parametrize("mode", LoadMode)
def test_parts_are_read_in_every_mode(parts: list[Path], mode: LoadMode) -> None:
    mapped, read = read_parts(str(parts[0])), read_parts(str(parts[0]), mode)
    assert [part.path for part in read] == [str(path) for path in parts]
    assert [bytes(part.data) for part in read] == [bytes(part.data) for part in mapped]


def test_a_later_part_says_which_is_the_first(parts: list[Path]) -> None:
    error = refusal(parts[1])
    assert error.path == str(parts[1])
    assert f"part 2 of 3; give -m the first of them: {parts[0]}" in error.detail


def test_a_missing_part_is_named(parts: list[Path]) -> None:
    parts[2].unlink()
    error = refusal(parts[0])
    assert error.path == str(parts[2])
    assert f"missing: part 3 of 3 of {parts[0]}" in error.detail


def test_a_part_there_twice_is_named(parts: list[Path]) -> None:
    shutil.copy(parts[1], parts[2])
    error = refusal(parts[0])
    assert error.path == str(parts[2])
    assert "says that it is part 2, where part 3 of 3" in error.detail


def test_a_whole_model_in_the_place_of_a_part_is_named(parts: list[Path]) -> None:
    write_model(parts[1])
    error = refusal(parts[0])
    assert error.path == str(parts[1])
    assert "a whole model where part 2 of 3" in error.detail


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"split.count": 4}, "split.count is 4"),
        ({"split.tensors.count": 12}, "split.tensors.count is 12"),
        ({"general.architecture": "qwen2"}, "general.architecture is not that of"),
        ({"split.no": None}, "a whole model"),
    ],
)
def test_a_part_of_another_model_is_named(parts: list[Path], keys: dict[str, Any], words: str) -> None:
    rewritten(parts[1], keys)
    error = refusal(parts[0])
    assert error.path == str(parts[1])
    assert words in error.detail


def test_a_tensor_in_two_parts_is_named_with_both(parts: list[Path]) -> None:
    rewritten(parts[0], {"split.no": 2}, to=parts[2])
    error = refusal(parts[0])
    assert error.path == str(parts[2])
    assert f"is in {parts[0]} as well" in error.detail


def test_parts_that_hold_too_little_are_not_a_model(parts: list[Path]) -> None:
    write_model(parts[2].with_name("n.gguf"), weights={"blk.0.ffn_down.weight": None}, part_tensors=4)
    fewer = parts_of(parts[2].with_name("n.gguf"))
    for part, other in zip(parts, fewer, strict=True):
        shutil.copy(other, part)
        count = {"split.tensors.count": 11}
        if part is not parts[0]:
            rewritten(part, count)
    raw = parts[0].read_bytes()
    key = b"split.tensors.count"
    at = raw.index(key) + len(key) + 4
    parts[0].write_bytes(raw[:at] + (11).to_bytes(4, "little") + raw[at + 4 :])
    error = refusal(parts[0])
    assert error.path == str(parts[0])
    assert "3 parts hold 10 tensors, split.tensors.count says 11" in error.detail


def test_a_part_under_another_name_says_how_to_name_it(parts: list[Path]) -> None:
    other = parts[0].rename(parts[0].with_name("renamed.gguf"))
    error = refusal(other)
    assert error.path == str(other)
    assert "name it NAME-00001-of-00003.gguf" in error.detail


def test_a_truncated_part_is_named(parts: list[Path]) -> None:
    parts[1].write_bytes(parts[1].read_bytes()[:-200])
    error = refusal(parts[0])
    assert error.path == str(parts[1])
    assert "truncated: tensor" in error.detail
