"""A script is read as it was written, and what is none is refused with the line that is wrong."""

from pathlib import Path

import pytest

from conformance.fuzz.script import (
    BadScript,
    Close,
    Due,
    Expected,
    Fill,
    Finish,
    Message,
    Place,
    Say,
    Script,
    read_script,
    write_script,
)

HEAD = '{"fuzz": 1, "version": "7.0.0"}\n'
SCRIPT = Script(
    version="7.0.0",
    steps=(
        Say("a", Message(bytes(33)), (Expected(Due("bytes", 28, bytes(28), b"\1" * 4 + bytes(24)), command="HELLO"),)),
        Say(
            "b",
            Message(bytes(40), (Fill(9, "a.0", False, 0), Fill(20, "a.0", True, -64))),
            (
                Expected(Due("buffer", 16, name="b.0", least=64), command="ALLOC_BUFFER"),
                Expected(Due("one of", 1, data=b"\1\0"), may_close=True, clause="COPY-3", command="COPY_TENSOR"),
                Expected(must_close=True, clause="REGION-1", command="GET_TENSOR"),
            ),
            ("GET_TENSOR: offset 0 > 1",),
            (4, 9),
        ),
        Finish("a"),
        Close("b"),
        Close("c", reset=True),
    ),
    found={"verdict": "fail", "clause": "REGION-1", "seed": "4"},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_script(SCRIPT, tmp_path / "one.jsonl")
    assert read_script(tmp_path / "one.jsonl") == SCRIPT


def test_places_are_filled_with_what_the_server_has_said() -> None:
    message = Message(bytes(28), (Fill(0, "a.0", False, 0), Fill(10, "a.0", True, -1), Fill(20, "a.1", True, 5)))
    filled = message.filled({"a.0": Place(handle=7, size=64, base=0)})
    assert filled[:8] == (7).to_bytes(8, "little")
    assert filled[10:18] == b"\xff" * 8
    assert filled[20:] == bytes(8)


def test_messages_one_behind_the_other_keep_their_places() -> None:
    joined = Message(bytes(10)) + Message(bytes(8), (Fill(0, "a.0", False, 3),))
    assert joined.filled({"a.0": Place(4, 1)})[10:] == (7).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "first line"),
        ("[]\n", "first line"),
        ('{"fuzz": 2}\n', "first line"),
        ("no json", "Expecting value"),
        (HEAD + '{"send": "00"}\n', "line 2"),
        (HEAD + '{"on": "a", "send": "0", "expect": []}\n', "line 2"),
        (HEAD + '{"on": "a", "send": "00"}\n', "line 2"),
        (HEAD + '{"on": "a", "do": "explode"}\n', "line 2"),
        (HEAD + '{"on": "a", "send": "00", "fill": [[0, "x", "handle", 0]], "expect": []}\n', "line 2"),
        (HEAD + '{"on": "a", "send": "00", "expect": [{"command": "X", "close": "perhaps"}]}\n', "line 2"),
        (HEAD + '{"on": "a", "send": "00", "expect": [{"command": "X", "reply": {"kind": "odd"}}]}\n', "line 2"),
    ],
)
def test_what_is_no_script_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(text)
    with pytest.raises(BadScript, match=told):
        read_script(tmp_path / "one.jsonl")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadScript, match="No such file"):
        read_script(tmp_path / "none")
