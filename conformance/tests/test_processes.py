"""Servers are ready inside the block and gone after it; commands that fail say what they wrote."""

import os
import socket
import sys
from pathlib import Path

import pytest
import trio

from conformance.interop.processes import ProcessFailed, hello, run_text, running_server

ANSWERS_HELLO = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("-p") + 1]))) as listener:
    while True:
        connection, _ = listener.accept()
        with connection:
            assert len(connection.recv(33, socket.MSG_WAITALL)) == 33
            connection.sendall((28).to_bytes(8, "little") + bytes([7, 0, 0, 0]) + bytes(24))
"""


async def test_a_server_is_ready_inside_the_block_and_gone_after_it(tmp_path: Path) -> None:
    async with running_server([sys.executable, "-c", ANSWERS_HELLO], tmp_path / "log") as server:
        assert server.version == "7.0.0"
        host, _, port = server.endpoint.partition(":")
        await (await trio.open_tcp_stream(host, int(port))).aclose()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


async def test_a_server_that_ends_at_start_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="port taken"):
        async with running_server([sys.executable, "-c", "import sys; sys.exit('port taken')"], tmp_path / "log"):
            pass


LISTENS_AND_DIES = """
import select, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("-p") + 1])))
select.select([listener], [], [])
sys.exit("no such device")
"""

CLOSES_AT_ONCE = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("-p") + 1]))) as listener:
    print("not in the mood", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.recv(33, socket.MSG_WAITALL)
        connection.close()
"""


async def test_a_server_that_dies_with_a_caller_waiting_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=r"(?s)python.* ended with 1 at start.*no such device"):
        async with running_server([sys.executable, "-c", LISTENS_AND_DIES], tmp_path / "log"):
            pass


async def test_a_server_that_refuses_to_speak_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=r"(?s)python.*instead of answering HELLO.*not in the mood"):
        async with running_server([sys.executable, "-c", CLOSES_AT_ONCE], tmp_path / "log"):
            pass


async def test_a_port_that_listens_and_does_not_answer_yet_is_asked_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(OSError, match="did not answer"):
        await hello("127.0.0.1", listener.getsockname()[1], timeout=0.05)


async def test_a_command_gives_its_output(tmp_path: Path) -> None:
    assert await run_text([sys.executable, "-c", "print('text')"], tmp_path / "log") == "text\n"


async def test_a_command_that_fails_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=r"(?s)exited with 3.*not a GGUF"):
        await run_text(
            [sys.executable, "-c", "import sys; print('not a GGUF', file=sys.stderr); sys.exit(3)"], tmp_path / "log"
        )


async def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match="did not end"):
        await run_text(
            [sys.executable, "-c", "input_that_never_comes = __import__('signal').pause()"],
            tmp_path / "log",
            timeout=0.3,
        )
