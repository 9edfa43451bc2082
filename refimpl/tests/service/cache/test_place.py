"""Where kept tensors lie."""

from pathlib import Path

import pytest

from refimpl.service.cache.place import Scope, default_folder, draft_of, folder_of, folders, is_draft, is_kept


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
    ("host", "name"),
    [
        ("192.0.2.7", "peer-192.0.2.7"),
        ("::ffff:192.0.2.7", "peer-192.0.2.7"),
        ("2001:db8:0:0::1", "peer-2001-db8--1"),
        ("fe80::1%eth0", "peer-fe80--1"),
    ],
)
def test_an_address_has_a_folder_of_its_own(host: str, name: str) -> None:
    assert folder_of(Path("rpc"), Scope.PEER, host) == Path("rpc") / name
    assert folder_of(Path("rpc"), Scope.ALL, host) == Path("rpc")


def test_only_folders_of_addresses_are_found(tmp_path: Path) -> None:
    for name in ("peer-192.0.2.7", "peer-2001-db8--1", "peer-of-mine", "another"):
        (tmp_path / name).mkdir()
    (tmp_path / "peer-192.0.2.8").write_text("a file")
    assert {folder.name for folder in folders(tmp_path, Scope.PEER)} == {"peer-192.0.2.7", "peer-2001-db8--1"}
    assert list(folders(tmp_path, Scope.ALL)) == [tmp_path]


def test_names_of_tensors_and_drafts_are_told_from_others() -> None:
    draft = draft_of(Path("rpc/00000000000000ff"))
    assert is_kept("00000000000000ff")
    assert is_draft(draft.name)
    for name in ("00000000000000FF", "00000000000000ff.bak", "0ff", "notes.txt", "", draft.name + "x"):
        assert not is_kept(name)
        assert not is_draft(name)
