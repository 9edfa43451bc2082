"""A client's process is watched for its time and its memory, and nothing of it is left behind."""

import os
import sys
from pathlib import Path

import pytest
import trio

from conformance.client.process import Ending, Patience, start_client, watch_client
from conformance.judge.testee import NotReached

MIB = 1 << 20
LONG = 60.0


def begun() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


async def run(folder: Path, code: str, patience: Patience = Patience(LONG)) -> Ending:  # noqa: B008
    script = folder / "client.py"
    script.write_text(code)
    process = await start_client(f"{sys.executable} -S {script}", folder)
    return await watch_client(process, folder, begun(), patience)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "it ended with exit code 0"),
        ("raise SystemExit(3)", "it ended with exit code 3"),
        ("import os; os.abort()", "it was ended by SIGABRT"),
    ],
)
async def test_an_end_is_told_in_words(tmp_path: Path, code: str, words: str) -> None:
    assert str(await run(tmp_path, code)) == words


async def test_what_it_writes_is_kept(tmp_path: Path) -> None:
    ending = await run(tmp_path, "import sys; print('text'); print('x' * 100_000 + 'the end', file=sys.stderr)")
    assert ending.out == b"text\n"
    assert ending.said.endswith("the end\n")
    assert len(ending.said) == 1 << 16


async def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    code = "import os, pathlib, time\nchild = os.fork()\nif child: pathlib.Path('child').write_text(str(child))\n"
    ending = await run(tmp_path, f"{code}time.sleep(1000)", Patience(1.0))
    assert ending.code is None
    assert not ending.greedy
    child = int((tmp_path / "child").read_text())
    with trio.fail_after(LONG):
        while not gone(child):
            await trio.sleep(0)


def gone(process: int) -> bool:
    """Whether it has ended; a zombie that nobody has asked about yet has."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_one_that_takes_too_much_memory_is_killed_at_once(tmp_path: Path) -> None:
    code = "import time\ntaken = [bytearray(b'x' * (1 << 20)) for _ in range(200)]\ntime.sleep(1000)"
    ending = await run(tmp_path, code, Patience(LONG, 100 * MIB))
    assert ending.greedy
    assert ending.peak > 100 * MIB
    assert ending.seconds < LONG


async def test_its_time_begins_with_the_deed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = trio.Event()
    monkeypatch.setattr("conformance.client.process.ORDINARY_SECONDS", 0.2)
    process = await start_client(f"{sys.executable} -S -c 'import time; time.sleep(1000)'", tmp_path)
    ending = await watch_client(process, tmp_path, never, Patience(0.0))
    assert ending.code is None


async def test_a_command_that_does_not_start_is_not_reached(tmp_path: Path) -> None:
    with pytest.raises(NotReached, match="no-such-program"):
        await start_client("no-such-program x", tmp_path)
