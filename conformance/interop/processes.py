"""Programs as processes: servers that are ready when the block begins and gone when it ends, and commands with output.

A server is ready when it answers HELLO, which also says its protocol version. What a process writes to stderr (and a
server to stdout) goes to a log file, whose end is shown when the process fails.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import trio

from spec.names import Command

__all__ = ["ProcessFailed", "Server", "hello", "our_program", "run_text", "running_server", "running_web_server"]

HOST = "127.0.0.1"
START_SECONDS = 600.0
"""a first start may compile kernels"""
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
HELLO_CAPS = 24
REPLY_HEAD = 8
VERSION_END = REPLY_HEAD + 3
"""bytes of the reply to HELLO up to the three numbers of the version"""
LOG_TAIL = 25


class ProcessFailed(Exception):
    """A program ended with an error, or a server did not come up; the message holds the end of its log."""


@attrs.frozen
class Server:
    """A running server."""

    endpoint: str
    """host:port"""
    version: str
    """as HELLO says, such as ``7.0.0``"""
    pid: int


def our_program(name: str) -> str:
    """Path of an installed console script of this environment; raises ProcessFailed where there is none."""
    if found := shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"):
        return found
    raise ProcessFailed(f"{name}: no such program; install the project into this environment (pip install -e .)")


async def run_text(command: Sequence[str], log: Path, timeout: float = 600.0) -> str:
    """Run a command to its end and return its stdout, decoded; raises ProcessFailed unless it exits with 0."""
    with log.open("ab") as errors, trio.move_on_after(timeout):
        done = await trio.run_process(
            command, capture_stdout=True, stderr=errors, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
        raise ProcessFailed(f"{command[0]} exited with {done.returncode}\n{_tail(log)}")
    raise ProcessFailed(f"{command[0]} did not end within {timeout:.0f} s\n{_tail(log)}")


@asynccontextmanager
async def running_server(command: Sequence[str], log: Path) -> AsyncIterator[Server]:
    """Run `command` with ``-H`` and ``-p`` of a free loopback port added; yields when it answers HELLO.

    At the end it gets SIGTERM, and SIGKILL if it is still there after ten seconds.
    """
    port = _free_port()
    async with _running([*command, "-H", HOST, "-p", str(port)], log) as process:
        version = await _until_ready(process, command[0], partial(hello, HOST, port), log)
        yield Server(f"{HOST}:{port}", version, process.pid)


@asynccontextmanager
async def running_web_server(command: Sequence[str], log: Path) -> AsyncIterator[str]:
    """Run a llama-server `command` with host and free port added; yields its URL when it reports to be healthy."""
    port = _free_port()
    url = f"http://{HOST}:{port}"
    async with _running([*command, "--host", HOST, "--port", str(port)], log) as process:
        yield await _until_ready(process, command[0], partial(_healthy, url), log)


async def _healthy(url: str) -> str:
    def ask() -> None:
        urllib.request.urlopen(f"{url}/health", timeout=5).close()

    await trio.to_thread.run_sync(ask)
    return url


@asynccontextmanager
async def _running(command: Sequence[str], log: Path) -> AsyncIterator[trio.Process]:
    with log.open("ab") as output:
        process = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):
            await _stop(process)


async def hello(host: str, port: int, timeout: float = 5.0) -> str:
    """Open a connection, say HELLO, close it; returns the server's version.

    Raises OSError where nobody listens, answers in time, or lives to answer, and ProcessFailed for a refusal.
    """
    with trio.move_on_after(timeout):
        async with await trio.open_tcp_stream(host, port) as stream:
            return await _ask_version(stream, f"{host}:{port}")
    raise TimeoutError(f"{host}:{port} did not answer HELLO within {timeout:.0f} s")


async def _ask_version(stream: trio.SocketStream, endpoint: str) -> str:
    reply = b""
    try:
        await stream.send_all(bytes([Command.HELLO]) + HELLO_CAPS.to_bytes(8, "little") + bytes(HELLO_CAPS))
        while len(reply) < VERSION_END and (more := await stream.receive_some()):
            reply += more
    except trio.BrokenResourceError as error:
        raise ConnectionResetError(f"{endpoint} reset the connection") from error
    if len(reply) < VERSION_END:
        raise ProcessFailed(f"{endpoint} closed the connection instead of answering HELLO")
    return ".".join(str(part) for part in reply[REPLY_HEAD:VERSION_END])


async def _until_ready(process: trio.Process, name: str, ask: Callable[[], Awaitable[str]], log: Path) -> str:
    """Ask until the answer is not an OSError; returns the answer. ProcessFailed says which program, and its last words.

    A server may listen long before it answers, while it compiles its kernels.
    """
    with trio.move_on_after(START_SECONDS):
        while process.poll() is None:
            try:
                return await ask()
            except OSError:
                await trio.sleep(POLL_SECONDS)
            except ProcessFailed as failure:
                raise ProcessFailed(f"{name}: {failure}\n{_tail(log)}") from failure
        raise ProcessFailed(f"{name} ended with {process.returncode} at start\n{_tail(log)}")
    raise ProcessFailed(f"{name} was not ready after {START_SECONDS:.0f} s\n{_tail(log)}")


async def _stop(process: trio.Process) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            await process.wait()
            return
        process.kill()
    await process.wait()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-LOG_TAIL:])
