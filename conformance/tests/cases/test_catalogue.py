"""Cases stand for clauses: ids, levels and versions come from the prose, and the names of --only find them."""

import sys
from pathlib import Path

import pytest

from conformance.cases.catalogue import CASES, chosen
from conformance.cases.samples import COMMANDS, SAMPLES, is_answered
from conformance.judge.case import LEVELS, Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import Talk
from conformance.testees import command_of, known
from spec.load import load


def nothing(codec: Codec) -> Talk[None]:
    """Nothing."""
    yield from ()


REPORTED = {
    "CVE-2024-42477",
    "CVE-2024-42478",
    "CVE-2024-42479",
    "ggml#1103",
    "gpustack#1399",
    "llama.cpp#7427",
    "llama.cpp#9799",
    "llama.cpp#13067",
    "llama.cpp#14882",
    "llama.cpp#20712",
    "llama.cpp#25287",
    "llama.cpp#25288",
    "llama.cpp#26680",
    "llama.cpp#28789",
    "llama.cpp#28908",
    "unslothai/llama.cpp#203",
}
"""what has been reported of upstream's server, but for its graphs and ops"""


def test_there_are_cases_of_every_family_that_was_promised() -> None:
    promised = {"HELLO", "FRAME", "PHASE", "HANDLE", "TENSOR", "REGION", "GRAPH", "LIFE", "CACHE", "LEAK", "OP"}
    assert promised <= {case.family for case in CASES.values()}


def test_every_report_about_upstreams_server_has_a_case() -> None:
    assert REPORTED - {case.upstream for case in CASES.values()} == set()


def test_every_case_has_a_title_and_a_version_in_which_it_is_asked() -> None:
    versions = [load().dialect(version).version for version in load().versions]
    assert not [case.id for case in CASES.values() if not case.title or not any(map(case.holds, versions))]


def test_commands_of_a_younger_version_are_asked_of_it_alone() -> None:
    assert not CASES["FRAME-5/set-tensor-2d-one-short"].holds((7, 0, 0))
    assert CASES["FRAME-5/set-tensor-2d-one-short"].holds((8, 0, 0))


def test_every_command_has_a_sample_but_the_one_that_needs_a_pair() -> None:
    named = {entry.name for entry in load().commands}
    assert named - SAMPLES.keys() == {"COMM_ALLREDUCE"}
    assert SAMPLES.keys() <= named


@pytest.mark.parametrize("version", load().versions)
def test_a_command_is_answered_in_all_described_versions_or_in_none(version: str) -> None:
    commands = load().dialect(version).commands.values()
    assert {command.name for command in commands if command.answered and command.name in SAMPLES} == {
        name for name in COMMANDS if is_answered(name) and name in {command.name for command in commands}
    }


def test_a_case_of_no_clause_is_refused() -> None:
    with pytest.raises(ValueError, match="no such clause"):
        Case(id="NOBODY-1/x", title="t", script=nothing)


def test_a_case_has_a_slug() -> None:
    with pytest.raises(ValueError, match="some-words"):
        Case(id="HELLO-1/Not a slug", title="t", script=nothing)


def test_an_id_stands_once() -> None:
    section = Section()
    section.case("HELLO-1/twice")(nothing)
    with pytest.raises(ValueError, match="two cases"):
        section.case("HELLO-1/twice")(nothing)


@pytest.mark.parametrize(
    ("only", "skip", "inside", "outside"),
    [
        (("HELLO",), (), "HELLO-2/empty", "FRAME-4/next"),
        (("HELLO-2",), (), "HELLO-2/empty", "HELLO-3/size"),
        (("FRAME-1",), (), None, "FRAME-12/half-a-hello"),
        (("HELLO-2/decl",), (), "HELLO-2/declares-2-31", "HELLO-2/empty"),
        ((), ("HELLO-2",), "HELLO-3/size", "HELLO-2/empty"),
    ],
)
def test_families_clauses_and_cases_are_chosen_by_name(
    only: tuple[str, ...], skip: tuple[str, ...], inside: str | None, outside: str
) -> None:
    ids = {case.id for case in chosen(only, skip, LEVELS)}
    assert inside is None or inside in ids
    assert outside not in ids


def test_a_level_can_be_asked_alone() -> None:
    assert {case.level for case in chosen((), (), ("SHOULD",))} == {"SHOULD"}


@pytest.mark.parametrize("name", known())
def test_a_testee_by_name_takes_a_port_and_speaks_a_described_version(name: str) -> None:
    assert "{port}" in known()[name].spawn
    assert known()[name].proto in load().versions


async def test_a_testee_by_name_is_found_in_this_environment() -> None:
    command = await command_of(known()["refimpl-7.0.0"])
    assert (
        command
        == f"env LLAMA_CACHE={{cache}} {Path(sys.executable).parent}/refimpl-server -p {{port}} --proto 7.0.0 -c"
    )
