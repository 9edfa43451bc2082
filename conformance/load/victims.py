"""Clients that are killed in the middle of a frame: real processes, forked by a small one of their own.

    python -m conformance.load.victims HOST PORT VERSION

Rules
- For each line on stdin one child is forked. It greets, allocates, sends half of a SET_TENSOR and waits for its death,
  which is SIGKILL from its parent; then a line is written to stdout: `killed`, or what went wrong.
- The parent has one thread and no event loop: it may fork.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from conformance.cases.talk import allocate, greet
from conformance.judge.codec import SIZE_BYTES, Codec, number
from conformance.judge.steps import Answer, End, Mismatch, Receive, Reply, Result, Send, Talk
from conformance.load.kinds import BUFFER, cut_off
from conformance.load.testees import Loaded
from spec.load import load

__all__ = ["Executioner", "executioner", "main"]

KILLED = "killed"
PATIENCE = 60.0


class Executioner:
    """The process that forks and kills, seen from the load."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._turn = trio.Lock()
        self._heard = b""

    async def kill_one(self) -> str:
        """One client more that dies in a frame; empty, or what went wrong."""
        async with self._turn:
            if self._process.stdin is None or self._process.stdout is None:
                raise TypeError("an executioner without pipes")
            await self._process.stdin.send_all(b"\n")
            while b"\n" not in self._heard:
                more = await self._process.stdout.receive_some()
                if not more:
                    return "the process that kills clients has ended"
                self._heard += more
            line, _, self._heard = self._heard.partition(b"\n")
            return "" if line == KILLED.encode() else line.decode("utf-8", "replace")


@asynccontextmanager
async def executioner(loaded: Loaded) -> AsyncIterator[Executioner]:
    """Start it for one testee, and end it with the block."""
    command = [sys.executable, "-m", "conformance.load.victims", loaded.host, str(loaded.port)]
    process = await trio.lowlevel.open_process(
        [*command, loaded.codec.dialect.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield Executioner(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def main(host: str, port: int, version: str) -> None:
    """The parent's life."""
    codec = Codec(load().dialect(version))
    for _ in sys.stdin:
        print(_killed(codec, host, port), flush=True)


def _killed(codec: Codec, host: str, port: int) -> str:
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ready)
        _live(codec, (host, port), tell)
    os.close(tell)
    with os.fdopen(ready, "rb") as words:
        said = words.read()
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return KILLED if died and said == KILLED.encode() else said.decode() or "the client ended before it was killed"


def _live(codec: Codec, address: tuple[str, int], tell: int) -> None:
    """The child's life; it never comes back."""
    try:
        with socket.create_connection(address, PATIENCE) as connection:
            _speak(connection, greet(codec))
            buffer = _speak(connection, allocate(codec, BUFFER))
            connection.sendall(cut_off(codec, buffer.handle, buffer.base))
            os.write(tell, KILLED.encode())
            os.close(tell)
            while True:
                signal.pause()
    except (OSError, Mismatch) as wrong:
        os.write(tell, str(wrong).replace("\n", " ").encode())
    finally:
        os._exit(1)


def _speak(connection: socket.socket, talk: Talk[Result]) -> Result:
    """Carry out a piece of conversation on a blocking socket."""
    answer: Answer = None
    while True:
        try:
            step = talk.send(answer)
        except StopIteration as done:
            result: Result = done.value
            return result
        answer = None
        if isinstance(step, Send):
            connection.sendall(step.data)
        elif isinstance(step, Receive):
            answer = _frame(connection)
        else:
            raise TypeError(f"a victim only sends and receives: {step}")


def _frame(connection: socket.socket) -> Reply | End:
    head = _exactly(connection, SIZE_BYTES)
    body = _exactly(connection, number(head)) if len(head) == SIZE_BYTES else b""
    return Reply(number(head), body) if len(head) == SIZE_BYTES and len(body) == number(head) else End(head + body)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
