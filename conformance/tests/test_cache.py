"""A thing of the cache is made once and is whole or absent."""

from pathlib import Path

import pytest
import trio

from conformance.interop.cache import cache_dir, once


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REFIMPL_CACHE", str(tmp_path))
    return tmp_path


async def test_it_is_made_once_for_all_who_ask(cache: Path) -> None:
    made = []

    async def make(draft: Path) -> None:
        made.append(draft)
        await trio.lowlevel.checkpoint()
        (draft / "file").write_text("whole")

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(once, "thing", make)
    assert len(made) == 1
    assert (await once("thing", make) / "file").read_text() == "whole"


async def test_a_half_made_one_leaves_nothing_and_is_made_again(cache: Path) -> None:
    async def fail(draft: Path) -> None:
        (draft / "file").write_text("half")
        raise OSError("the network is gone")

    async def make(draft: Path) -> None:
        (draft / "file").write_text("whole")

    with pytest.raises(OSError, match="network"):
        await once("thing", fail)
    assert [entry.name for entry in cache.iterdir()] == ["thing.lock"]
    assert (await once("thing", make) / "file").read_text() == "whole"


def test_the_user_s_cache_directory_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFIMPL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_dir() == Path("/somewhere/ggml-rpc-refimpl")
