"""refimpl-conformance client: its command line, its cases, its exit codes, and the reports that it writes."""

import json
import sys
from pathlib import Path

import pytest

from conformance.client.case import ClientSection
from conformance.client.cases.replies import declare
from conformance.client.catalogue import CASES, chosen
from conformance.client.clients import filled_in, known_clients
from conformance.client.command import main, options
from conformance.client.hostile.deeds import AtAccept, AtReply, Entry, Nothing, Resized
from conformance.command.exits import Exit
from conformance.command.program import main as conformance
from conformance.judge.case import LEVELS
from conformance.tests.client import miniature, right_server
from spec.load import load

VERSIONS = [load().dialect(version).version for version in load().versions]
CLIENT = f"{sys.executable} -S {miniature.__file__} {{endpoint}}"
SERVER = f"{sys.executable} {right_server.__file__} {{port}}"


def test_every_case_has_a_title_and_a_version_in_which_it_is_asked() -> None:
    assert not [case.id for case in CASES.values() if not case.title or not any(map(case.holds, VERSIONS))]


def test_whatever_has_to_be_an_error_is_also_asked_about_its_message() -> None:
    silent = {case.deed for case in CASES.values() if case.clause.id in ("FRAME-6", "CLIENT-1", "CLIENT-5")}
    assert silent <= {case.deed for case in CASES.values() if case.clause.id == "CLIENT-4"}


def test_a_deed_at_a_command_needs_that_command() -> None:
    commands = {case.id: case.deed.command for case in CASES.values() if isinstance(case.deed, AtReply)}
    assert all(CASES[name].needs == command for name, command in commands.items())


def test_cases_of_a_younger_command_are_asked_of_its_version_alone() -> None:
    assert [CASES["FRAME-6/get-tensor-2d-one-short"].holds(version) for version in VERSIONS] == [False, True]


def test_an_id_stands_once() -> None:
    section = ClientSection()
    declare(section, "CLIENT-2/x", "t", AtAccept(Entry.CLOSED), "HELLO")
    with pytest.raises(ValueError, match="two cases"):
        declare(section, "CLIENT-2/x", "t", AtAccept(Entry.CLOSED), "HELLO")


@pytest.mark.parametrize(
    ("only", "inside", "outside"),
    [
        (("CLIENT",), "CLIENT-2/closed-at-once", "HELLO-4/major-0"),
        (("HELLO-4",), "HELLO-4/major-0", "HELLO-9/leaves"),
        (("FRAME-6/hello-one",), "FRAME-6/hello-one-short", "FRAME-6/hello-twice"),
    ],
)
def test_families_clauses_and_cases_are_chosen_by_name(only: tuple[str, ...], inside: str, outside: str) -> None:
    found = {case.id for case in chosen(only, (), LEVELS)}
    assert inside in found
    assert outside not in found
    assert inside not in {case.id for case in chosen((), only, LEVELS)}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--spawn x{endpoint} --client refimpl-cli-8.0.0",
        "--spawn x",
        "--client nobody",
        "--spawn x{endpoint} --server y",
        "--spawn x{endpoint} --timeout 0",
        "--spawn x{endpoint} --only NOBODY",
    ],
)
def test_a_wrong_command_line_ends_with_two(line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        options(line.split())
    assert ended.value.code == Exit.NOT_REACHED


@pytest.mark.parametrize("name", known_clients())
def test_a_client_by_name_takes_an_endpoint_and_has_a_server(name: str) -> None:
    client = known_clients()[name]
    assert "{endpoint}" in client.spawn
    assert "{port}" in client.server
    assert options(["--client", name]).server == client.server


async def test_places_of_programs_and_of_the_model_are_filled_in(tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    command = await filled_in("{scripts}/x -m {model} {endpoint} {python}", tmp_path)
    model = tmp_path / "conformance-client.gguf"
    assert command == f"{scripts}/x -m {model} {{endpoint}} {sys.executable}"
    assert model.read_bytes()[:4] == b"GGUF"


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        conformance(["client", *arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_list_names_cases(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--list", "--only", "HELLO") == Exit.KEPT
    said = capsys.readouterr().out
    assert "HELLO-4/major-0" in said
    assert "FRAME-6" not in said


@pytest.mark.parametrize(
    ("client", "code"), [("Client", Exit.KEPT), ("TakesAnyMinor", Exit.VIOLATED), ("NamesNobody", Exit.KEPT)]
)
def test_only_a_must_decides_the_exit_code(client: str, code: Exit) -> None:
    asked = "HELLO-4/minor-newer,CLIENT-4/minor-newer"
    assert ended("--spawn", f"{CLIENT} {client}", "--server", SERVER, "--only", asked) == code


def test_reports_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name for name in ("r.xml", "r.json", "r.html")]
    flags = [f"--{path.suffix[1:].replace('xml', 'junit')}={path}" for path in files]
    asked = ["--only", "HELLO-4/minor-newer"]
    assert ended("--spawn", f"{CLIENT} TakesAnyMinor", "--server", SERVER, *asked, *flags) == Exit.VIOLATED
    (entry,) = json.loads(files[1].read_text())["entries"]
    assert (entry["id"], entry["verdict"]) == ("HELLO-4/minor-newer", "fail")
    heard = [piece["note"] for piece in entry["connections"][0]["pieces"] if not piece["sent"]]
    assert any(note.startswith("FREE_BUFFER, declares 8 bytes: handle") for note in heard)
    assert all(path.stat().st_size for path in files)
    assert "HELLO-4/minor-newer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spawn", "words"),
    [
        ("no-such-program {endpoint}", "no-such-program"),
        (f"{sys.executable} -c 'raise SystemExit(4)' {{endpoint}}", "exit code 4"),
        (f"{sys.executable} -c '' {{endpoint}}", "without a word"),
    ],
)
def test_a_client_without_an_ordinary_run_is_not_reached(
    spawn: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("--spawn", spawn, "--server", SERVER) == Exit.NOT_REACHED
    assert words in capsys.readouterr().out


def test_a_deed_that_is_never_done_cannot_be_judged(capsys: pytest.CaptureFixture[str]) -> None:
    """It does not copy, and takes too few buffers for the second to be the same."""
    asked = "CLIENT-5/copied-2,FRAME-6/copy-tensor-one-short"
    assert ended("--spawn", f"{CLIENT} Client", "--server", SERVER, "--only", asked) == Exit.KEPT
    assert "2 unsupported" in capsys.readouterr().out


def test_deeds_are_values() -> None:
    assert AtReply("HELLO", Resized(1)) == AtReply("HELLO", Resized(1))
    assert len({Nothing(), Nothing(), AtReply("HELLO", Resized(1)), AtReply("HELLO", Resized(1))}) == 2


def test_help_is_no_failure() -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
