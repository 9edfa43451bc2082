"""The tensor cache: found again, verified, never believed when damaged."""

import errno
import os
import stat
from pathlib import Path

import pytest

from refimpl.kernels.cpu.fnv import fnv1a64
from refimpl.service.cache import TensorCache, default_folder
from refimpl.service.client import connect
from refimpl.tests.service.harness import record, running

DATA = bytes(range(256)) * 4
DIGEST = fnv1a64(DATA)


@pytest.mark.parametrize(
    ("environment", "platform", "folder"),
    [
        ({"HOME": "/home/a"}, "linux", "/home/a/.cache/llama.cpp/rpc"),
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "/x"}, "linux", "/x/llama.cpp/rpc"),
        ({"HOME": "/home/a", "XDG_CACHE_HOME": "/x", "LLAMA_CACHE": "/l"}, "linux", "/l/rpc"),
        ({"HOME": "/Users/a"}, "darwin", "/Users/a/Library/Caches/llama.cpp/rpc"),
    ],
)
def test_the_place_is_that_of_stock(environment: dict[str, str], platform: str, folder: str) -> None:
    assert default_folder(environment, platform) == Path(folder)


@pytest.mark.parametrize(
    ("data", "digest"), [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)]
)
def test_fnv1a(data: bytes, digest: int) -> None:
    assert fnv1a64(data) == digest
    assert fnv1a64(memoryview(bytearray(data))) == digest
    assert fnv1a64(data[2:], fnv1a64(data[:2])) == digest


def test_what_was_stored_is_loaded(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path / "rpc")
    cache.store(memoryview(DATA))
    assert [path.name for path in cache.folder.iterdir()] == [f"{DIGEST:016x}"]
    view = bytearray(len(DATA) + 10)
    assert cache.load(DIGEST, memoryview(view))
    assert view == DATA + bytes(10)


def test_a_file_is_open_to_whom_the_umask_lets_in(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        TensorCache(tmp_path).store(memoryview(DATA))
    finally:
        os.umask(before)
    assert stat.S_IMODE(TensorCache(tmp_path).path(DIGEST).stat().st_mode) == 0o640


def test_a_disk_that_fills_up_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(draft: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "replace", full)
    TensorCache(tmp_path).store(memoryview(DATA))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damaged", [b"", DATA[:-1], DATA + b"x", b"\xff" + DATA[1:]])
def test_a_damaged_file_is_a_miss_and_is_deleted(tmp_path: Path, damaged: bytes) -> None:
    cache = TensorCache(tmp_path)
    cache.path(DIGEST).write_bytes(damaged)
    view = bytearray(len(DATA) + 10)
    assert not cache.load(DIGEST, memoryview(view))
    assert view == bytes(len(view))
    assert not cache.path(DIGEST).exists()


def test_a_truncated_file_is_written_again(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    cache.path(DIGEST).write_bytes(DATA[:10])
    cache.store(memoryview(DATA))
    assert cache.path(DIGEST).read_bytes() == DATA


def test_a_file_that_does_not_fit_is_a_miss_and_stays(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    cache.store(memoryview(DATA))
    view = bytearray(len(DATA) - 1)
    assert not cache.load(DIGEST, memoryview(view))
    assert view == bytes(len(view))
    assert cache.path(DIGEST).exists()


def test_a_cache_that_cannot_be_written_costs_nothing_but_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rpc").write_text("a file where the folder should be")
    TensorCache(tmp_path / "rpc").store(memoryview(DATA))
    assert "not written" in caplog.text


async def test_a_tensor_travels_once(tmp_path: Path) -> None:
    async with running(cache=TensorCache(tmp_path)) as node:
        async with connect(node.endpoint) as first:
            buffer = await first.devices[0].allocate(2 * len(DATA))
            tensor = record(buffer, len(DATA), at=64)
            assert not await first.set_tensor_hash(tensor, DIGEST)
            await first.set_tensor(tensor, DATA, cache=True)
            await first.barrier()
        async with connect(node.endpoint) as second:
            buffer = await second.devices[0].allocate(2 * len(DATA))
            tensor = record(buffer, len(DATA), at=64)
            assert await second.set_tensor_hash(tensor, DIGEST)
            assert bytes(await second.get_tensor(tensor, 0, len(DATA))) == DATA


async def test_only_what_the_client_marks_is_kept(tmp_path: Path) -> None:
    async with running(cache=TensorCache(tmp_path)) as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(len(DATA))
        await client.set_tensor(record(buffer, len(DATA)), DATA)
        assert not await client.set_tensor_hash(record(buffer, len(DATA)), DIGEST)
    assert not list(tmp_path.iterdir())


async def test_without_a_cache_nothing_is_found() -> None:
    async with running() as node, connect(node.endpoint) as client:
        assert not await client.set_tensor_hash(record(None, 10), DIGEST)
