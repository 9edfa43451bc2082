"""Rendered files follow from the data, and a stale one is noticed and mended."""

import shutil
from pathlib import Path

import pytest

from spec import names, render
from spec.load import SpecError, load, read
from spec.render import main, rendered, stale
from spec.tables import TABLES, grid
from spec.tests.data_files import changed


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the rendered files, which the renderer takes for its own."""
    shutil.copytree(render.HERE / "text", tmp_path / "text")
    shutil.copy(render.HERE / "names.py", tmp_path / "names.py")
    monkeypatch.setattr(render, "HERE", tmp_path)
    return tmp_path


def test_what_is_committed_is_fresh() -> None:
    assert stale(load()) == []


@pytest.mark.parametrize("path", ["names.py", "text/graph.md", "text/README.md"])
def test_a_stale_file_fails_the_check_and_is_mended(copy: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = copy / path
    fresh = file.read_text()
    file.write_text(fresh.replace("1", "2", 1))
    assert main(["--check"]) == 1
    assert f"spec/{path} is stale" in capsys.readouterr().err
    assert file.read_text() != fresh
    assert main([]) == 0
    assert file.read_text() == fresh
    assert main(["--check"]) == 0


def test_a_change_of_the_data_shows_in_names_and_in_tables() -> None:
    spec = read(changed("commands", 'name = "MEMSET_TENSOR"', 'name = "FILL_TENSOR"'))
    with pytest.raises(SpecError, match=r"transfer\.md: the data has no command 'MEMSET_TENSOR'"):
        rendered(spec)
    spec = read(changed("types", "bytes = 84", "bytes = 85"))
    assert "| 10 | Q2_K | 256 | 85 |" in rendered(spec)["text/types.md"]


def test_names_are_those_of_the_newest_version() -> None:
    newest = load().dialect(load().newest)
    assert [(op.name, op.number) for op in newest.ops] == [(op.name, op.value) for op in names.Op]
    assert {t.name: t.number for t in newest.types.values()} == {t.name: t.value for t in names.Type}
    assert {c.name: c.number for c in newest.commands.values()} == {c.name: c.value for c in names.Command}


def test_a_field_that_moved_tells_both_offsets() -> None:
    table = TABLES["struct"](load(), "graph_compute_req")
    assert "| 7.0.0: 4; 8.0.0: 12 | 4 | `n_nodes` |" in table
    assert "| 8.0.0: 4 | 8 | `uid` |" in table


def test_bars_inside_cells_do_not_end_them() -> None:
    assert grid(("a",), [("|x|",)]).splitlines()[-1] == "| \\|x\\| |"
