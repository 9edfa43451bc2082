"""Testees that are processes, or somebody else's: how they end, and what is said of those that never were."""

import sys
from pathlib import Path

import pytest
import trio

from conformance.judge.testee import Attached, NotReached, Spawned
from conformance.tests.judge.staging import CODEC

DIES_ON_THE_SECOND = """
import os, signal, socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    for turn in range(2):
        connection, _ = listener.accept()
        connection.recv(33, socket.MSG_WAITALL)
        connection.sendall((28).to_bytes(8, "little") + bytes([7, 0, 0, 0]) + bytes(24))
        connection.close()
print("last words", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_spawned_testee_tells_its_end_and_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(DIES_ON_THE_SECOND)
    async with Spawned(f"{sys.executable} {script} {{port}}", tmp_path / "log", CODEC) as testee:
        assert testee.dead() is None
        stream = await testee.dial()
        await stream.send_all(CODEC.request("HELLO"))
        ending = await testee.death(10.0)
        await stream.aclose()
    assert ending == "the process was ended by SIGKILL\n    last words"


async def test_a_command_that_does_not_start_is_not_reached(tmp_path: Path) -> None:
    with pytest.raises(NotReached, match="no-such-program"):
        await Spawned("no-such-program {port}", tmp_path / "log", CODEC).restart()


async def test_a_port_where_nobody_listens_is_dead(autojump_clock: trio.testing.MockClock) -> None:
    testee = Attached("127.0.0.1", 1)
    assert testee.look() is None
    assert await testee.death(5.0) == "nobody listens at 127.0.0.1:1 any more"
    with pytest.raises(NotReached, match="only --spawn can start it again"):
        await testee.restart()


async def test_a_testee_that_somebody_else_starts_again_is_another_process(tmp_path: Path) -> None:
    command = f"{sys.executable} -m conformance.tests.judge.served Session {{port}}"
    async with Spawned(command, tmp_path / "log", CODEC) as first:
        stream = await first.dial()
        port = stream.socket.getpeername()[1]
        await stream.aclose()
        attached = Attached("127.0.0.1", port)
    assert attached.dead() is not None
    async with Spawned(command, tmp_path / "log", CODEC, port) as second:
        await attached.restart()
        assert attached.dead() is None
        assert attached.grounds.pid == second.grounds.pid
