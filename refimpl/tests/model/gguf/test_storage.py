"""Load modes: the same bytes in all of them, read-only, and a refusal to lock or read directly is only told."""

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from refimpl.errors import ModelError
from refimpl.model.gguf.storage import LoadMode, read_bytes

CONTENT = bytes(range(256)) * 40 + b"no whole page"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("mode", LoadMode)
def test_every_mode_gives_the_bytes_of_the_file(file: Path, mode: LoadMode) -> None:
    data = read_bytes(str(file), mode)
    assert data.tobytes() == CONTENT
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 1


@pytest.mark.parametrize("mode", LoadMode)
def test_only_a_mapping_sees_the_file_change(file: Path, mode: LoadMode) -> None:
    data = read_bytes(str(file), mode)
    with file.open("r+b") as changed:
        changed.write(b"X")
    assert (data[0] == ord("X")) == mode.mapped


def test_a_file_system_without_direct_reads_is_read_all_the_same(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = os.open

    def refuse(path: Any, flags: int, *more: Any) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no such thing here")
        return opened(path, flags, *more)

    monkeypatch.setattr(os, "open", refuse)
    assert read_bytes(str(file), LoadMode.DIRECT).tobytes() == CONTENT
    assert "knows no direct reads" in caplog.text


def test_memory_that_cannot_be_locked_is_used_all_the_same(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Library:
        def __init__(self, name: None, use_errno: bool) -> None:
            ctypes.set_errno(errno.ENOMEM)

        def mlock(self, address: ctypes.c_void_p, size: ctypes.c_size_t) -> int:
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert read_bytes(str(file), LoadMode.MLOCK).tobytes() == CONTENT
    assert "cannot be locked" in caplog.text
    assert "ulimit -l" in caplog.text


def test_an_empty_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ModelError, match="it is empty"):
        read_bytes(str(tmp_path / "empty"), LoadMode.NONE)
