"""The checks find nothing in the specification as it is, and find each fault that is planted in it."""

import pytest

from spec.check import faults, main
from spec.load import load, read
from spec.prose import texts
from spec.tests.data_files import changed


def test_the_specification_has_no_faults() -> None:
    assert faults(load(), texts()) == []


def test_the_command_succeeds_and_says_what_it_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert main() == 0
    assert "7.0.0, 8.0.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("structs", 'clause = "TENSOR-13"', 'clause = "TENSOR-99"', "no clause TENSOR-99"),
        (
            "structs",
            'name = "op_params", type = "i32", count = 16',
            'name = "op_params", type = "i32", count = 15',
            "292",
        ),
        ("structs", '[[struct]]\nname = "device_req"', '[[struct]]\nname = "spare_req"', "no struct device_req"),
        ("structs", 'name = "conn_caps", type = "u8", count = 24', 'name = "conn_caps", type = "u8", count = 20', "20"),
        ("commands", "number = 17", "number = 23", "command numbers"),
        ("commands", 'tail = "graph"', 'tail = "grpah"', "no tail grpah"),
        ("commands", 'length = "size"', 'length = "length"', "does not name request fields"),
        ("commands", 'phase = ["greeting"]', 'phase = ["greting"]', "no phase greting"),
        ("commands", 'phase = ["open"]', "phase = []", "legal in no phase"),
        ("commands", 'kind = "empty", until = "6.0.0"', 'kind = "empty"', "unanswered commands differ"),
        ("commands", 'since = "5.0.0"', 'since = "3.0.0"', "older than the floor"),
        ("types", "number = 42", "number = 43", "type numbers are"),
        ("types", "bytes = 18", "bytes = 19", "Q4_0"),
        ("types", 'name = "qs", type = "u8", count = 16', 'name = "qs", type = "u8", count = 15', "17 bytes, not 18"),
        ("types", 'type = "f32"', 'type = "f31"', "no scalar"),
        ("ops", 'name = "ADD_ID"', 'name = "ADD"', "op ADD stands 2 times"),
        ("ops", 'clause = "OP-ADD"', 'clause = "OP-SUB"', "its clause is OP-SUB"),
        ("ops", "never_accepted = true\n", "", "never accepted"),
        ("ops", "executes = false\n", "", "do not execute"),
        ("ops", "slot = 1", "slot = 2", "operands stand in slots"),
        ("ops", "word = 1", "word = 0", "share a word"),
        ("ops", "word = 15", "word = 16", "outside op_params"),
        ("ops", 'enum = "Prec"', 'enum = "Prek"', "no enumeration"),
        ("ops", 'type = "f32", doc', 'type = "f64", doc', "has type f64"),
        ("ops", "value = 1,", "value = 0,", "stands twice"),
        ("ops", 'since = "4.0.3"', 'since = "9.0.0"', "100 ops instead of 101"),
        ("dialects", "0x100000001b3", "0x100000001b5", "FNV-1a"),
        ("dialects", 'clause = "FRAME-7"', 'clause = "FRAME-70"', "no clause FRAME-70"),
    ],
)
def test_a_planted_fault_in_the_data_is_found(file: str, old: str, new: str, words: str) -> None:
    found = faults(read(changed(file, old, new)), texts())
    assert any(words in line for line in found), found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("**FRAME-2** (MUST)", "**FRAME-3** (MUST)", "FRAME-3 stands 2 times"),
        ("**HELLO-4** (MUST)", "**HELLO-4** MUST", "no clause HELLO-4"),
        ("begin rendered: command HELLO", "begin rendered: command HALLO", "describes HELLO 0 times"),
        ("(LIFE-3)", "(LIFE-30)", "refers to LIFE-30"),
        ("and the body.", "and the body", "FRAME-2 is no sentence"),
        ("**FRAME-8** (MUST)", "**FRAME-8** (MUST, since 7.5.0)", "bounded by 7.5.0"),
    ],
)
def test_a_planted_fault_in_the_prose_is_found(old: str, new: str, words: str) -> None:
    prose = texts()
    if old not in prose["framing.md"]:
        raise LookupError(f"framing.md does not contain {old!r}")
    found = faults(load(), prose | {"framing.md": prose["framing.md"].replace(old, new, 1)})
    assert any(words in line for line in found), found
