"""The command line: flags, snapshots, exit codes, and what it does not import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tui.program import main, parse
from tui.tests.nodes import refused_endpoint, served, silent

ROOT = Path(__file__).parents[2]
HEAVY = ("numba", "llvmlite", "refimpl.kernels", "refimpl.device", "gguf", "tokenizers")


def test_endpoints_are_completed_and_named_once() -> None:
    options = parse(["a", "a:50052", "[::1]:1", "b:2"])
    assert options.endpoints == ("a:50052", "[::1]:1", "b:2")
    assert options.interval == 2.0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "required: HOST:PORT"),
        (["a:0"], "no endpoint"),
        (["a:99999"], "no endpoint"),
        (["a", "--interval", "0"], "--interval 0: at least"),
        (["a", "--interval", "nan"], "--interval nan: at least"),
        (["a", "--timeout", "-1"], "--timeout -1: at least"),
        (["a", "--json"], "--json goes with --once"),
        (["a", "--speed"], "unrecognized arguments: --speed"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_snapshot_of_nodes_that_answer_is_json_and_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    with served("7.0.0") as (old, _), served("8.0.0") as (new, _):
        assert main(["--once", "--json", old, new]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["all_answered"]
    assert [node["version"] for node in values["nodes"]] == ["7.0.0", "8.0.0"]
    assert [node["node"] for node in values["nodes"]] == [old, new]


def test_one_node_that_does_not_answer_is_exit_code_1_and_costs_the_timeout_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with served() as (up, _), silent() as hung:
        assert main(["--once", "--json", "--timeout", "1.2", up, hung, refused_endpoint()]) == 1
    values = json.loads(capsys.readouterr().out)
    assert [node["state"] for node in values["nodes"]] == ["up", "busy?", "unreachable"]
    assert [node["answered"] for node in values["nodes"]] == [True, False, False]


def test_a_snapshot_without_json_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    with served("8.0.0") as (up, _):
        assert main(["--once", up]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["NODE", "PROTO"]
    assert row.split()[:2] == [up, "8.0.0"]


def test_the_live_table_asks_for_a_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tui.program", "127.0.0.1:1"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True
    )
    assert done.returncode == 2
    assert b"needs a terminal" in done.stderr


def test_no_compiler_is_imported() -> None:
    code = f"import sys, tui.program, tui.app; sys.exit(str([name for name in {HEAVY!r} if name in sys.modules] or ''))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == ""
