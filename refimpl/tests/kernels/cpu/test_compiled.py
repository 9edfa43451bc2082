"""Machine code is kept in a folder that only its user can write to and that its sources name, and is compiled once."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from refimpl.kernels.cpu import compiled
from refimpl.kernels.cpu.compiled import Kernel, cache_folder
from refimpl.kernels.cpu.matmul import packing
from refimpl.kernels.cpu.step import SRC0, address
from refimpl.kernels.cpu.words import i64_at, store_i64
from refimpl.tests.project.tree import ROOT

LOAD = """
import json, sys
from refimpl.kernels.cpu.compiled import cache_folder, digest
from refimpl.kernels.cpu.matmul.packing import pack_q4_0 as kernel
assert kernel.address
print(json.dumps([str(cache_folder() / digest(kernel._defined.__module__)), kernel.fresh]))
"""


PREPARE = """
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
from refimpl.kernels.cpu.compiled import prepare
import refimpl.kernels.cpu.matmul.packing as packing
prepare()
assert all(getattr(packing, name).kept for name in packing.__all__)
"""


def loaded(cache: Path) -> tuple[Path, bool]:
    """What a process of its own, with this cache, finds: its folder, and whether it had to compile."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    folder, fresh = json.loads(done.stdout)
    return Path(folder), fresh


def found(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path | None:
    """The folder as a process with this cache would find it now."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    folder: Path | None = cache_folder.__wrapped__()
    return folder


def named_by(monkeypatch: pytest.MonkeyPatch, root: Path) -> str:
    """The name that the sources below `root` give to the code of refimpl.kernels.cpu.a."""
    monkeypatch.setattr(compiled, "__file__", str(root / "refimpl/kernels/cpu/compiled.py"))
    compiled._source.cache_clear()
    name: str = compiled.digest.__wrapped__("refimpl.kernels.cpu.a")
    compiled._source.cache_clear()
    return name


def test_a_second_process_loads_what_the_first_has_compiled(tmp_path: Path) -> None:
    folder, fresh = loaded(tmp_path)
    assert fresh
    assert tmp_path in folder.parents
    kept = sorted(path.name for path in folder.iterdir())
    assert any("pack_q4_0" in name for name in kept)
    assert loaded(tmp_path) == (folder, False)
    assert sorted(path.name for path in folder.iterdir()) == kept


def test_what_is_not_kept_is_compiled_before_anybody_waits_for_it_and_that_is_said(tmp_path: Path) -> None:
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", PREPARE]
    first, second = (
        subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=300).stderr
        for _ in range(2)
    )
    assert first.startswith(f"compiling {len(packing.__all__)} kernels for this machine; once")
    assert first.splitlines()[-1].startswith("compiled in")
    assert second == ""


def test_the_folder_is_made_for_its_user_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder = found(monkeypatch, tmp_path)
    finally:
        os.umask(before)
    assert folder is not None
    assert folder == tmp_path / "ggml-rpc-refimpl" / "kernels"
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_folder_that_others_can_write_to_is_refused_with_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    folder = found(monkeypatch, tmp_path)
    assert folder is not None
    folder.chmod(mode)
    with caplog.at_level(logging.WARNING, "refimpl.kernels"):
        assert found(monkeypatch, tmp_path) is None
    assert [record.getMessage() for record in caplog.records] == [
        f"compiled kernels are not kept: {folder} can be written by others"
    ]


def test_a_folder_of_another_user_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert found(monkeypatch, tmp_path) is not None
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    assert found(monkeypatch, tmp_path) is None
    assert "can be written by others" in caplog.text


def test_a_place_where_no_folder_can_be_made_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    assert found(monkeypatch, tmp_path / "cache") is None
    assert "compiled kernels are not kept" in caplog.text


def test_folders_that_nobody_has_used_for_long_are_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernels = found(monkeypatch, tmp_path)
    assert kernels is not None
    now = time.time()
    for name, age in (("0" * 16, compiled.STALE + 3600), ("1" * 16, compiled.STALE - 3600)):
        folder = kernels / name
        folder.mkdir()
        (folder / "code").write_text("")
        os.utime(folder, (now - age, now - age))
    assert found(monkeypatch, tmp_path) == kernels
    assert {path.name for path in kernels.iterdir()} == {"1" * 16}


CHAIN = {
    "refimpl/kernels/cpu/a.py": "from refimpl.kernels.cpu.ops import b, unused\nX = 1\n",
    "refimpl/kernels/cpu/ops/b.py": "from refimpl.device.cpu.c import (\n    one,\n    two,\n)\nX = 1\n",
    "refimpl/device/cpu/c.py": "from spec.names import Type\nX = 1\n",
    "spec/names.py": "X = 1\n",
}
"""module by module, each imports the next"""


def lay(root: Path) -> None:
    for name, text in CHAIN.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_a_change_in_any_imported_source_gives_another_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lay(tmp_path)
    names = [named_by(monkeypatch, tmp_path)]
    for name, text in CHAIN.items():
        (tmp_path / name).write_text(text + "Y = 2\n")
        names.append(named_by(monkeypatch, tmp_path))
    assert len(set(names)) == len(names)
    assert named_by(monkeypatch, tmp_path) == names[-1]


def test_a_change_elsewhere_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lay(tmp_path)
    before = named_by(monkeypatch, tmp_path)
    (tmp_path / "refimpl/kernels/cpu/ops/other.py").write_text("from refimpl.kernels.cpu import a\n")
    (tmp_path / "spec/load.py").write_text("")
    assert named_by(monkeypatch, tmp_path) == before


def test_modules_that_import_each_other_have_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lay(tmp_path)
    (tmp_path / "spec/names.py").write_text("from refimpl.kernels.cpu.a import X\n")
    assert named_by(monkeypatch, tmp_path)


def double(step: int, worker: int) -> None:
    store_i64(address(step + SRC0), 2 * i64_at(address(step + SRC0)))


def test_without_a_folder_a_kernel_is_compiled_in_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "cache_folder", lambda: None)
    kernel = Kernel(double)
    assert not kernel.fresh
    assert kernel.address
    assert kernel.fresh


def test_a_kernel_is_compiled_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    load = Kernel._load

    def counted(self: Kernel) -> Any:
        made.append(load(self))
        return made[-1]

    monkeypatch.setattr(compiled, "cache_folder", lambda: None)
    monkeypatch.setattr(Kernel, "_load", counted)
    kernel, begin, addresses = Kernel(double), threading.Barrier(4), set()

    def ask() -> None:
        begin.wait()
        addresses.add(kernel.address)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == len(addresses) == 1
