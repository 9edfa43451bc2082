"""Whatever happens to the folder or its files costs a hit or a file, never a connection."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from refimpl.kernels.cpu.fnv import fnv1a64
from refimpl.service.cache import files
from refimpl.service.cache.place import Scope
from refimpl.service.cache.tensors import TensorCache
from refimpl.service.client import connect
from refimpl.tests.project.tree import ROOT
from refimpl.tests.service.harness import record, running

DATA = bytes(range(256)) * 64
DIGEST = fnv1a64(DATA)
HOST = "127.0.0.1"

FULL = """
import resource, sys
from pathlib import Path
from refimpl.service.cache.tensors import TensorCache
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
folder = Path(sys.argv[1])
TensorCache(folder).store(memoryview(bytes(range(256)) * 64), "127.0.0.1")
print([str(path) for path in folder.rglob("*") if path.is_file()])
"""


def load(cache: TensorCache, view: bytearray) -> bool:
    return cache.load(DIGEST, HOST, lambda: memoryview(view))


@pytest.mark.parametrize("damaged", [b"", DATA[:-1], DATA + b"x", b"\xff" + DATA[1:]])
def test_a_damaged_file_is_a_miss_and_is_deleted(tmp_path: Path, damaged: bytes) -> None:
    cache = TensorCache(tmp_path, scope=Scope.ALL)
    cache.path(DIGEST, HOST).write_bytes(damaged)
    view = bytearray(len(DATA) + 10)
    assert not load(cache, view)
    assert view == bytes(len(view))
    assert not cache.path(DIGEST, HOST).exists()


def test_a_truncated_file_is_written_again(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path, scope=Scope.ALL)
    cache.path(DIGEST, HOST).write_bytes(DATA[:10])
    cache.store(memoryview(DATA), HOST)
    assert cache.path(DIGEST, HOST).read_bytes() == DATA


def test_a_file_that_changes_while_it_is_read_is_a_miss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = TensorCache(tmp_path)
    cache.store(memoryview(DATA), HOST)
    path, checked = cache.path(DIGEST, HOST), files.hash_of_file

    def changed(file: object) -> int:
        found = checked(file)  # type: ignore[arg-type]
        path.write_bytes(DATA[:100])
        return found

    monkeypatch.setattr("refimpl.service.cache.tensors.hash_of_file", changed)
    assert not load(cache, bytearray(len(DATA)))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_keeps_nobody_waiting_and_no_descriptor(
    tmp_path: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    cache = TensorCache(tmp_path, scope=Scope.ALL)
    make(cache.path(DIGEST, HOST))
    before = psutil.Process().num_fds()
    for _ in range(10):
        assert not load(cache, bytearray(len(DATA)))
    cache.store(memoryview(DATA), HOST)
    assert psutil.Process().num_fds() == before
    assert "no plain file" in caplog.text


def test_a_file_that_cannot_be_written_to_its_end_leaves_no_draft(tmp_path: Path) -> None:
    """A limit of the process on the size of files ends a write as late as a disk that is full."""
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
    assert "not written" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with four kilobytes left."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    (folder / "others").write_bytes(bytes(60 << 10))
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_leaves_no_draft(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = TensorCache(small_disk / "rpc")
    cache.store(memoryview(DATA), HOST)
    assert "no room" in caplog.text
    with pytest.raises(OSError, match="No space left"):
        files.write(cache.path(DIGEST, HOST), memoryview(DATA))
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["others"]


def test_a_disk_that_fills_up_at_the_last_moment_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(draft: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Path, "replace", full)
    TensorCache(tmp_path).store(memoryview(DATA), HOST)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def make_unreadable(folder: Path) -> None:
    """For root too: a name too long to be asked for."""
    shutil.rmtree(folder)
    folder.symlink_to("x" * 255 + "/" + "y" * 300)


def replace_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file where the folder should be")


def loop(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder)


@pytest.mark.parametrize("harm", [remove, make_unreadable, replace_by_a_file, loop])
async def test_harm_to_the_folder_costs_no_connection(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    folder = tmp_path / "rpc"
    async with running(cache=TensorCache(folder)) as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(len(DATA))
        tensor = record(buffer, len(DATA))
        await client.set_tensor(tensor, DATA, cache=True)
        assert await client.set_tensor_hash(tensor, DIGEST)
        harm(folder)
        assert not await client.set_tensor_hash(tensor, DIGEST)
        await client.set_tensor(tensor, DATA, cache=True)
        await client.set_tensor_hash(tensor, DIGEST)
        assert bytes(await client.get_tensor(tensor, 0, len(DATA))) == DATA


def test_what_may_not_be_read_is_a_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As root everything may be read, so the system's answer is put into its mouth."""
    cache = TensorCache(tmp_path)
    cache.store(memoryview(DATA), HOST)

    def forbidden(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", forbidden)
    assert not load(cache, bytearray(len(DATA)))
    assert "Permission denied" in caplog.text
