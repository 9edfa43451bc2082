"""The tensor cache: what was sent is found again, by whom it may be given to."""

import os
import stat
from pathlib import Path

import pytest

from refimpl.errors import RegionError
from refimpl.kernels.cpu.fnv import fnv1a64
from refimpl.service.cache.place import Scope
from refimpl.service.cache.tensors import TensorCache
from refimpl.service.client import connect
from refimpl.tests.service.harness import record, running

DATA = bytes(range(256)) * 4
DIGEST = fnv1a64(DATA)
TRUE = b"the weights that everybody knows, as they were published."
FORGED = b"other weights, made by somebody else " + bytes.fromhex("18170111032716301f6f020712271a7cf202081c")
"""found with a lattice in half a minute: the multiplication of FNV-1a is linear, and small differences hardly carry"""
HOST = "192.0.2.7"
OTHER = "192.0.2.8"


def load(cache: TensorCache, view: bytearray, host: str = HOST) -> bool:
    return cache.load(DIGEST, host, lambda: memoryview(view))


@pytest.mark.parametrize(
    ("data", "digest"), [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)]
)
def test_fnv1a(data: bytes, digest: int) -> None:
    assert fnv1a64(data) == digest
    assert fnv1a64(memoryview(bytearray(data))) == digest
    assert fnv1a64(data[2:], fnv1a64(data[:2])) == digest


@pytest.mark.parametrize("scope", Scope)
def test_what_was_stored_is_loaded(tmp_path: Path, scope: Scope) -> None:
    cache = TensorCache(tmp_path / "rpc", scope=scope)
    cache.store(memoryview(DATA), HOST)
    view = bytearray(len(DATA) + 10)
    assert load(cache, view)
    assert view == DATA + bytes(10)


def test_for_all_the_files_lie_as_those_of_stock(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path / "rpc", scope=Scope.ALL)
    cache.store(memoryview(DATA), HOST)
    assert [path.name for path in cache.folder.iterdir()] == [f"{DIGEST:016x}"]
    assert load(cache, bytearray(len(DATA)), OTHER)


def test_what_one_address_has_sent_is_not_given_to_another(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    cache.store(memoryview(DATA), HOST)
    view = bytearray(len(DATA))
    assert not load(cache, view, OTHER)
    assert view == bytes(len(DATA))
    cache.store(memoryview(DATA), OTHER)
    assert load(cache, view, OTHER)
    assert view == DATA


def test_a_forged_payload_is_given_to_its_forger_only(tmp_path: Path) -> None:
    digest, view = fnv1a64(TRUE), bytearray(len(TRUE))
    assert fnv1a64(FORGED) == digest
    assert len(FORGED) == len(TRUE)
    cache = TensorCache(tmp_path)
    cache.store(memoryview(FORGED), OTHER)
    assert not cache.load(digest, HOST, lambda: memoryview(view))
    cache.store(memoryview(TRUE), HOST)
    assert cache.load(digest, HOST, lambda: memoryview(view))
    assert view == TRUE


def test_for_all_a_forged_payload_would_be_everybodys(tmp_path: Path) -> None:
    """Why that is not the default: the first file stays, and it has the right hash."""
    digest, view = fnv1a64(TRUE), bytearray(len(TRUE))
    cache = TensorCache(tmp_path, scope=Scope.ALL)
    cache.store(memoryview(FORGED), OTHER)
    cache.store(memoryview(TRUE), HOST)
    assert cache.load(digest, HOST, lambda: memoryview(view))
    assert view == FORGED


def test_what_lies_there_from_whom_nobody_knows_is_given_to_no_address(tmp_path: Path) -> None:
    TensorCache(tmp_path, scope=Scope.ALL).store(memoryview(DATA), HOST)
    assert not load(TensorCache(tmp_path), bytearray(len(DATA)))


def test_memory_is_asked_for_only_if_there_is_something(tmp_path: Path) -> None:
    def refused() -> memoryview:
        raise RegionError("REGION-1", "outside")

    cache = TensorCache(tmp_path)
    assert not cache.load(DIGEST, HOST, refused)
    cache.store(memoryview(DATA), HOST)
    with pytest.raises(RegionError):
        cache.load(DIGEST, HOST, refused)


def test_a_file_is_open_to_whom_the_umask_lets_in(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    before = os.umask(0o027)
    try:
        cache.store(memoryview(DATA), HOST)
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.path(DIGEST, HOST).stat().st_mode) == 0o640


def test_a_file_that_does_not_fit_is_a_miss_and_stays(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path)
    cache.store(memoryview(DATA), HOST)
    view = bytearray(len(DATA) - 1)
    assert not load(cache, view)
    assert view == bytes(len(view))
    assert cache.path(DIGEST, HOST).exists()


async def test_a_tensor_travels_once(tmp_path: Path) -> None:
    """Both clients have one address."""
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


async def test_a_tensor_of_another_address_travels_again(tmp_path: Path) -> None:
    """The kept file is the one that 192.0.2.7 has sent; the client of this test comes from 127.0.0.1."""
    cache = TensorCache(tmp_path)
    cache.store(memoryview(DATA), HOST)
    async with running(cache=cache) as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(len(DATA))
        assert not await client.set_tensor_hash(record(buffer, len(DATA)), DIGEST)
    async with running(cache=TensorCache(tmp_path, scope=Scope.ALL)) as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(len(DATA))
        assert not await client.set_tensor_hash(record(buffer, len(DATA)), DIGEST)


async def test_only_what_the_client_marks_is_kept(tmp_path: Path) -> None:
    async with running(cache=TensorCache(tmp_path)) as node, connect(node.endpoint) as client:
        buffer = await client.devices[0].allocate(len(DATA))
        await client.set_tensor(record(buffer, len(DATA)), DATA)
        assert not await client.set_tensor_hash(record(buffer, len(DATA)), DIGEST)
    assert not list(tmp_path.iterdir())


async def test_without_a_cache_nothing_is_found() -> None:
    async with running() as node, connect(node.endpoint) as client:
        assert not await client.set_tensor_hash(record(None, 10), DIGEST)
