"""The report for machines: JUnit XML.

Only what makes the exit code 1 is a failure there: a MUST that was not kept, unless that is expected, and a case that
passed and was expected to fail. A SHOULD or MAY that was not kept is `skipped`, with the verdict in its message, and so
are an expected failure and what the testee does not have. A fault of the suite is an error.
"""

import re
from pathlib import Path
from xml.etree import ElementTree

from conformance.judge.codec import Codec
from conformance.judge.verdict import Outcome, Report, Verdict
from conformance.report.console import details

__all__ = ["write_junit"]

NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(report: Report, codec: Codec, path: Path) -> None:
    """Write the report; one suite, one case each."""
    cases = [_case(outcome, codec) for outcome in report.outcomes]
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(f"{report.testee} by {report.version}"),
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        time=f"{sum(outcome.seconds for outcome in report.outcomes):.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for note in (*report.notes, *((f"cut short: {report.cut_short}",) if report.cut_short else ())):
        ElementTree.SubElement(properties, "property", name="note", value=_clean(note))
    suite.extend(cases)
    ElementTree.indent(suite)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _case(outcome: Outcome, codec: Codec) -> ElementTree.Element:
    case = outcome.case
    element = ElementTree.Element(
        "testcase", classname=f"{case.family}.{case.level}", name=case.id, time=f"{outcome.seconds:.3f}"
    )
    if outcome.verdict is Verdict.PASS and not outcome.surprises:
        return element
    kind = "error" if outcome.verdict is Verdict.ERROR else "failure" if outcome.counts else "skipped"
    came = f"expected to be {', '.join(outcome.foreseen)}" if outcome.surprises else outcome.came
    said = ElementTree.SubElement(element, kind, message=_clean(f"{outcome.verdict}: {came}".splitlines()[0]))
    if kind != "skipped":
        said.set("type", str(outcome.verdict))
    said.text = _clean("\n".join(details(codec, outcome)))
    return element


def _clean(text: str) -> str:
    return NOT_XML.sub("�", text)
