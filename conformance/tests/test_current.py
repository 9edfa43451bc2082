"""What cannot be run on a machine is "not run", with its reason, and never a pass."""

import os
import shutil
from pathlib import Path

import pytest

from conformance.interop import current
from conformance.interop.current import NotRun, Outcome, current_llama, current_server, current_text, prove


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIMPL_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def lack(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "root":
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    else:
        monkeypatch.setattr(shutil, "which", lambda name: None)


@pytest.mark.parametrize("what", ["root", "debootstrap"])
async def test_a_machine_that_lacks_something_says_so(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lack(what, monkeypatch)
    with pytest.raises(NotRun, match=what):
        await current_llama()
    with pytest.raises(NotRun, match=what):
        await current_text(tmp_path / "model", "Hello", tmp_path / "log")
    with pytest.raises(NotRun, match=what):
        async with current_server(tmp_path / "log"):
            pass


async def test_every_way_of_running_is_reported_as_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lack("root", monkeypatch)
    outcomes = await prove(tmp_path)
    assert [outcome.verdict for outcome in outcomes] == ["not run"] * 2
    assert all("root" in outcome.reason for outcome in outcomes)


def test_not_run_is_no_success(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lack("debootstrap", monkeypatch)
    assert current.main() == 2
    said = capsys.readouterr().out
    assert said.count("not run: debootstrap is not installed") == 2
    assert "same" not in said


async def test_a_debian_that_cannot_be_made_is_not_run_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/false")
    monkeypatch.setattr(current, "BOOTSTRAP", ("sh", "-c", "echo no mirror; exit 7"))
    with pytest.raises(NotRun, match=r"(?s)exited with 7.*no mirror"):
        await current_llama()
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.endswith(".lock")] == []


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Outcome("a", "text", "text"), "same"),
        (Outcome("a", "text", "other"), "DIFFERENT"),
        (Outcome("a", reason="no root"), "not run"),
    ],
)
def test_verdicts(outcome: Outcome, verdict: str) -> None:
    assert outcome.verdict == verdict


def test_a_model_is_placed_once_and_read_from_inside(tmp_path: Path) -> None:
    root, model = tmp_path / "root", tmp_path / "model.gguf"
    root.mkdir()
    model.write_bytes(b"GGUF")
    inside = current._place(root, model)
    assert inside == current._place(root, model)
    assert (root / inside.lstrip("/")).read_bytes() == b"GGUF"
    model.write_bytes(b"GGUF again")
    assert current._place(root, model) != inside
