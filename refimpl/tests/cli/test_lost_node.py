"""A node that dies or hangs while the text grows: real processes, real signals, and what a shell sees of it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
import trio

from refimpl.host.run import EXIT_NODE_LOST
from refimpl.tests.model.tiny import TINY_PATH

PROMPT = b"Hello"
REPLY, COMPUTING = 10.0, 2.0
PATIENCE = 60.0
MAIN = "import sys; from refimpl.cli.main_host import main; sys.exit(main(sys.argv[1:]))"
ENDLESS = ["-p", PROMPT.decode(), "-n", "-1", "-c", "256", "--ignore-eos", "--temp", "0"]


@asynccontextmanager
async def process(*words: str) -> AsyncIterator[trio.Process]:
    """A python that is gone behind the block, whatever state it is in."""
    command = [sys.executable, *words]
    made = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield made
    finally:
        made.kill()
        with trio.CancelScope(shield=True):
            await made.wait()


async def more(stream: trio.abc.ReceiveStream | None) -> bytes:
    assert stream is not None
    return bytes(await stream.receive_some())


async def rest(stream: trio.abc.ReceiveStream | None) -> bytes:
    found = b""
    while part := await more(stream):
        found += part
    return found


@pytest.mark.parametrize(
    ("sent", "words"),
    [(signal.SIGKILL, "closed the connection"), (signal.SIGSTOP, f"silent for {COMPUTING:g} s during GET_TENSOR")],
    ids=["killed", "stopped"],
)
async def test_a_node_lost_in_the_middle_leaves_the_text_and_one_line(sent: signal.Signals, words: str) -> None:
    async with process("-m", "refimpl.tests.oracle_server") as server:
        with trio.fail_after(PATIENCE):
            endpoint = f"127.0.0.1:{int(await more(server.stdout))}"
            flags = ["-m", str(TINY_PATH), "--rpc", endpoint, "--rpc-timeout", f"{REPLY:g},{COMPUTING:g}", *ENDLESS]
            async with process("-c", MAIN, *flags) as client:
                text = b""
                while len(text) <= len(PROMPT):
                    text += await more(client.stdout)
                begin = perf_counter()
                os.kill(server.pid, sent)
                after = await rest(client.stdout)
                notes = (await rest(client.stderr)).decode()
                assert await client.wait() == EXIT_NODE_LOST
    assert text.startswith(PROMPT)
    assert after.endswith(b"\n")
    assert perf_counter() - begin < REPLY
    last = notes.splitlines()[-1]
    assert re.match(rf"refimpl-cli: {endpoint}: {words}", last)
    assert re.search(r"(GRAPH_RECOMPUTE|GRAPH_COMPUTE|GET_TENSOR|SET_TENSOR)", last)
    assert "Traceback" not in notes
