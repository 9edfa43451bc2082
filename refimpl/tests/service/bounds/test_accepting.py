"""Connections come in, whatever accept() says, and leave nothing behind, however they go."""

import errno
import gc
import os
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import psutil
import pytest
import trio
from trio.testing import MockClock

from refimpl.service.bounds.accepting import CALM, PAUSE, take_connections
from refimpl.service.client import connect
from refimpl.tests.project.tree import ROOT
from refimpl.tests.service.harness import PATIENCE, Peer, running
from refimpl.trace import ConnectionFailed
from refimpl.wire import messages as wire

HELLO_REPLY = 36
MANY = 300


class Listener:
    """Whose accept() fails as often as it is told, then waits for ever."""

    def __init__(self, *outcomes: int) -> None:
        self.outcomes = list(outcomes)
        self.asked = 0

    async def __aenter__(self) -> "Listener":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.outcomes.clear()

    async def accept(self) -> trio.SocketStream:
        self.asked += 1
        if not self.outcomes:
            await trio.sleep_forever()
        number = self.outcomes.pop(0)
        if number < 0:
            await trio.sleep(-number)
            number = errno.ENFILE
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM, errno.EINVAL])
async def test_accept_is_tried_again_and_its_failure_said_once(clock: MockClock, number: int) -> None:
    told: list[OSError] = []
    listener = Listener(*[number] * 20)
    with trio.move_on_after(PAUSE * 30):
        await take_connections(listener, _never, told.append)  # type: ignore[arg-type]
    assert listener.asked == 21
    assert [error.errno for error in told] == [number]


async def test_after_a_while_without_failures_the_next_is_news(clock: MockClock) -> None:
    told: list[OSError] = []
    listener = Listener(errno.EMFILE, -int(CALM * 2), errno.EMFILE)
    with trio.move_on_after(CALM * 3):
        await take_connections(listener, _never, told.append)  # type: ignore[arg-type]
    assert [error.errno for error in told] == [errno.EMFILE, errno.ENFILE]


async def _never(stream: trio.SocketStream) -> None:
    raise AssertionError("there is no connection")


OUT_OF_FILES = """
import os, resource, trio
from refimpl.service.client import connect
from refimpl.tests.service.harness import Peer, running
from refimpl.trace import AcceptFailed
from refimpl.wire import messages as wire

async def main():
    async with running() as node:
        async with connect(node.endpoint) as client:
            held = []
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
            try:
                while True:
                    held.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                os.close(held.pop())
            late = await node.stream()
            await node.trace.seen(AcceptFailed)
            await client.barrier()
            for descriptor in held:
                os.close(descriptor)
            peer = Peer(late)
            await peer.say(wire.Hello())
            assert len(await peer.hear(36)) == 36
            assert len(node.trace.of(AcceptFailed)) == 1
            print("served")

trio.run(main)
"""


def test_a_process_out_of_descriptors_goes_on_and_takes_them_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_FILES], cwd=ROOT, capture_output=True, text=True, timeout=6 * PATIENCE
    )
    assert (done.stdout.strip(), done.returncode) == ("served", 0), done.stderr


def leave(sock: socket.socket) -> None:
    """A plain goodbye."""


def reset(sock: socket.socket) -> None:
    """Gone with a reset, perhaps before it was taken."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_inside_a_message(sock: socket.socket) -> None:
    """Gone in the middle of a graph."""
    sock.sendall(b"\x0e" + struct.pack("<Q", 24) + bytes(24) + b"\x0a" + struct.pack("<Q", 1 << 20) + bytes(70_000))
    reset(sock)


def half_close(sock: socket.socket) -> None:
    """Says that it will send no more."""
    sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("way", [leave, reset, reset_inside_a_message, half_close])
async def test_connections_that_go_again_leave_nothing_behind(way: Callable[[socket.socket], None]) -> None:
    """Connected from a thread, so that some are gone before they are taken."""
    async with running() as node, connect(node.endpoint) as bystander:
        host, _, port = node.endpoint.rpartition(":")

        def come_and_go() -> None:
            with socket.create_connection((host, int(port))) as sock:
                way(sock)

        descriptors = psutil.Process().num_fds()
        gc.collect()
        for _ in range(MANY):
            await trio.to_thread.run_sync(come_and_go)
        await bystander.barrier()
        with trio.fail_after(PATIENCE):
            while node.server.connections > 1:
                await trio.lowlevel.checkpoint()
        assert psutil.Process().num_fds() <= descriptors + 2
        assert not node.trace.of(ConnectionFailed)
        shared = node.server._node.shared
        assert (shared.arrivals.held, len(shared.arrivals._all), len(shared.graph_room._holders)) == (0, 1, 1)
        assert (shared.admission._places, shared.buffers.live) == (Counter({"127.0.0.1": 1}), 0)
        peer = Peer(await node.stream())
        await peer.say(wire.Hello())
        assert len(await peer.hear(HELLO_REPLY)) == HELLO_REPLY
