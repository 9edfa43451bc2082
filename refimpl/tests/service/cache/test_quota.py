"""A cache that is full: what was used least recently makes room, and nothing that is not the cache's own."""

import os
import shutil
from pathlib import Path

import attrs
import pytest

from refimpl.kernels.cpu.fnv import fnv1a64
from refimpl.limits import Limits
from refimpl.service.cache.place import Scope
from refimpl.service.cache.quota import ABANDONED, BLOCK, RECOUNT
from refimpl.service.cache.tensors import TensorCache

HOST, OTHER = "192.0.2.7", "192.0.2.8"
SIZE = 2 * BLOCK
START = 1_700_000_000.0


@attrs.define
class Clock:
    now: float = START

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tensor(number: int, size: int = SIZE) -> bytes:
    return bytes([number]) * size


def kept(cache: TensorCache, host: str = HOST) -> list[int]:
    """Which of the first hundred tensors are there."""
    return [number for number in range(100) if cache.path(fnv1a64(tensor(number)), host).exists()]


def store(cache: TensorCache, number: int, host: str = HOST) -> None:
    cache.store(memoryview(tensor(number)), host)


def load(cache: TensorCache, number: int, host: str = HOST) -> bool:
    return cache.load(fnv1a64(tensor(number)), host, lambda: memoryview(bytearray(SIZE)))


@pytest.mark.parametrize("scope", Scope)
def test_the_least_recently_used_make_room(tmp_path: Path, clock: Clock, scope: Scope) -> None:
    cache = TensorCache(tmp_path, Limits(cache_bytes=4 * SIZE), scope, clock)
    for number in range(4):
        store(cache, number)
    assert load(cache, 0)
    store(cache, 1)
    store(cache, 4)
    assert 4 in kept(cache)
    assert 0 in kept(cache)
    assert 1 in kept(cache)
    assert 2 not in kept(cache)


def test_the_quota_is_never_passed(tmp_path: Path, clock: Clock) -> None:
    cache = TensorCache(tmp_path, Limits(cache_bytes=5 * SIZE), Scope.PEER, clock)
    for number in range(50):
        store(cache, number, HOST if number % 2 else OTHER)
        there = kept(cache, HOST) + kept(cache, OTHER)
        assert number in there
        assert len(there) <= 5


def test_files_are_bounded_in_number_however_small(tmp_path: Path, clock: Clock) -> None:
    cache = TensorCache(tmp_path, Limits(cache_files=3), Scope.ALL, clock)
    for number in range(20):
        cache.store(memoryview(tensor(number, 1)), HOST)
    assert len(list(tmp_path.iterdir())) <= 3


def test_what_can_never_fit_makes_nothing_go(tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    cache = TensorCache(tmp_path, Limits(cache_bytes=2 * SIZE), Scope.PEER, clock)
    store(cache, 1)
    cache.store(memoryview(bytes(2 * SIZE + 1)), HOST)
    assert kept(cache) == [1]
    assert "limits.cache_bytes" in caplog.text


def test_other_files_are_neither_counted_nor_deleted(tmp_path: Path, clock: Clock) -> None:
    cache = TensorCache(tmp_path, Limits(cache_bytes=2 * SIZE), Scope.PEER, clock)
    stocks = tmp_path / f"{fnv1a64(tensor(9)):016x}"
    others = [stocks, tmp_path / "notes.txt", cache.path(0, HOST).parent / "thesis.pdf"]
    store(cache, 0)
    for path in others:
        path.write_bytes(bytes(100 * SIZE))
        os.utime(path, (0, 0))
    for number in range(8):
        store(cache, number)
    assert all(path.exists() for path in others)
    assert 7 in kept(cache)


def test_what_another_process_has_put_there_counts(tmp_path: Path, clock: Clock) -> None:
    one = TensorCache(tmp_path, Limits(cache_bytes=4 * SIZE), Scope.ALL, clock)
    other = TensorCache(tmp_path, Limits(cache_bytes=4 * SIZE), Scope.ALL, clock)
    store(one, 0)
    for number in range(1, 4):
        store(other, number)
    clock.now += 2 * RECOUNT
    store(one, 4)
    assert len(kept(one)) <= 4
    assert 4 in kept(one)


def test_what_a_killed_process_has_left_half_written_goes_after_an_hour(tmp_path: Path, clock: Clock) -> None:
    cache = TensorCache(tmp_path, scope=Scope.ALL, clock=clock)
    old, young = tmp_path / f".{1:016x}.{2:016x}", tmp_path / f".{3:016x}.{4:016x}"
    for path, age in ((old, ABANDONED + 10), (young, 10)):
        path.write_bytes(b"half")
        os.utime(path, (clock.now - age, clock.now - age))
    store(cache, 0)
    assert not old.exists()
    assert young.exists()


def test_a_part_of_the_disk_stays_free(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = 20 * 4 * SIZE
    taken = whole - 8 * SIZE
    """by others, so that four tensors fit before a twentieth is left"""

    def usage(path: Path) -> object:
        own = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
        return Usage(whole, whole - taken - own)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    cache = TensorCache(tmp_path, scope=Scope.ALL, clock=clock)
    for number in range(10):
        store(cache, number)
    assert 9 in kept(cache)
    assert len(kept(cache)) <= 4


def test_a_disk_that_others_have_filled_costs_no_file(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = TensorCache(tmp_path, scope=Scope.ALL, clock=clock)
    store(cache, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(100 << 30, 0))
    clock.now += 2 * RECOUNT
    store(cache, 1)
    assert kept(cache) == [0]


@attrs.frozen
class Usage:
    total: int
    free: int
