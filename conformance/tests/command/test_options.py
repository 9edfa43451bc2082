"""The command line: what is wrong ends with 2, what is right means what --help says."""

from pathlib import Path

import pytest

from conformance.command import main
from conformance.command.exits import Exit
from conformance.command.options import options
from conformance.judge.verdict import Verdict


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a:1 --spawn x{port}",
        "nowhere",
        "a:0",
        "--spawn x",
        "--testee nobody",
        "a:1 --only NO-1",
        "a:1 --timeout 0",
        "a:1 --time -1",
        "a:1 --jobs 2",
        "--spawn x{port} --jobs 0",
        "--spawn x{port} --jobs 2 --port 5000",
        "a:1 --expect-fail /no/such/file",
        "report",
        "report a.json",
        "report /no/such/file --html x.html",
    ],
)
def test_a_wrong_command_line_ends_with_two(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == Exit.NOT_REACHED
    assert "usage: refimpl-conformance" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["127.0.0.1:1", "192.0.2.1:50052", "--spawn no-such-program{port}"])
def test_who_cannot_be_reached_ends_with_two(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == Exit.NOT_REACHED
    assert "not reached" in capsys.readouterr().out


def test_a_strange_host_has_to_be_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["192.0.2.1:50052"])
    assert "--i-own-this-host" in capsys.readouterr().out
    assert options(["192.0.2.1:50052", "--i-own-this-host"]).own_host


def test_the_list_names_cases_of_a_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--list", "--proto", "7.0.0", "--only", "FRAME-4,STRIDED"])
    assert ended.value.code == Exit.KEPT
    said = capsys.readouterr().out
    assert "FRAME-4/128" in said
    assert "STRIDED" not in said


def test_every_flag_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    flags = "spawn testee list only skip level proto seed time replay expect-fail jobs i-own-this-host junit json html"
    assert [flag for flag in flags.split() if f"--{flag}" not in said] == []
    assert "exit codes: 0 every MUST was kept" in said


def test_expected_failures_are_read_with_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("FRAME-4/128 = crashed\n")
    wanted = options(["a:1", "--expect-fail", str(tmp_path / "known"), "--seed", "7", "--json", "x.json"])
    assert wanted.expected == {"FRAME-4/128": (Verdict.CRASHED,)}
    assert (wanted.seed, wanted.outputs.json, wanted.jobs) == (7, Path("x.json"), 1)
