"""Reports for programs: JUnit fails what decides, JSON comes back as it was."""

import json
from pathlib import Path
from xml.etree import ElementTree

import attrs
import pytest

from conformance.judge.verdict import Outcome, Verdict
from conformance.report.document import FORMAT, BadDocument, document, read_json, write_json
from conformance.report.junit import write_junit
from conformance.tests.judge.staging import CODEC
from conformance.tests.report.reports import NASTY, of_all_kinds, report_by


def junit(path: Path, *outcomes: Outcome) -> ElementTree.Element:
    write_junit(report_by("somebody", *outcomes), CODEC, path)
    return ElementTree.parse(path).getroot()


def counted(suite: ElementTree.Element) -> dict[str, str | None]:
    return {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}


def test_junit_fails_a_must_and_skips_the_rest(tmp_path: Path) -> None:
    should = attrs.evolve(of_all_kinds()[-1], verdict=Verdict.FAIL)
    suite = junit(tmp_path / "report.xml", *of_all_kinds()[:5], should)
    assert counted(suite) == {"tests": "6", "failures": "4", "errors": "0", "skipped": "1"}
    failure = suite.find("testcase[@name='FRAME-4/255']/failure")
    assert failure is not None
    assert failure.get("type") == "crashed"
    assert "undefined command 128" in (failure.text or "")


def test_junit_skips_an_expected_failure_and_fails_an_unexpected_pass(tmp_path: Path) -> None:
    passed, failed = (attrs.evolve(outcome, foreseen=(Verdict.FAIL,)) for outcome in of_all_kinds()[:2])
    suite = junit(tmp_path / "report.xml", passed, failed)
    assert counted(suite) == {"tests": "2", "failures": "1", "errors": "0", "skipped": "1"}
    said = suite.find("testcase[@name='HELLO-3/size']/failure")
    assert said is not None
    assert said.get("message") == "pass: expected to be fail"


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    whole = document(report_by("somebody", *of_all_kinds()), CODEC)
    write_json(whole, tmp_path / "report.json")
    assert read_json(tmp_path / "report.json") == whole


def test_json_holds_clause_expectation_and_bytes(tmp_path: Path) -> None:
    outcome = attrs.evolve(of_all_kinds()[1], foreseen=(Verdict.CRASHED,))
    write_json(document(report_by("somebody", outcome), CODEC), tmp_path / "report.json")
    raw = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert {name: raw[name] for name in ("format", "testee", "version", "seed", "notes")} == {
        "format": FORMAT,
        "testee": "somebody",
        "version": "7.0.0",
        "seed": 3,
        "notes": ["one client"],
    }
    assert raw["clauses"][0]["id"] == "FRAME-4"
    (entry,) = raw["entries"]
    assert (entry["verdict"], entry["came"], entry["foreseen"]) == ("fail", NASTY, ["crashed"])
    pieces = entry["connections"][0]["pieces"]
    assert pieces[1]["words"] == ["reply to HELLO, declares 28 bytes: major 7"]
    assert bytes.fromhex(pieces[2]["hex"]) == CODEC.frame(128)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[]", "no result of refimpl-conformance"),
        ('{"format": "refimpl-conformance/0"}', "no result of refimpl-conformance"),
        (f'{{"format": "{FORMAT}"}}', "required field missing"),
    ],
)
def test_what_is_no_result_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(BadDocument, match=said):
        read_json(tmp_path / "report.json")
    with pytest.raises(BadDocument, match="No such file"):
        read_json(tmp_path / "nowhere.json")
